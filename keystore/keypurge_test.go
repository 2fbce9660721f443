package keystore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// purgeKeyTests hold the removal of keys that have been expired for a while.
func purgeKeyTests() []keystoreTest {
	// purge does all the work, and says how many keys it has deleted.
	purge := func(k *keystoreKit, longerThan time.Duration) (removed int) {
		k.t.Helper()
		for from := ""; ; {
			n, next, err := k.PurgeExpiredKeys(k.ctx(), longerThan, from)
			if err != nil {
				k.t.Fatal(err)
			}
			removed += n
			if from = next; from == "" {
				return removed
			}
		}
	}
	names := func(k *keystoreKit, deployment string) (names []string) {
		k.t.Helper()
		list := must(k.Keys(k.ctx(), deployment, keystore.Page{Limit: keystore.MaxPage}))
		for _, key := range list.Items {
			names = append(names, key.Name)
		}
		slices.Sort(names) // those of the same millisecond are in any order
		return names
	}
	return []keystoreTest{
		{"expired keys are purged after their time, and no others", func(t *testing.T, k *keystoreKit) {
			clock := storetest.NewClock(k.store, time.Now().UTC().Truncate(time.Second))
			k.Keystore = clock.Keystore(master)
			make := func(deployment, name string, expires time.Duration) keystore.Key {
				key := keystore.Key{DeploymentID: deployment, Name: name}
				if expires > 0 {
					key.ExpiresAt = clock.Now().Add(expires)
				}
				key, _ = must2(k.CreateKey(k.ctx(), alice, key))
				return key
			}
			edit := func(key keystore.Key, expires time.Time) {
				k.want(errOf(k.UpdateKey(k.ctx(), alice, key.DeploymentID, key.ID, func(key *keystore.Key) error {
					key.ExpiresAt = expires
					return nil
				})), nil)
			}
			for _, id := range []string{"dep1", "dep2", "dep3"} {
				k.deployment(id)
			}
			make("dep1", "for ever", 0)
			make("dep1", "an hour", time.Hour)
			make("dep2", "an hour too", time.Hour)
			make("dep2", "a day", 24*time.Hour)
			edit(make("dep2", "moved away", time.Hour), time.Time{})
			edit(make("dep2", "moved on", time.Hour), clock.Now().Add(48*time.Hour))
			edit(make("dep2", "moved here", 0), clock.Now().Add(time.Hour))
			k.want(k.DeleteKey(k.ctx(), alice, "dep2", make("dep2", "deleted", time.Hour).ID), nil)

			clock.Advance(2 * time.Hour)
			if n := purge(k, 2*time.Hour); n != 0 {
				t.Errorf("%d keys are purged before their time", n)
			}
			if n := purge(k, time.Hour-time.Second); n != 3 {
				t.Errorf("%d keys are purged, want 3", n)
			}
			if got, want := fmt.Sprint(names(k, "dep1"), names(k, "dep2")), "[for ever] [a day moved away moved on]"; got != want {
				t.Errorf("what is left is %s, want %s", got, want)
			}
			k.writeAudit()
			last := k.audit("dep2", 100)[0]
			failIf(t, last.Kind != keystore.KeyDeleted || last.By != "gateway" || last.Set["expires_at"] == "", "the audit log has %+v", last)
			k.want(k.DeleteDeployment(k.ctx(), alice, "dep2"), nil)
			sizes, err := k.store.Sizes(k.ctx(), "expiring/dep1", "expiring/dep2")
			if k.want(err, nil); !slices.Equal(sizes, []int64{0, 0}) {
				t.Errorf("the indexes still have %v", sizes)
			}
		}},
		{"many expired keys are purged a part at a time", func(t *testing.T, k *keystoreKit) {
			clock := storetest.NewClock(k.store, time.Now().UTC().Truncate(time.Second))
			k.Keystore = clock.Keystore(master)
			const deployments, each = 3, 150
			for d := range deployments {
				id := fmt.Sprintf("dep%d", d)
				k.deployment(id)
				for range each {
					k.want(errOf2(k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: id, Name: "k", ExpiresAt: clock.Now().Add(time.Minute)})), nil)
				}
			}
			clock.Advance(time.Hour)
			n, next := must2(k.PurgeExpiredKeys(k.ctx(), time.Minute, ""))
			failIf(t, n == 0 || n == deployments*each || next == "", "at once %d are purged, to %q", n, next)
			if n += purge(k, time.Minute); n != deployments*each {
				t.Errorf("%d are purged, want %d", n, deployments*each)
			}
		}},
		{"an altered key is not purged", func(t *testing.T, k *keystoreKit) {
			clock := storetest.NewClock(k.store, time.Now().UTC().Truncate(time.Second))
			k.Keystore = clock.Keystore(master)
			k.deployment("dep1")
			key, _ := must2(k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "dep1", Name: "k", ExpiresAt: clock.Now().Add(time.Minute)}))
			k.forge(put("key/"+key.ID, "x"))
			clock.Advance(time.Hour)
			if n := purge(k, time.Minute); n != 0 {
				t.Errorf("%d are purged", n)
			}
			k.want(k.DeleteKey(k.ctx(), alice, "dep1", key.ID), nil)
		}},
	}
}
