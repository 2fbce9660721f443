package keystore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// epochTests hold the ends of many tokens at once.
func epochTests() []keystoreTest {
	return []keystoreTest{
		{"tokens of a key are revoked, and the key lives", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			key, secret := k.key("dep1")
			for range 2 {
				k.want(k.RevokeKeyTokens(k.ctx(), alice, "dep1", key.ID), nil)
			}
			got := must(k.Authenticate(k.ctx(), key.ID, secret))
			failIf(t, got.TokenEpoch < 2 || got.TokensRevokedAt.IsZero(), "the key is %+v", got)
			k.want(k.RevokeKeyTokens(k.ctx(), alice, "dep2", key.ID), keystore.ErrNotFound)
			k.want(k.RevokeKeyTokens(k.ctx(), alice, "dep1", "../dep1"), keystore.ErrNotFound)
			k.want(k.DeleteKey(k.ctx(), alice, "dep1", key.ID), nil)
			k.want(k.RevokeKeyTokens(k.ctx(), alice, "dep1", key.ID), keystore.ErrNotFound)
			k.wantEvents("deployment.created dep1", "deployment.created dep2", "key.created dep1",
				"key.tokens_revoked dep1", "key.tokens_revoked dep1", "key.deleted dep1")
		}},
		{"tokens of a Deployment are revoked", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.want(k.RevokeDeploymentTokens(k.ctx(), alice, "dep1"), nil)
			d := must(k.Deployment(k.ctx(), "dep1"))
			failIf(t, d.TokenEpoch == 0 || d.TokensRevokedAt.IsZero(), "the Deployment is %+v", d)
			k.want(k.RevokeDeploymentTokens(k.ctx(), alice, "dep2"), keystore.ErrNotFound)
			k.want(k.RevokeDeploymentTokens(k.ctx(), alice, "../dep1"), keystore.ErrNotFound)
			k.wantEvents("deployment.created dep1", "deployment.tokens_revoked dep1")
		}},
		{"a second revocation by a clock that is behind does not bring users' tokens back", func(t *testing.T, k *keystoreKit) {
			clock := storetest.NewClock(k.store, time.Now().UTC().Truncate(time.Second))
			k.Keystore = clock.Keystore(master)
			k.deployment("dep1")
			k.want(k.RevokeDeploymentTokens(k.ctx(), alice, "dep1"), nil)
			first := must(k.Deployment(k.ctx(), "dep1"))
			clock.Advance(-time.Hour)
			k.want(k.RevokeDeploymentTokens(k.ctx(), alice, "dep1"), nil)
			second := must(k.Deployment(k.ctx(), "dep1"))
			failIf(t, second.TokensRevokedAt.Before(first.TokensRevokedAt) || second.TokenEpoch <= first.TokenEpoch, "after the second revocation %+v, after the first %+v", second, first)
		}},
		{"all tokens are revoked", func(t *testing.T, k *keystoreKit) {
			cutoff := must(k.Cutoff(k.ctx()))
			failIf(t, cutoff != (keystore.Cutoff{}), "at first the cutoff is %+v", cutoff)
			k.want(k.RevokeAllTokens(k.ctx(), alice), nil)
			k.want(k.RevokeAllTokens(k.ctx(), alice), nil)
			cutoff = must(k.Cutoff(k.ctx()))
			failIf(t, cutoff.TokenEpoch < 2 || cutoff.TokensRevokedAt.IsZero(), "the cutoff is %+v", cutoff)
			k.wantEvents("tokens.revoked", "tokens.revoked")
			before := cutoff.TokenEpoch
			k.alter("cutoff", `"token_epoch":`, `"token_epoch":1`)
			k.want(errOf(k.Cutoff(k.ctx())), keystore.ErrAltered)
			// Another revocation mends it, and is after all that were before. Two of one millisecond are one ahead of the clock,
			// by which alone it can tell once the record says nothing.
			storetest.Poll(t, time.Minute, "the next millisecond", func() bool { return uint64(time.Now().UnixMilli()) > before })
			k.want(k.RevokeAllTokens(k.ctx(), alice), nil)
			cutoff = must(k.Cutoff(k.ctx()))
			failIf(t, cutoff.TokenEpoch <= before, "after an altered record the cutoff is %+v", cutoff)
		}},
		{"an epoch that a failover lost is not handed out again", func(t *testing.T, k *keystoreKit) {
			key, _ := k.key("dep1")
			before := must(k.store.Get(k.ctx(), "key/"+key.ID))
			k.want(k.RevokeKeyTokens(k.ctx(), alice, "dep1", key.ID), nil)
			issued, err := k.Key(k.ctx(), key.ID) // a token carries its epoch
			k.want(err, nil)
			k.forge(keystore.Step{Kind: keystore.PutRecord, Name: "key/" + key.ID, Value: before[0]})
			storetest.Poll(t, time.Minute, "the next millisecond", func() bool { return uint64(time.Now().UnixMilli()) > issued.TokenEpoch })
			k.want(k.RevokeKeyTokens(k.ctx(), alice, "dep1", key.ID), nil)
			after := must(k.Key(k.ctx(), key.ID))
			failIf(t, after.TokenEpoch <= issued.TokenEpoch, "epoch %d after one of %d was lost: tokens of it live on", after.TokenEpoch, issued.TokenEpoch)
		}},
		{"a store's clock that is wrong does not bring revoked tokens back", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			key, _ := n.key("dep1")
			n.SetClock(func() time.Time { return start }) // right, whatever the store says
			revoke := func(id string) {
				t.Helper()
				n.want(n.RevokeToken(n.ctx(), alice, keystore.RevokedToken{ID: id, KeyID: key.ID, ExpiresAt: start.Add(time.Hour)}), nil)
			}
			revoke("before")
			n.clock.Advance(48 * time.Hour)
			revoke("meanwhile")
			removed := must(n.PurgeRevokedTokens(n.ctx()))
			for _, id := range []string{"before", "meanwhile"} {
				if revoked, err := n.TokenRevoked(n.ctx(), id); err != nil || !revoked {
					t.Errorf("%s: %v, %v; %d were removed", id, revoked, err, removed)
				}
			}
			n.want(n.CheckClock(n.ctx()), keystore.ErrClock)
		}},
		{"revocations at once all count", func(t *testing.T, k *keystoreKit) {
			key, _ := k.key("dep1")
			var wait sync.WaitGroup
			for range 4 {
				wait.Go(func() {
					k.want(k.RevokeKeyTokens(k.ctx(), alice, "dep1", key.ID), nil)
					k.want(k.RevokeDeploymentTokens(k.ctx(), alice, "dep1"), nil)
					k.want(k.RevokeAllTokens(k.ctx(), alice), nil)
				})
			}
			wait.Wait()
			got, _ := k.Key(k.ctx(), key.ID)
			d, _ := k.Deployment(k.ctx(), "dep1")
			cutoff, _ := k.Cutoff(k.ctx())
			failIf(t, got.TokenEpoch < 4 || d.TokenEpoch < 4 || cutoff.TokenEpoch < 4, "epochs %d, %d, %d, want 4 at least", got.TokenEpoch, d.TokenEpoch, cutoff.TokenEpoch)
		}},
		{"an edit does not bring revoked tokens back", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.want(errOf(n.CreateDeployment(n.ctx(), alice, keystore.Deployment{ID: "dep1", Name: "x", TokenEpoch: 7, TokensRevokedAt: start})), nil)
			made, _ := must2(n.CreateKey(n.ctx(), alice, keystore.Key{
				DeploymentID: "dep1", Name: "k", TokenEpoch: 7, TokensRevokedAt: start, RevokedUntil: start,
			}))
			d := must(n.Deployment(n.ctx(), "dep1"))
			failIf(t, made.TokenEpoch != 0 || !made.TokensRevokedAt.IsZero() || !made.RevokedUntil.IsZero() || d.TokenEpoch != 0 || !d.TokensRevokedAt.IsZero(), "new ones are %+v and %+v", made, d)
			n.want(n.RevokeKeyTokens(n.ctx(), alice, "dep1", made.ID), nil)
			n.want(n.RevokeDeploymentTokens(n.ctx(), alice, "dep1"), nil)
			n.want(n.RevokeToken(n.ctx(), alice, n.token("jti", made.ID)), nil)
			before := must(n.Key(n.ctx(), made.ID))
			after := must(n.UpdateKey(n.ctx(), alice, "dep1", made.ID, func(key *keystore.Key) error {
				key.Name, key.TokenEpoch, key.TokensRevokedAt, key.RevokedUntil = "new", 0, time.Time{}, time.Time{}
				return nil
			}))
			failIf(t, after.Name != "new" || after.TokenEpoch == 0 || !after.TokensRevokedAt.Equal(before.TokensRevokedAt) || !after.RevokedUntil.Equal(before.RevokedUntil), "the key was %+v and is %+v", before, after)
			d = must(n.UpdateDeployment(n.ctx(), alice, "dep1", func(d *keystore.Deployment) error {
				d.Name, d.TokenEpoch, d.TokensRevokedAt = "new", 0, time.Time{}
				return nil
			}))
			failIf(t, d.Name != "new" || d.TokenEpoch == 0 || d.TokensRevokedAt.IsZero(), "the Deployment is %+v", d)
		}},
	}
}
