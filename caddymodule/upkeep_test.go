package caddymodule

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/token"
	"go.uber.org/zap"
)

// A laterStore is a store whose clock is ahead.
type laterStore struct {
	keystore.Store
	by atomic.Int64
}

func (s *laterStore) Time(ctx context.Context) (time.Time, error) {
	now, err := s.Store.Time(ctx)
	return now.Add(time.Duration(s.by.Load())), err
}

// What is due with signing keys by the time is done without any request.
func TestUpkeepRotatesSigningKeys(t *testing.T) {
	t.Parallel()
	opened, err := boltstore.Open(filepath.Join(t.TempDir(), "keys.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := &laterStore{Store: opened}
	n := node.New(store, make([]byte, 32), nil)
	n.Keys.SetClock(func() time.Time { return time.Now().Add(time.Duration(store.by.Load())) })
	t.Cleanup(func() { _ = n.Destruct() })
	app := &App{logger: zap.NewNop(), faults: zap.NewNop(), auditRetention: DefaultAuditRetention, signing: keystore.SigningPolicy{
		Algorithm: string(token.ES256), TokenLifetime: DefaultTokenLifetime, RotateEvery: 30 * 24 * time.Hour,
	}}
	ctx := t.Context()
	app.upkeepOnce(ctx, n)

	state := func() (signer string, published int) {
		t.Helper()
		ring, err := n.Ring(ctx, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return ring.Signer().ID(), strings.Count(string(ring.JWKS()), `"kid"`)
	}
	first, _ := state()
	steps := []struct {
		after     time.Duration
		signs     string // first or second
		published int
	}{
		{time.Hour, "first", 1},
		{30*24*time.Hour - 71*time.Minute, "first", 1},
		{30*24*time.Hour - 69*time.Minute, "first", 2}, // announced
		{30*24*time.Hour - 2*time.Minute, "first", 2},
		{30*24*time.Hour + 2*time.Minute, "second", 2}, // it signs; the first verifies
		{31 * 24 * time.Hour, "second", 2},
		{31*24*time.Hour + 2*time.Hour, "second", 1}, // the last token of the first has expired
	}
	for _, step := range steps {
		store.by.Store(int64(step.after))
		app.upkeepOnce(ctx, n)
		signer, published := state()
		if (signer == first) != (step.signs == "first") || published != step.published {
			t.Fatalf("after %s: the first signs: %v, %d are published; want the %s and %d", step.after, signer == first, published, step.signs, step.published)
		}
	}
}
