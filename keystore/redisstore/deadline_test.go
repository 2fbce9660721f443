package redisstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// TestDeadlineOfTheCaller has a Redis that answers late: later than the store's own bound, and
// sooner than the caller's, which alone counts.
func TestDeadlineOfTheCaller(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	store := open(t, redisstore.Options{URL: server.URL(), Timeout: 100 * time.Millisecond})
	const late = 600 * time.Millisecond
	pause := func() {
		storetest.OK(t, server.Client().Do(t.Context(), "CLIENT", "PAUSE", late.Milliseconds(), "ALL").Err())
	}
	apply(t, store, change())
	pause()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), keystore.ChangeTimeout)
	defer cancel()
	if err := store.Apply(ctx, change()); err != nil || time.Since(start) < late/2 {
		t.Errorf("Apply with a late deadline: %v after %v", err, time.Since(start))
	}
	pause()
	start = time.Now()
	if err := store.Apply(t.Context(), change()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > late {
		t.Errorf("Apply without a deadline: %v after %v", err, time.Since(start))
	}
}
