package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// TestReplicas has a change wait for replicas that are there, that are not, and that stall.
func TestReplicas(t *testing.T) {
	t.Parallel()
	master := storetest.StartRedis(t)
	const wait = 100 * time.Millisecond
	one := open(t, redisstore.Options{URL: master.URL(), Timeout: patient, Replicas: 1, ReplicaTimeout: wait})
	wantTooFew := func(store *redisstore.Store, says string) {
		t.Helper()
		start := time.Now()
		err := store.Apply(t.Context(), keystore.Change{Steps: []keystore.Step{put("old", "1")}, Event: []byte("event")})
		if took := time.Since(start); took < wait || took > wait+slack {
			t.Errorf("Apply took %v", took)
		}
		if !errors.Is(err, keystore.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Apply: %v, want %v", err, keystore.ErrUnavailable)
		}
		for _, words := range []string{"the change was made", says, "it may not last", master.Addr()} {
			storetest.FailIf(t, !strings.Contains(err.Error(), words), "%q does not say %q", err, words)
		}
	}
	wantTooFew(one, "only 0 of 1 replicas have it")
	if values, err := one.Get(t.Context(), "old"); err != nil || string(values[0]) != "1" {
		t.Errorf("the change was not made: %q, %v", values, err)
	}
	wantLog(t, one, 0, "1 event")

	// A condition that does not hold is an answer, which needs no replica.
	var failed *keystore.ConditionError
	if err := one.Apply(t.Context(), keystore.Change{
		Conditions: []keystore.Condition{{Kind: keystore.RecordAbsent, Name: "old"}},
	}); !errors.As(err, &failed) {
		t.Errorf("Apply: %v", err)
	}

	replica := storetest.StartReplica(t, master)
	waiting := open(t, redisstore.Options{URL: master.URL(), Timeout: patient, Replicas: 1, ReplicaTimeout: patient})
	apply(t, waiting, change())
	two := open(t, redisstore.Options{URL: master.URL(), Timeout: patient, Replicas: 2, ReplicaTimeout: wait})
	wantTooFew(two, "only 1 of 2 replicas have it")

	replica.Pause()
	wantTooFew(one, "only 0 of 1 replicas have it")
	replica.Resume()
	storetest.Poll(t, patient, "the replica goes on", func() bool { return one.Apply(t.Context(), change()) == nil })
	replica.Kill()
	wantTooFew(one, "only 0 of 1 replicas have it")

	// The caller's deadline is earlier than the wait, and the answer is still the true one.
	long := open(t, redisstore.Options{URL: master.URL(), Replicas: 1, ReplicaTimeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := long.Apply(ctx, change()); !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "only 0 of 1") {
		t.Errorf("Apply: %v", err)
	}
}

// TestNoReplicasNoCommand counts what Redis is asked where no replica is waited for.
func TestNoReplicasNoCommand(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	for _, replicas := range []int{0, 1} {
		store := open(t, redisstore.Options{URL: server.URL(), Timeout: patient, Replicas: replicas, ReplicaTimeout: time.Millisecond})
		_ = store.Apply(t.Context(), change())
		stats := raw(t, server).Info(t.Context(), "commandstats").Val()
		if waited := strings.Contains(stats, "cmdstat_wait:"); waited != (replicas > 0) {
			t.Errorf("with %d replicas, WAIT was sent: %t", replicas, waited)
		}
	}
}
