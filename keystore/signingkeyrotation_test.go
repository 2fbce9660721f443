package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

var (
	start  = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	master = []byte("a master secret of 32 bytes or so")
)

const (
	day    = 24 * time.Hour
	notice = keystore.SigningKeyNotice
	margin = 65 * time.Minute // an hour of max_staleness, and five minutes for clocks
)

// rotationKit is a keystore on a store whose clock the test sets.
type rotationKit struct {
	*keystore.Keystore
	t     *testing.T
	clock *storetest.Clock
	made  atomic.Int64
}

func newRotationKit(t *testing.T) *rotationKit {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "keys.db"), boltstore.Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	k := &rotationKit{t: t, clock: storetest.NewClock(store, start)}
	k.Keystore = k.clock.Keystore(master)
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// policy has tokens of a day and no rotation.
func (k *rotationKit) policy() keystore.SigningPolicy {
	return keystore.SigningPolicy{Algorithm: "ES256", TokenLifetime: day, Generate: func(algorithm string) (keystore.SigningKey, error) {
		id := fmt.Sprintf("kid%d", k.made.Add(1))
		return keystore.SigningKey{ID: id, Algorithm: algorithm, Private: []byte(id)}, nil
	}}
}

func (k *rotationKit) maintain(policy keystore.SigningPolicy) []keystore.SigningKey {
	k.t.Helper()
	keys, err := k.MaintainSigningKeys(k.t.Context(), policy)
	if err != nil {
		k.t.Fatal(err)
	}
	return keys
}

func wantStates(t *testing.T, keys []keystore.SigningKey, want ...string) {
	t.Helper()
	var got []string
	for _, key := range keys {
		got = append(got, fmt.Sprintf("%s %s", key.ID, key.State()))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("keys %q, want %q", got, want)
	}
}

// A policy that wants a key more often than one can be announced gets them one notice apart.
func TestRotationFasterThanTheNotice(t *testing.T) {
	t.Parallel()
	k := newRotationKit(t)
	policy := k.policy()
	policy.RotateEvery = time.Minute
	wantStates(t, k.maintain(policy), "kid1 signing", "kid2 announced")
	for range 100 {
		k.clock.Advance(notice / 10)
		k.maintain(policy)
	}
	if made := k.made.Load(); made != 12 {
		t.Errorf("%d keys were made in ten notices", made)
	}
}

// After a long time without any gateway, more is due than one call does.
func TestMaintenanceIsBounded(t *testing.T) {
	t.Parallel()
	k := newRotationKit(t)
	policy := k.policy()
	policy.RotateEvery = time.Minute
	for range 15 {
		k.maintain(policy)
		k.clock.Advance(notice)
	}
	k.clock.Advance(100 * day)
	policy.RotateEvery = 0
	keys := k.maintain(policy)
	if len(keys) != 16-8 {
		t.Errorf("%d keys are left", len(keys))
	}
	wantStates(t, k.maintain(policy), "kid15 retired", "kid16 signing")
}

// A slow Generate is called when a key is needed, and not again because another node was faster.
func TestKeysAreMadeOnlyWhenNeeded(t *testing.T) {
	t.Parallel()
	k := newRotationKit(t)
	policy := k.policy()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() { k.maintain(policy) })
	}
	wait.Wait()
	most := k.made.Load()
	if most > 8 {
		t.Errorf("eight nodes made %d keys", most)
	}
	for range 10 {
		k.clock.Advance(day)
		k.maintain(policy)
	}
	if k.made.Load() != most {
		t.Errorf("%d keys were made of which none was needed", k.made.Load()-most)
	}
}

// Two nodes rotate, by hand, at once.
func TestRotationsAtOnceAnnounceOneKey(t *testing.T) {
	t.Parallel()
	k := newRotationKit(t)
	policy := k.policy()
	k.maintain(policy)
	var wait sync.WaitGroup
	var announced atomic.Int64
	for range 8 {
		wait.Go(func() {
			_, err := k.RotateSigningKey(t.Context(), by, policy)
			switch {
			case err == nil:
				announced.Add(1)
			case !errors.Is(err, keystore.ErrExists):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if keys := k.maintain(policy); len(keys) != 2 || announced.Load() != 1 {
		t.Errorf("%d keys, %d announced", len(keys), announced.Load())
	}
}

// A leaked key must not come back with a rotation that began before it was replaced.
func TestReplacedKeysDoNotComeBack(t *testing.T) {
	t.Parallel()
	for range 20 {
		k := newRotationKit(t)
		policy := k.policy()
		policy.RotateEvery = time.Minute
		k.maintain(policy)
		k.clock.Advance(notice)
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() { k.maintain(policy) })
		}
		var replaced keystore.SigningKey
		wait.Go(func() {
			var err error
			if replaced, err = k.ReplaceSigningKeys(t.Context(), by, policy); err != nil {
				t.Error(err)
			}
		})
		wait.Wait()
		keys := k.maintain(policy)
		if keys[0].ID != replaced.ID {
			t.Fatalf("the keys begin with %s, replaced by %s", keys[0].ID, replaced.ID)
		}
		wantStates(t, keys, replaced.ID+" signing", keys[len(keys)-1].ID+" announced")
	}
}

// A database that took over has a clock that is behind, or it was set back.
func TestStoreClockGoesBackwards(t *testing.T) {
	t.Parallel()
	k := newRotationKit(t)
	policy := k.policy()
	k.maintain(policy)
	if _, err := k.RotateSigningKey(t.Context(), by, policy); err != nil {
		t.Fatal(err)
	}
	k.clock.Advance(-30 * time.Minute)
	wantStates(t, k.maintain(policy), "kid1 signing", "kid2 announced")
	k.clock.Advance(notice)
	wantStates(t, k.maintain(policy), "kid1 signing", "kid2 announced")
	k.clock.Advance(30 * time.Minute)
	wantStates(t, k.maintain(policy), "kid1 retired", "kid2 signing")
	k.clock.Advance(-10 * day)
	wantStates(t, k.maintain(policy), "kid1 retired", "kid2 signing")
	k.clock.Advance(10*day + day + margin - time.Second)
	wantStates(t, k.maintain(policy), "kid1 retired", "kid2 signing")
	k.clock.Advance(time.Second)
	wantStates(t, k.maintain(policy), "kid2 signing")
}

// A key that was announced by a clock that was years ahead does not keep people from rotating.
func TestRotationAfterAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	k := newRotationKit(t)
	policy := k.policy()
	k.maintain(policy)
	k.clock.Advance(3650 * day)
	if _, err := k.RotateSigningKey(t.Context(), by, policy); err != nil {
		t.Fatal(err)
	}
	k.clock.Advance(-3650 * day)
	wantStates(t, k.maintain(policy), "kid1 signing", "kid2 announced")
	if _, err := k.RotateSigningKey(t.Context(), by, policy); err != nil {
		t.Fatal(err)
	}
	k.clock.Advance(notice)
	wantStates(t, k.maintain(policy), "kid1 retired", "kid3 signing")
}

// A store whose clock cannot be read is not a reason to do anything.
func TestNoMaintenanceWithoutTheClock(t *testing.T) {
	t.Parallel()
	k := newRotationKit(t)
	unread := keystore.New(timeless{k.clock}, master)
	policy := k.policy()
	if _, err := unread.MaintainSigningKeys(t.Context(), policy); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if k.made.Load() != 0 {
		t.Error("a key was made")
	}
	k.maintain(policy)
	if _, err := unread.MaintainSigningKeys(t.Context(), policy); err != nil {
		t.Errorf("nothing can become due, but: %v", err)
	}
}

type timeless struct{ keystore.Store }

func (timeless) Time(context.Context) (time.Time, error) {
	return time.Time{}, fmt.Errorf("%w: no clock", keystore.ErrUnavailable)
}
