package keystore_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// token is one of a key, which expires in an hour by the store's clock.
func (n *nodeKit) token(id, key string) keystore.RevokedToken {
	return keystore.RevokedToken{ID: id, KeyID: key, ExpiresAt: n.clock.Now().Add(time.Hour)}
}

func (n *nodeKit) wantRevoked(id string, want bool) {
	n.t.Helper()
	got := must(n.TokenRevoked(n.ctx(), id))
	failIf(n.t, got != want, "revoked(%q) is %t, want %t", id, got, want)
}

// wantKept wants so many revocations in the store, of these owners.
func (n *nodeKit) wantKept(all int64, owners map[string]int64) {
	n.t.Helper()
	indexes, want := []string{"revoked"}, []int64{all}
	for owner, size := range owners {
		indexes, want = append(indexes, "revoked/"+owner), append(want, size)
	}
	got := must(n.store.Sizes(n.ctx(), indexes...))
	failIf(n.t, !slices.Equal(got, want), "the indexes %q have %d, want %d", indexes, got, want)
}

// revocationTests hold the end of single tokens.
func revocationTests() []keystoreTest {
	return []keystoreTest{
		{"one token of a key is revoked, once", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			key, _ := n.key("dep1")
			n.wantRevoked("jti", false)
			later := n.token("later", key.ID)
			later.ExpiresAt = later.ExpiresAt.Add(90*time.Minute + time.Nanosecond)
			for range 2 {
				n.want(n.RevokeToken(n.ctx(), alice, later), nil)
				n.want(n.RevokeToken(n.ctx(), alice, n.token("jti", key.ID)), nil)
			}
			n.wantRevoked("jti", true)
			n.wantRevoked("later", true)
			n.wantRevoked("other", false)
			read := must(n.Key(n.ctx(), key.ID))
			if want := start.Add(150*time.Minute + time.Second); !read.RevokedUntil.Equal(want) || read.TokenEpoch != 0 {
				t.Errorf("revoked until %s, want %s", read.RevokedUntil, want)
			}
			n.wantKept(2, map[string]int64{key.ID: 2})
			n.wantEvents("deployment.created dep1", "key.created dep1", "token.revoked dep1", "token.revoked dep1")
			entries := must(n.store.Log(n.ctx(), 0, 100))
			event := must(keystore.DecodeEvent(entries[len(entries)-1].Event))
			failIf(t, event.Token != "jti" || event.Key != key.ID || event.By != "alice", "the event is %+v", event)
		}},
		{"a token of a user is revoked", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			user := "a/b ü@example.com"
			n.want(n.RevokeToken(n.ctx(), alice, keystore.RevokedToken{ID: "jti", User: user, ExpiresAt: start.Add(time.Hour)}), nil)
			n.wantRevoked("jti", true)
			n.wantKept(1, map[string]int64{"user:YS9iIMO8QGV4YW1wbGUuY29t": 1})
			n.clock.Advance(65 * time.Minute)
			removed := must(n.PurgeRevokedTokens(n.ctx()))
			failIf(n.t, removed != 1, "%d were removed", removed)
			n.wantRevoked("jti", false)
			n.wantKept(0, map[string]int64{"user:YS9iIMO8QGV4YW1wbGUuY29t": 0})
		}},
		{"a token that is good for nothing is not written", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			key, _ := n.key("dep1")
			gone, _ := n.key("dep1")
			n.want(n.DeleteKey(n.ctx(), alice, "dep1", gone.ID), nil)
			before := n.events()
			expired := n.token("expired", key.ID)
			expired.ExpiresAt = start.Add(-5 * time.Minute)
			n.want(n.RevokeToken(n.ctx(), alice, expired), nil)
			expired.ExpiresAt = time.Time{}
			n.want(n.RevokeToken(n.ctx(), alice, expired), nil)
			n.want(n.RevokeToken(n.ctx(), alice, n.token("gone", gone.ID)), nil)
			n.wantRevoked("expired", false)
			n.wantRevoked("gone", false)
			n.wantKept(0, map[string]int64{key.ID: 0})
			n.wantEvents(before...)

			// A node whose clock is behind still takes this one.
			expired.ExpiresAt = start.Add(-5*time.Minute + time.Second)
			n.want(n.RevokeToken(n.ctx(), alice, expired), nil)
			n.wantRevoked("expired", true)
		}},
		{"what is no token is refused", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			key, _ := n.key("dep1")
			for _, id := range []string{"", "a/b", "../root", "a b", "é", "a.b", "a\x00", "a=", strings.Repeat("a", 65)} {
				n.want(n.RevokeToken(n.ctx(), alice, n.token(id, key.ID)), keystore.ErrInvalid)
				n.wantRevoked(id, false)
			}
			for _, t := range []keystore.RevokedToken{
				{ID: "jti"},
				{ID: "jti", KeyID: key.ID, User: "bob"},
				{ID: "jti", KeyID: "../x"},
				{ID: "jti", User: "a\nb"},
				{ID: "jti", User: "bob", DeploymentID: "../x"},
			} {
				t.ExpiresAt = start.Add(time.Hour)
				n.want(n.RevokeToken(n.ctx(), alice, t), keystore.ErrInvalid)
			}
			n.want(n.RevokeToken(n.ctx(), alice, n.token(strings.Repeat("_-aZ9", 12)+"abcd", key.ID)), nil)
			n.wantKept(1, map[string]int64{key.ID: 1})
		}},
		{"tokens revoked at once all count", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			key, _ := n.key("dep1")
			var wait sync.WaitGroup
			for i := range 8 {
				wait.Go(func() {
					token := n.token(fmt.Sprintf("jti-%d", i%4), key.ID)
					token.ExpiresAt = token.ExpiresAt.Add(time.Duration(i%4) * time.Minute)
					n.want(n.RevokeToken(n.ctx(), alice, token), nil)
				})
			}
			wait.Wait()
			n.wantKept(4, map[string]int64{key.ID: 4})
			read := must(n.Key(n.ctx(), key.ID))
			if want := start.Add(63 * time.Minute); !read.RevokedUntil.Equal(want) {
				t.Errorf("revoked until %s, want %s", read.RevokedUntil, want)
			}
		}},
		{"each revocation takes eight expired ones with it", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			key, _ := n.key("dep1")
			other, _ := n.key("dep1")
			for i := range 10 {
				n.want(n.RevokeToken(n.ctx(), alice, n.token(fmt.Sprintf("jti-%d", i), key.ID)), nil)
			}
			n.clock.Advance(65*time.Minute - time.Second)
			n.want(n.RevokeToken(n.ctx(), alice, n.token("next", other.ID)), nil)
			n.wantKept(11, map[string]int64{key.ID: 10})
			n.clock.Advance(time.Second)
			n.want(n.RevokeToken(n.ctx(), alice, n.token("last", other.ID)), nil)
			n.wantKept(4, map[string]int64{key.ID: 2})
			n.wantRevoked("next", true)
			n.wantRevoked("jti-0", false)
		}},
		{"what is kept of deleted keys and Deployments goes with time", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.deployment("dep1")
			n.deployment("dep2")
			key, _ := n.key("dep1")
			other, _ := n.key("dep2")
			for i := range 250 { // more than one batch
				id := []string{key.ID, other.ID}[i%2]
				n.want(n.RevokeToken(n.ctx(), alice, n.token(fmt.Sprintf("jti-%03d", i), id)), nil)
			}
			n.want(n.DeleteKey(n.ctx(), alice, "dep1", key.ID), nil)
			n.want(n.DeleteDeployment(n.ctx(), alice, "dep2"), nil)
			removed := must(n.PurgeRevokedTokens(n.ctx()))
			n.clock.Advance(65 * time.Minute)
			after := must(n.PurgeRevokedTokens(n.ctx()))
			failIf(t, removed != 0 || after != 250, "%d were removed too early, %d later", removed, after)
			n.wantKept(0, map[string]int64{key.ID: 0, other.ID: 0})
			for _, id := range []string{"jti-000", "jti-001", "jti-249"} {
				n.wantRevoked(id, false)
			}
		}},
		{"a key has so many revoked tokens and no more", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			key, _ := n.key("dep1")
			fill := func(everywhere bool) {
				var steps []keystore.Step
				expires := start.Add(time.Hour).Unix()
				for i := range keystore.MaxRevokedTokens {
					id := fmt.Sprintf("old-%05d", i)
					steps = append(steps, add("revoked/"+key.ID, id))
					if everywhere {
						steps = append(steps, add("revoked", fmt.Sprintf("%016x/%s/%s", expires, key.ID, id)))
					}
					if len(steps) == 2000 {
						n.want(n.store.Apply(n.ctx(), keystore.Change{Steps: steps}), nil)
						steps = nil
					}
				}
			}
			fill(true)
			err := n.RevokeToken(n.ctx(), alice, n.token("one-more", key.ID))
			n.want(err, keystore.ErrLimit)
			failIf(n.t, err != nil && !strings.Contains(err.Error(), "all tokens of the key"), "error %q does not say what to do", err)
			n.wantRevoked("one-more", false)

			// That is what helps.
			n.want(n.RevokeKeyTokens(n.ctx(), alice, "dep1", key.ID), nil)
			n.wantKept(keystore.MaxRevokedTokens, map[string]int64{key.ID: 0})
			n.want(n.RevokeToken(n.ctx(), alice, n.token("one-more", key.ID)), nil)
			n.wantRevoked("one-more", true)

			// And those that have expired do not count, whether or not anybody has removed them.
			fill(false)
			n.clock.Advance(2 * time.Hour)
			n.want(n.RevokeToken(n.ctx(), alice, n.token("later", key.ID)), nil)
			n.wantRevoked("later", true)
		}},
		{"a revoked token does not come back when all tokens of its key are revoked", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			key, _ := n.key("dep1")
			n.want(n.RevokeToken(n.ctx(), alice, n.token("jti", key.ID)), nil)
			n.want(n.RevokeKeyTokens(n.ctx(), alice, "dep1", key.ID), nil)
			read := must(n.Key(n.ctx(), key.ID))
			failIf(t, !read.RevokedUntil.IsZero() || read.TokenEpoch == 0, "the key is %+v", read)
			n.wantKept(1, map[string]int64{key.ID: 0})
			n.wantRevoked("jti", true) // for a node that has not heard of the new epoch
			n.clock.Advance(2 * time.Hour)
			n.want(errOf(n.PurgeRevokedTokens(n.ctx())), nil)
			n.wantKept(0, nil)
		}},
		{"an altered revocation is reported, and strangers in the index are removed", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			key, _ := n.key("dep1")
			n.want(n.RevokeToken(n.ctx(), alice, n.token("jti", key.ID)), nil)
			n.alter("revoked/jti", key.ID, strings.Repeat("0", 24))
			n.want(errOf(n.TokenRevoked(n.ctx(), "jti")), keystore.ErrAltered)

			n.put("revoked/", []byte("x"))
			n.forge(
				add("revoked", "!"), add("revoked", "0//"), add("revoked", "0000000000000001/x/../root"),
			)
			removed := must(n.PurgeRevokedTokens(n.ctx()))
			failIf(n.t, removed != 3, "%d were removed", removed)
			n.wantKept(1, map[string]int64{key.ID: 1})
			records := must(n.store.Get(n.ctx(), "root", "revoked/"))
			failIf(n.t, records[0] == nil || records[1] == nil, "a stranger took a record with it")
		}},
	}
}
