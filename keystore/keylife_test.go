package keystore_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// wantSecret checks what a secret of a key is answered; nil wants that it is good.
func (k *keystoreKit) wantSecret(what, id, secret string, want error) {
	k.t.Helper()
	if _, err := k.Authenticate(k.ctx(), id, secret); (want == nil) != (err == nil) || !errors.Is(err, want) {
		k.t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// expireAt sets the expiry of a key of dep1.
func (k *keystoreKit) expireAt(id string, at time.Time) keystore.Key {
	k.t.Helper()
	key := must(k.UpdateKey(k.ctx(), alice, "dep1", id, func(key *keystore.Key) error {
		key.ExpiresAt = at
		return nil
	}))
	return key
}

func (k *keystoreKit) rotate(id string, r keystore.KeyRotation) (keystore.Key, string) {
	k.t.Helper()
	key, secret := must2(k.RotateKey(k.ctx(), alice, "dep1", id, r))
	return key, secret.Reveal()
}

// expiryTests hold when keys end by themselves.
func expiryTests() []keystoreTest {
	return []keystoreTest{
		{"a key ends when it expires, and lives again when that is moved", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			at := time.Now().Add(time.Hour)
			key, made := must2(k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "dep1", Name: "k", ExpiresAt: at}))
			if want := at.UTC().Truncate(time.Second); key.ExpiresAt != want {
				t.Errorf("it expires at %s, want %s", key.ExpiresAt, want)
			}
			secret := made.Reveal()
			k.wantSecret("before", key.ID, secret, nil)

			gone := k.expireAt(key.ID, time.Now().Add(-time.Second))
			k.wantSecret("after", key.ID, secret, keystore.ErrExpired)
			if _, err := k.Authenticate(k.ctx(), key.ID, secret); !strings.Contains(err.Error(), gone.ExpiresAt.Format(time.RFC3339)) {
				t.Errorf("error %q does not say since when", err)
			}
			k.wantSecret("after, with another secret", key.ID, keystore.NewSecret().Reveal(), keystore.ErrCredentials)
			list := must(k.Keys(k.ctx(), "dep1", keystore.Page{Limit: 10}))
			failIf(t, len(list.Items) != 1 || !list.Items[0].ExpiresAt.Equal(gone.ExpiresAt), "listed %+v, want the key with its expiry", list.Items)
			k.expireAt(key.ID, at)
			k.wantSecret("moved to later", key.ID, secret, nil)
			if never := k.expireAt(key.ID, time.Time{}); !never.ExpiresAt.IsZero() {
				t.Errorf("it expires at %s, want never", never.ExpiresAt)
			}
			k.wantSecret("taken away", key.ID, secret, nil)
		}},
		{"time alone ends a key, and an overlap", func(_ *testing.T, k *keystoreKit) {
			n := k.node()
			key, first := n.key("dep1")
			_, second := n.rotate(key.ID, keystore.KeyRotation{Overlap: time.Second})
			n.expireAt(key.ID, start.Add(2*time.Second))
			before := n.events()
			n.clock.Advance(time.Second - 1)
			n.wantSecret("the old one in the overlap", key.ID, first, nil)
			n.clock.Advance(1)
			n.wantSecret("the old one after it", key.ID, first, keystore.ErrCredentials)
			n.clock.Advance(time.Second - 1)
			n.wantSecret("the new one before the end", key.ID, second, nil)
			n.clock.Advance(1)
			n.wantSecret("the new one at the end", key.ID, second, keystore.ErrExpired)
			n.wantEvents(before...)
		}},
		{"an expiry that cannot be is refused", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			now := time.Now()
			for _, at := range []time.Time{now, now.Add(-time.Hour), time.Unix(0, 0), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}.Add(time.Hour)} {
				k.want(errOf2(k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "dep1", Name: "k", ExpiresAt: at})), keystore.ErrInvalid)
			}
			k.wantEvents("deployment.created dep1")
		}},
		{"a key whose expiry or addresses were altered is refused", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			for _, altered := range [][2]string{{`"expires_at":"2`, `"expires_at":"3`}, {`10.0.0.0/8`, `0.0.0.0/0`}} {
				key, made := must2(k.CreateKey(k.ctx(), alice, keystore.Key{
					DeploymentID: "dep1", Name: "k", ExpiresAt: time.Now().Add(time.Hour),
					AllowedIPs: keystore.AllowedIPs{netip.MustParsePrefix("10.0.0.0/8")},
				}))
				k.alter("key/"+key.ID, altered[0], altered[1])
				k.wantSecret("altered", key.ID, made.Reveal(), keystore.ErrAltered)
			}
		}},
	}
}

// keyRotationTests hold the secrets of a key.
func keyRotationTests() []keystoreTest {
	return []keystoreTest{
		{"a new secret takes over at once", func(t *testing.T, k *keystoreKit) {
			key, first := k.key("dep1")
			rotated, second := k.rotate(key.ID, keystore.KeyRotation{})
			k.wantSecret("the old one", key.ID, first, keystore.ErrCredentials)
			k.wantSecret("the new one", key.ID, second, nil)
			if rotated.ID != key.ID || rotated.Name != key.Name || rotated.Scopes != key.Scopes || rotated.TokenEpoch != 0 ||
				rotated.HasPreviousSecret(time.Now()) || rotated.PreviousSecretHash != nil {
				t.Errorf("rotated to %+v", rotated)
			}
			k.wantEvents("deployment.created dep1", "key.created dep1", "key.rotated dep1")
			made, _ := must2(k.CreateKey(k.ctx(), alice, keystore.Key{
				DeploymentID: "dep1", Name: "k", PreviousSecretHash: []byte("x"), PreviousSecretExpiresAt: time.Now().Add(time.Hour),
			}))
			failIf(t, made.HasPreviousSecret(time.Now()), "made %+v", made)
		}},
		{"both secrets work in the overlap, and never three", func(t *testing.T, k *keystoreKit) {
			key, first := k.key("dep1")
			begin := time.Now()
			rotated, second := k.rotate(key.ID, keystore.KeyRotation{Overlap: keystore.MaxOverlap})
			until := rotated.PreviousSecretExpiresAt
			failIf(t, until.Before(begin.Add(keystore.MaxOverlap)) || until.After(time.Now().Add(keystore.MaxOverlap+time.Second)) || until.Nanosecond() != 0, "the previous secret is good until %s", until)
			k.wantSecret("the old one", key.ID, first, nil)
			k.wantSecret("the new one", key.ID, second, nil)
			k.wantSecret("another one", key.ID, keystore.NewSecret().Reveal(), keystore.ErrCredentials)

			_, third := k.rotate(key.ID, keystore.KeyRotation{Overlap: time.Hour})
			k.wantSecret("the oldest one", key.ID, first, keystore.ErrCredentials)
			k.wantSecret("the second one", key.ID, second, nil)
			k.wantSecret("the third one", key.ID, third, nil)

			_, fourth := k.rotate(key.ID, keystore.KeyRotation{})
			k.wantSecret("the second one", key.ID, second, keystore.ErrCredentials)
			k.wantSecret("the third one", key.ID, third, keystore.ErrCredentials)
			k.wantSecret("the fourth one", key.ID, fourth, nil)
		}},
		{"the overlap is ended early, and never extended", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			key, first := k.key("dep1")
			k.want(k.EndPreviousSecret(k.ctx(), alice, "dep1", key.ID), keystore.ErrNotFound)
			rotated, second := k.rotate(key.ID, keystore.KeyRotation{Overlap: time.Hour})
			edited := must(k.UpdateKey(k.ctx(), alice, "dep1", key.ID, func(key *keystore.Key) error {
				key.PreviousSecretExpiresAt, key.PreviousSecretHash, key.Name = time.Now().Add(1000*time.Hour), []byte("x"), "new"
				return nil
			}))
			failIf(t, !edited.PreviousSecretExpiresAt.Equal(rotated.PreviousSecretExpiresAt) || !slices.Equal(edited.PreviousSecretHash, rotated.PreviousSecretHash), "an edit made of %+v %+v", rotated, edited)
			k.want(k.EndPreviousSecret(k.ctx(), alice, "dep2", key.ID), keystore.ErrNotFound)
			k.want(k.EndPreviousSecret(k.ctx(), alice, "dep1", "../dep1"), keystore.ErrNotFound)
			k.want(k.EndPreviousSecret(k.ctx(), alice, "dep1", key.ID), nil)
			k.want(k.EndPreviousSecret(k.ctx(), alice, "dep1", key.ID), keystore.ErrNotFound)
			k.wantSecret("the old one", key.ID, first, keystore.ErrCredentials)
			k.wantSecret("the new one", key.ID, second, nil)
			k.wantEvents("deployment.created dep1", "deployment.created dep2", "key.created dep1", "key.rotated dep1", "key.updated dep1", "key.previous_secret_ended dep1")
		}},
		{"a rotation revokes tokens in the same step, if it is to", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			key, first := n.key("dep1")
			n.want(n.RevokeToken(n.ctx(), alice, n.token("jti", key.ID)), nil)
			kept, _ := n.rotate(key.ID, keystore.KeyRotation{Overlap: time.Hour})
			failIf(t, kept.TokenEpoch != 0 || kept.RevokedUntil.IsZero(), "without revoke_tokens it is %+v", kept)
			n.wantKept(1, map[string]int64{key.ID: 1})
			revoked, _ := n.rotate(key.ID, keystore.KeyRotation{RevokeTokens: true})
			failIf(t, revoked.TokenEpoch == 0 || revoked.TokensRevokedAt.IsZero() || !revoked.RevokedUntil.IsZero(), "with revoke_tokens it is %+v", revoked)
			n.wantKept(1, map[string]int64{key.ID: 0}) // it is among all that ended
			n.wantSecret("the first one", key.ID, first, keystore.ErrCredentials)
		}},
		{"a bad rotation is refused and changes nothing", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			key, secret := k.key("dep1")
			for _, overlap := range []time.Duration{-1, keystore.MaxOverlap + 1} {
				k.want(errOf2(k.RotateKey(k.ctx(), alice, "dep1", key.ID, keystore.KeyRotation{Overlap: overlap})), keystore.ErrInvalid)
			}
			for _, of := range [][2]string{{"dep2", key.ID}, {"dep1", "../dep1"}, {"dep1", strings.Repeat("0", 24)}} {
				k.want(errOf2(k.RotateKey(k.ctx(), alice, of[0], of[1], keystore.KeyRotation{RevokeTokens: true})), keystore.ErrNotFound)
			}
			k.wantSecret("its secret", key.ID, secret, nil)
			k.wantEvents("deployment.created dep1", "deployment.created dep2", "key.created dep1")
		}},
		{"of rotations at once two secrets are left", func(t *testing.T, k *keystoreKit) {
			key, first := k.key("dep1")
			secrets := []string{first}
			var mu sync.Mutex
			var wait sync.WaitGroup
			for range 5 {
				wait.Go(func() {
					_, secret := k.rotate(key.ID, keystore.KeyRotation{Overlap: time.Hour})
					mu.Lock()
					defer mu.Unlock()
					secrets = append(secrets, secret)
				})
			}
			wait.Wait()
			live := 0
			for _, secret := range secrets {
				if _, err := k.Authenticate(k.ctx(), key.ID, secret); err == nil {
					live++
				}
			}
			failIf(t, live != 2, "%d of %d secrets are good, want 2", live, len(secrets))
			k.wantSecret("the first one", key.ID, first, keystore.ErrCredentials)
		}},
	}
}

// addressTests hold that a key keeps its addresses.
func addressTests() []keystoreTest {
	return []keystoreTest{
		{"a key has the addresses that it was given", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			list := must(keystore.ParseAllowedIPs([]string{"10.1.2.3/8", "2001:db8::1"}))
			key, _ := must2(k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "dep1", Name: "k", AllowedIPs: list}))
			read := must(k.Key(k.ctx(), key.ID))
			failIf(t, !slices.Equal(read.AllowedIPs, list), "read %v, want %v", read.AllowedIPs, list)
			for _, bad := range []keystore.AllowedIPs{{netip.Prefix{}}, {netip.MustParsePrefix("10.1.2.3/8")}, make(keystore.AllowedIPs, keystore.MaxAllowedIPs+1)} {
				k.want(errOf(k.UpdateKey(k.ctx(), alice, "dep1", key.ID, func(key *keystore.Key) error {
					key.AllowedIPs = bad
					return nil
				})), keystore.ErrInvalid)
			}
			open := must(k.UpdateKey(k.ctx(), alice, "dep1", key.ID, func(key *keystore.Key) error {
				key.AllowedIPs = nil
				return nil
			}))
			failIf(t, len(open.AllowedIPs) != 0, "it has %v, want none", open.AllowedIPs)
		}},
	}
}
