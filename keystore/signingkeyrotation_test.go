package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
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

// A nodeKit is a keystore whose store has a clock that the test sets, and what its node wants of the
// signing keys.
type nodeKit struct {
	*keystoreKit
	clock  *storetest.Clock
	policy keystore.SigningPolicy
	made   *atomic.Int64 // keys, by all nodes of a test
}

// node makes one with tokens of a day and no rotation.
func (k *keystoreKit) node() *nodeKit {
	clock := storetest.NewClock(k.store, start)
	n := &nodeKit{clock: clock, made: new(atomic.Int64), keystoreKit: &keystoreKit{
		Keystore: clock.Keystore(master), t: k.t, store: clock,
	}}
	n.policy = keystore.SigningPolicy{Algorithm: "ES256", TokenLifetime: day, Generate: n.generate}
	return n
}

func (n *nodeKit) generate(algorithm string) (keystore.SigningKey, error) {
	id := fmt.Sprintf("kid%d", n.made.Add(1))
	return keystore.SigningKey{ID: id, Algorithm: algorithm, Private: []byte("private part of " + id)}, nil
}

func newNode(t *testing.T) *nodeKit {
	t.Helper()
	return (&keystoreKit{t: t, store: openStore(t)}).node()
}

// maintain maintains the keys for a policy.
func (n *nodeKit) maintain(policy keystore.SigningPolicy) []keystore.SigningKey {
	n.t.Helper()
	keys, err := n.MaintainSigningKeys(n.ctx(), policy)
	ok(n.t, err)
	return keys
}

// wantKeys maintains the keys and wants them to be these, oldest first: "kid1 signing".
func (n *nodeKit) wantKeys(want ...string) []keystore.SigningKey {
	n.t.Helper()
	keys := n.maintain(n.policy)
	n.wantStates(keys, want...)
	return keys
}

func (n *nodeKit) wantStates(keys []keystore.SigningKey, want ...string) {
	n.t.Helper()
	if got := states(keys); !slices.Equal(got, want) {
		n.t.Fatalf("at %s the keys are %q, want %q", n.clock.Now(), got, want)
	}
}

func states(keys []keystore.SigningKey) []string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = fmt.Sprintf("%s %s", key.ID, key.State())
	}
	return all
}

func signingKeyTests() []keystoreTest {
	return []keystoreTest{
		{"nothing is done by clocks that do not agree", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.policy.RotateEvery = 30 * day
			n.wantKeys("kid1 signing")
			n.want(errOf(n.RotateSigningKey(n.ctx(), alice, n.policy)), nil)
			n.SetClock(func() time.Time { return start })
			n.clock.Advance(90 * day)
			n.wantKeys("kid1 signing", "kid2 announced")
			n.want(errOf(n.RotateSigningKey(n.ctx(), alice, n.policy)), keystore.ErrClock)
			n.clock.Advance(-90 * day)
			n.want(n.CheckClock(n.ctx()), nil)
		}},
		{"the first signing key signs at once", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			key := n.wantKeys("kid1 signing")[0]
			if !key.CreatedAt.Equal(start) || !key.SignsFrom.Equal(start) || key.MaxLifetime != day ||
				!key.EarliestSigning().IsZero() || !key.RemovedFrom().IsZero() || string(key.Private) != "private part of kid1" {
				t.Errorf("the key is %+v", key)
			}
			read := must(n.SigningKeys(n.ctx()))
			failIf(t, !slices.Equal(states(read), []string{"kid1 signing"}), "read %v", read)
			n.wantEvents("signing_key.added")
		}},
		{"where nothing can become due, the clock is not asked", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.wantKeys("kid1 signing")
			before := n.clock.Reads()
			n.clock.Advance(100 * day)
			n.wantKeys("kid1 signing")
			if n.clock.Reads() != before || n.made.Load() != 1 {
				t.Errorf("the clock was read %d times, %d keys were made", n.clock.Reads()-before, n.made.Load())
			}
		}},
		{"a rotation goes its way", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.policy.RotateEvery = 30 * day
			n.wantKeys("kid1 signing")
			n.clock.Advance(30*day - notice - time.Second)
			n.wantKeys("kid1 signing")
			n.clock.Advance(time.Second)
			keys := n.wantKeys("kid1 signing", "kid2 announced")
			if want := start.Add(30 * day); !keys[1].EarliestSigning().Equal(want) {
				t.Errorf("it signs from %s, want %s", keys[1].EarliestSigning(), want)
			}
			n.clock.Advance(notice - time.Second)
			n.wantKeys("kid1 signing", "kid2 announced")
			n.clock.Advance(time.Second)
			keys = n.wantKeys("kid1 retired", "kid2 signing")
			if want := n.clock.Now().Add((day + margin)); !keys[0].RemovedFrom().Equal(want) {
				t.Errorf("the old one goes at %s, want %s", keys[0].RemovedFrom(), want)
			}
			n.clock.Advance((day + margin) - time.Second)
			n.wantKeys("kid1 retired", "kid2 signing")
			n.clock.Advance(time.Second)
			n.wantKeys("kid2 signing")
			n.wantEvents("signing_key.added", "signing_key.added", "signing_key.activated", "signing_key.removed")
			if n.made.Load() != 2 {
				t.Errorf("%d keys were made", n.made.Load())
			}
		}},
		{"a rotation by hand announces one key", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.wantKeys("kid1 signing")
			key := must(n.RotateSigningKey(n.ctx(), alice, n.policy))
			failIf(t, key.ID != "kid2" || key.State() != keystore.SigningKeyAnnounced, "announced %+v", key)
			n.clock.Advance(notice - time.Second)
			_, err := n.RotateSigningKey(n.ctx(), alice, n.policy)
			n.want(err, keystore.ErrExists)
			failIf(t, err != nil && !strings.Contains(err.Error(), `"kid2"`) || !strings.Contains(err.Error(), "2030-01-01T13:10:00Z"), "error %q does not say which key and from when it signs", err)
			// The other one's notice is over: it signs, and the next may come.
			n.clock.Advance(time.Second)
			key = must(n.RotateSigningKey(n.ctx(), alice, n.policy))
			n.wantKeys("kid1 retired", "kid2 signing", key.ID+" announced")
			n.wantEvents("signing_key.added", "signing_key.added", "signing_key.activated", "signing_key.added")
		}},
		{"a rotation by hand in an empty store makes the first key too", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			n.want(errOf(n.RotateSigningKey(n.ctx(), alice, n.policy)), nil)
			n.wantKeys("kid1 signing", "kid2 announced")
		}},
		{"a key that follows allows for the tokens of the one before", func(t *testing.T, k *keystoreKit) {
			// Of a node with longer tokens, which may sign with the new key before it maintains the keys.
			n := k.node()
			long := *n
			long.policy.TokenLifetime = 7 * day
			long.wantKeys("kid1 signing")
			n.want(errOf(n.RotateSigningKey(n.ctx(), alice, n.policy)), nil)
			n.clock.Advance(notice)
			if key := n.wantKeys("kid1 retired", "kid2 signing")[1]; key.MaxLifetime != 7*day {
				t.Errorf("it allows for %s", key.MaxLifetime)
			}
		}},
		{"another algorithm is announced first, and nodes that differ take turns", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.wantKeys("kid1 signing")
			other := *n
			other.policy.Algorithm = "RS256"
			other.wantKeys("kid1 signing", "kid2 announced")
			// For as long as they differ: a node that wants another one than is announced lets it be.
			var signers []string
			for range 60 {
				for _, node := range []*nodeKit{n, &other} {
					keys := must(node.MaintainSigningKeys(n.ctx(), node.policy))
					for _, key := range keys {
						if key.State() == keystore.SigningKeySigning && !slices.Contains(signers, key.ID+key.Algorithm) {
							signers = append(signers, key.ID+key.Algorithm)
						}
					}
				}
				n.clock.Advance(10 * time.Minute)
			}
			// In ten hours there are eight notices and a half.
			failIf(t, !slices.Equal(signers[:3], []string{"kid1ES256", "kid2RS256", "kid3ES256"}) || len(signers) > 10, "these signed: %q", signers)
		}},
		{"a leaked key is replaced at once", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			n.wantKeys("kid1 signing")
			n.want(errOf(n.RotateSigningKey(n.ctx(), alice, n.policy)), nil)
			n.clock.Advance(notice)
			n.wantKeys("kid1 retired", "kid2 signing")
			n.want(errOf(n.RotateSigningKey(n.ctx(), alice, n.policy)), nil)
			key := must(n.ReplaceSigningKeys(n.ctx(), alice, n.policy))
			n.wantKeys(key.ID + " signing")
			n.wantEvents("signing_key.added", "signing_key.added", "signing_key.activated", "signing_key.added", "signing_keys.replaced")
		}},
		{"altered signing keys can be replaced", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			n.wantKeys("kid1 signing")
			n.alter("signing_keys", `"ES256"`, `"none"`)
			n.want(errOf(n.MaintainSigningKeys(n.ctx(), n.policy)), keystore.ErrAltered)
			n.want(errOf(n.RotateSigningKey(n.ctx(), alice, n.policy)), keystore.ErrAltered)
			n.want(errOf(n.ReplaceSigningKeys(n.ctx(), alice, n.policy)), nil)
			n.wantKeys("kid2 signing")
		}},
		{"nodes that maintain at once make each step once", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.policy.RotateEvery = 2 * day
			for _, round := range []struct {
				after time.Duration
				event string // one more in the log, after so much time
				want  []string
			}{
				{0, "signing_key.added", []string{"signing"}},
				{2*day - notice, "signing_key.added", []string{"signing", "announced"}},
				{notice, "signing_key.activated", []string{"retired", "signing"}},
				{(day + margin), "signing_key.removed", []string{"signing"}},
			} {
				n.clock.Advance(round.after)
				before := n.events()
				var wait sync.WaitGroup
				for range 8 {
					node := n.clock.Keystore(master)
					for range 2 {
						wait.Go(func() {
							keys := must(node.MaintainSigningKeys(n.ctx(), n.policy))
							var got []string
							for _, key := range keys {
								got = append(got, string(key.State()))
							}
							failIf(t, !slices.Equal(got, round.want), "a node has %q, want %q", got, round.want)
						})
					}
				}
				wait.Wait()
				n.wantEvents(append(before, round.event)...)
			}
		}},
		{"a key that a node cannot make is an error, and changes nothing", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			failed := errors.New("no random numbers")
			bad := n.policy
			for _, made := range []struct {
				key  keystore.SigningKey
				err  error
				want error
			}{
				{keystore.SigningKey{}, failed, failed},
				{keystore.SigningKey{Algorithm: "ES256"}, nil, nil},
				{keystore.SigningKey{ID: "x", Algorithm: "RS256"}, nil, nil},
			} {
				bad.Generate = func(string) (keystore.SigningKey, error) { return made.key, made.err }
				_, err := n.MaintainSigningKeys(n.ctx(), bad)
				failIf(n.t, err == nil || !errors.Is(err, made.want) && made.want != nil, "error %v", err)
			}
			keys := must(n.SigningKeys(n.ctx()))
			failIf(n.t, len(keys) != 0, "keys %q", states(keys))
		}},
	}
}

// A policy that wants a key more often than one can be announced gets them one notice apart.
func TestRotationFasterThanTheNotice(t *testing.T) {
	t.Parallel()
	k := newNode(t)
	policy := k.policy
	policy.RotateEvery = time.Minute
	k.wantStates(k.maintain(policy), "kid1 signing", "kid2 announced")
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
	k := newNode(t)
	policy := k.policy
	policy.RotateEvery = time.Minute
	for range 15 {
		k.maintain(policy)
		k.clock.Advance(notice)
	}
	k.clock.Advance(100 * day)
	policy.RotateEvery = 0
	keys := k.maintain(policy)
	failIf(t, len(keys) != 16-8, "%d keys are left", len(keys))
	k.wantStates(k.maintain(policy), "kid15 retired", "kid16 signing")
}

// Two nodes rotate, by hand, at once.
func TestRotationsAtOnceAnnounceOneKey(t *testing.T) {
	t.Parallel()
	k := newNode(t)
	policy := k.policy
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
		k := newNode(t)
		policy := k.policy
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
		k.wantStates(keys, replaced.ID+" signing", keys[len(keys)-1].ID+" announced")
	}
}

// A database that took over has a clock that is behind, or it was set back.
func TestStoreClockGoesBackwards(t *testing.T) {
	t.Parallel()
	k := newNode(t)
	policy := k.policy
	k.maintain(policy)
	ok(t, errOf(k.RotateSigningKey(t.Context(), by, policy)))
	k.clock.Advance(-30 * time.Minute)
	k.wantStates(k.maintain(policy), "kid1 signing", "kid2 announced")
	k.clock.Advance(notice)
	k.wantStates(k.maintain(policy), "kid1 signing", "kid2 announced")
	k.clock.Advance(30 * time.Minute)
	k.wantStates(k.maintain(policy), "kid1 retired", "kid2 signing")
	k.clock.Advance(-10 * day)
	k.wantStates(k.maintain(policy), "kid1 retired", "kid2 signing")
	k.clock.Advance(10*day + day + margin - time.Second)
	k.wantStates(k.maintain(policy), "kid1 retired", "kid2 signing")
	k.clock.Advance(time.Second)
	k.wantStates(k.maintain(policy), "kid2 signing")
}

// A key that was announced by a clock that was years ahead does not keep people from rotating.
func TestRotationAfterAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	k := newNode(t)
	policy := k.policy
	k.maintain(policy)
	k.clock.Advance(3650 * day)
	ok(t, errOf(k.RotateSigningKey(t.Context(), by, policy)))
	k.clock.Advance(-3650 * day)
	k.wantStates(k.maintain(policy), "kid1 signing", "kid2 announced")
	ok(t, errOf(k.RotateSigningKey(t.Context(), by, policy)))
	k.clock.Advance(notice)
	k.wantStates(k.maintain(policy), "kid1 retired", "kid3 signing")
}

// A store whose clock cannot be read is not a reason to do anything.
func TestNoMaintenanceWithoutTheClock(t *testing.T) {
	t.Parallel()
	k := newNode(t)
	unread := keystore.New(timeless{k.clock}, master)
	policy := k.policy
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
