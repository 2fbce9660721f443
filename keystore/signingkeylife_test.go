package keystore_test

import (
	"bytes"
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

// wantKeys maintains the keys and wants them to be these, oldest first: "kid1 signing".
func (n *nodeKit) wantKeys(want ...string) []keystore.SigningKey {
	n.t.Helper()
	keys := must(n.MaintainSigningKeys(n.ctx(), n.policy))
	if got := states(keys); !slices.Equal(got, want) {
		n.t.Fatalf("at %s the keys are %q, want %q", n.clock.Now(), got, want)
	}
	return keys
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
			if !slices.Equal(states(read), []string{"kid1 signing"}) {
				t.Errorf("read %v", read)
			}
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
			if key.ID != "kid2" || key.State() != keystore.SigningKeyAnnounced {
				t.Errorf("announced %+v", key)
			}
			n.clock.Advance(notice - time.Second)
			_, err := n.RotateSigningKey(n.ctx(), alice, n.policy)
			n.want(err, keystore.ErrExists)
			if err != nil && !strings.Contains(err.Error(), `"kid2"`) || !strings.Contains(err.Error(), "2030-01-01T13:10:00Z") {
				t.Errorf("error %q does not say which key and from when it signs", err)
			}
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
		{"longer tokens are allowed for before they are signed", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.wantKeys("kid1 signing")
			n.want(errOf(n.RotateSigningKey(n.ctx(), alice, n.policy)), nil)
			long := *n
			long.policy.TokenLifetime = 7 * day
			for _, key := range long.wantKeys("kid1 signing", "kid2 announced") {
				if key.MaxLifetime != 7*day {
					t.Errorf("%s allows for %s", key.ID, key.MaxLifetime)
				}
			}
			for _, key := range n.wantKeys("kid1 signing", "kid2 announced") { // of another node
				if key.MaxLifetime != 7*day {
					t.Errorf("%s allows for %s after a node with shorter tokens", key.ID, key.MaxLifetime)
				}
			}
			n.clock.Advance(notice)
			n.wantKeys("kid1 retired", "kid2 signing")
			n.clock.Advance(7 * day)
			n.wantKeys("kid1 retired", "kid2 signing")
			n.clock.Advance(65 * time.Minute)
			n.wantKeys("kid2 signing")
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
			if !slices.Equal(signers[:3], []string{"kid1ES256", "kid2RS256", "kid3ES256"}) || len(signers) > 10 {
				t.Errorf("these signed: %q", signers)
			}
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
		{"signing keys are sealed in the store", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.wantKeys("kid1 signing")
			records := must(n.store.Get(n.ctx(), "signing_keys"))
			if bytes.Contains(records[0], []byte("private part")) {
				t.Errorf("the record is %q", records[0])
			}
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
							if !slices.Equal(got, round.want) {
								t.Errorf("a node has %q, want %q", got, round.want)
							}
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
				if err == nil || !errors.Is(err, made.want) && made.want != nil {
					n.t.Errorf("error %v", err)
				}
			}
			keys := must(n.SigningKeys(n.ctx()))
			if len(keys) != 0 {
				n.t.Errorf("keys %q", states(keys))
			}
		}},
	}
}
