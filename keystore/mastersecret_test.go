package keystore_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

var newMaster = []byte("the next master secret, of 32 bytes or more")

// masterTests hold the master secret, and what happens with another one.
func masterTests() []keystoreTest {
	return []keystoreTest{
		{"the master secret is changed, and everything goes on", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			key, secret := n.key("dep1")
			n.wantKeys("kid1 signing")
			n.want(n.ChangeMaster(n.ctx(), alice, newMaster), nil)

			// A node that runs goes on.
			n.want(errOf(n.Authenticate(n.ctx(), key.ID, secret)), nil)
			n.wantKeys("kid1 signing")
			// One that is started again needs the new secret.
			n.want(keystore.New(n.store, master).Open(n.ctx()), keystore.ErrWrongSecret)
			n.want(n.Opens(n.ctx(), master), keystore.ErrWrongSecret)
			n.want(n.Opens(n.ctx(), newMaster), nil)
			again := keystore.New(n.store, newMaster)
			n.want(errOf(again.Authenticate(n.ctx(), key.ID, secret)), nil)
			keys := must(again.SigningKeys(n.ctx()))
			failIf(t, !slices.Equal(states(keys), []string{"kid1 signing"}) || string(keys[0].Private) != "private part of kid1", "signing keys %v", keys)
			// Whoever has the old one cannot change it back.
			n.want(n.ChangeMaster(n.ctx(), alice, master), keystore.ErrWrongSecret)
			n.want(again.ChangeMaster(n.ctx(), alice, master), nil)
			n.want(keystore.New(n.store, master).Open(n.ctx()), nil)
			n.wantEvents("deployment.created dep1", "key.created dep1", "signing_key.added", "store.secret_changed", "store.secret_changed")
		}},
		{"a short master secret is refused", func(_ *testing.T, k *keystoreKit) {
			k.want(k.ChangeMaster(k.ctx(), alice, newMaster[:keystore.MinMasterSize-1]), keystore.ErrInvalid)
			k.want(k.ChangeMaster(k.ctx(), alice, nil), keystore.ErrInvalid)
			k.want(k.Opens(k.ctx(), master), nil)
			k.wantEvents()
		}},
		{"of several changes of the master secret at once one is made", func(t *testing.T, k *keystoreKit) {
			k.want(k.Open(k.ctx()), nil)
			var wait sync.WaitGroup
			var winner, wins atomic.Int64
			for i := range int64(6) {
				wait.Go(func() {
					err := keystore.New(k.store, master).ChangeMaster(k.ctx(), alice, append([]byte{byte(i)}, newMaster...))
					if err == nil {
						winner.Store(i)
						wins.Add(1)
						return
					}
					k.want(err, keystore.ErrWrongSecret)
				})
			}
			wait.Wait()
			if wins.Load() != 1 {
				t.Errorf("%d changes were made", wins.Load())
			}
			k.want(keystore.New(k.store, append([]byte{byte(winner.Load())}, newMaster...)).Open(k.ctx()), nil)
			k.wantEvents("store.secret_changed")
		}},
	}
}
