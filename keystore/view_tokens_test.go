package keystore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// What a view says of tokens, for each way in which tokens end: a number that goes up with the end.
var tokenEnds = map[string]struct {
	record func(key string) string // that is read
	end    func(k *viewKit, by *keystore.Keystore, key string) error
	said   func(k *viewKit, key string) (uint64, error)
}{
	"of a key": {
		func(key string) string { return "key/" + key },
		func(k *viewKit, node *keystore.Keystore, key string) error {
			return node.RevokeKeyTokens(k.ctx(), by, "dep1", key)
		},
		func(k *viewKit, id string) (uint64, error) {
			key, err := k.Key(k.ctx(), id, maxAge)
			return min(key.TokenEpoch, 1), err
		},
	},
	"of a Deployment": {
		func(string) string { return "deployment/dep1" },
		func(k *viewKit, node *keystore.Keystore, _ string) error {
			return node.RevokeDeploymentTokens(k.ctx(), by, "dep1")
		},
		func(k *viewKit, _ string) (uint64, error) {
			d, err := k.Deployment(k.ctx(), "dep1", maxAge)
			return min(d.TokenEpoch, 1), err
		},
	},
	"of all": {
		func(string) string { return "cutoff" },
		func(k *viewKit, node *keystore.Keystore, _ string) error { return node.RevokeAllTokens(k.ctx(), by) },
		func(k *viewKit, _ string) (uint64, error) {
			cutoff, err := k.Cutoff(k.ctx(), maxAge)
			return min(cutoff.TokenEpoch, 1), err
		},
	},
	"one token": {
		func(string) string { return "revoked/jti" },
		revokeOne,
		func(k *viewKit, _ string) (uint64, error) {
			revoked, err := k.TokenRevoked(k.ctx(), "jti", maxAge)
			if revoked {
				return 1, err
			}
			return 0, err
		},
	},
	"one token, as its key says": {
		func(key string) string { return "key/" + key },
		revokeOne,
		func(k *viewKit, id string) (uint64, error) {
			key, err := k.Key(k.ctx(), id, maxAge)
			if key.RevokedUntil.IsZero() {
				return 0, err
			}
			return 1, err
		},
	},
}

func revokeOne(k *viewKit, node *keystore.Keystore, key string) error {
	return node.RevokeToken(k.ctx(), by, keystore.RevokedToken{ID: "jti", KeyID: key, ExpiresAt: time.Now().Add(time.Hour)})
}

// What a node revokes itself it knows at once, and what others do by the log.
func TestViewForgetsWhatIsKnownOfTokens(t *testing.T) {
	t.Parallel()
	for name, test := range tokenEnds {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, own %t", name, own), func(t *testing.T) {
				t.Parallel()
				k := newViewKit(t)
				key, _ := k.key()
				want := func(want uint64) {
					t.Helper()
					for range 3 {
						got, err := test.said(k, key.ID)
						failIf(t, got != want || err != nil, "the view says %d, error %v, want %d", got, err, want)
					}
				}
				k.wantReads(1, func() { want(0) })
				if own {
					ok(t, test.end(k, k.own, key.ID))
					want(1)
					return
				}
				ok(t, test.end(k, k.other, key.ID))
				k.caughtUp()
				k.wantReads(1, func() { want(1) })
			})
		}
	}
}

// A read that began before tokens were revoked, and ends after the node has heard of it.
func TestStaleFillDoesNotRevive(t *testing.T) {
	t.Parallel()
	for name, test := range tokenEnds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newViewKit(t)
			key, _ := k.key()
			var said uint64
			goOn, answered := k.hold(test.record(key.ID), func() (err error) {
				said, err = test.said(k, key.ID)
				return err
			})
			ok(t, test.end(k, k.other, key.ID))
			k.caughtUp()
			want := func() {
				t.Helper()
				if got, err := test.said(k, key.ID); got != 1 || err != nil {
					t.Errorf("the view says %d, error %v, want 1", got, err)
				}
			}
			want()
			close(goOn)
			if err := <-answered; err != nil || said != 1 {
				t.Errorf("the question that was overtaken is answered with %d, error %v", said, err)
			}
			want()
		})
	}
}

// An event must not cost what it does not touch.
func TestTokenEventsForgetNoMoreThanTheyMust(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, _ := k.key()
	other, _ := k.key()
	ask := func() {
		k.wantKey(other.ID, nil)
		if _, err := k.TokenRevoked(k.ctx(), "other", maxAge); err != nil {
			t.Error(err)
		}
		if _, err := k.Member(k.ctx(), "dep1", "bob", maxAge); err == nil {
			t.Error("bob is a member")
		}
	}
	ask()
	for name, test := range tokenEnds {
		if err := test.end(k, k.other, key.ID); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	ok(t, k.other.ChangeMaster(k.ctx(), by, append([]byte("new "), master...)))
	k.caughtUp()
	k.wantReads(0, ask)
}

func TestSigningKeyEventsAreHeardOf(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	node := (&keystoreKit{t: t, store: k.store}).node()
	policy, clock := node.policy, node.clock
	version := k.SigningKeysVersion()
	heard := func(what string) {
		t.Helper()
		k.caughtUp()
		if now := k.SigningKeysVersion(); now == version {
			t.Errorf("%s: not heard of", what)
		} else {
			version = now
		}
	}
	node.maintain(policy)
	heard("first")
	ok(t, errOf(node.RotateSigningKey(t.Context(), by, policy)))
	heard("announced")
	clock.Advance(notice)
	node.maintain(policy)
	heard("activated")
	clock.Advance(2 * day)
	node.maintain(policy)
	heard("removed")
	ok(t, errOf(node.ReplaceSigningKeys(t.Context(), by, policy)))
	heard("replaced")
	if stats := k.Stats(); stats.Gaps != 0 {
		t.Errorf("stats %+v", stats)
	}
}

// What is no jti is not asked for, and what is known of tokens is bounded.
func TestViewOfRevokedTokensIsBounded(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	k.wantReads(0, func() {
		for _, id := range []string{"", "a/b", "a b", "../../root"} {
			if revoked, err := k.TokenRevoked(k.ctx(), id, maxAge); revoked || err != nil {
				t.Errorf("%q: %t, %v", id, revoked, err)
			}
		}
	})
	ok(t, errOf(k.TokenRevoked(k.ctx(), "jti", maxAge)))
	if stats := k.Stats(); stats.Revoked != 1 {
		t.Errorf("stats %+v", stats)
	}
	k.Resize(10)
	for i := range 100 {
		ok(t, errOf(k.TokenRevoked(k.ctx(), fmt.Sprint(i), maxAge)))
	}
	storetest.Poll(t, 30*time.Second, "the view to shrink to 10 tokens", func() bool { return k.Stats().Revoked <= 10 })
}
