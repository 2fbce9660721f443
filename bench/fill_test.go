package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// eachStore runs a test on both stores, empty ones.
func eachStore(t *testing.T, test func(t *testing.T, store keystore.Store)) {
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		store, err := redisstore.Open(redisstore.Options{URL: storetest.StartRedis(t).URL(), Timeout: keystore.ChangeTimeout})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		test(t, store)
	})
	t.Run("bolt", func(t *testing.T) {
		t.Parallel()
		store, err := boltstore.Open(filepath.Join(t.TempDir(), "keys.db"), boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		test(t, store)
	})
}

func TestFilledStoreIsAsTheGatewayMakesIt(t *testing.T) {
	t.Parallel()
	const total, wanted = keysOfDeployment + 500, 21
	eachStore(t, func(t *testing.T, store keystore.Store) {
		master := randomSecret()
		some, err := fillStore(t.Context(), store, master, total, wanted)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) != wanted {
			t.Fatalf("%d keys, want %d", len(some), wanted)
		}
		keys := keystore.New(store, []byte(master)) // of another node
		for i, k := range some {
			key, err := keys.Authenticate(t.Context(), k.ID, k.Secret)
			if err != nil || key.DeploymentID != k.deployment || key.Scopes != keystore.AllScopes {
				t.Errorf("key %s is of %s with %s: %v", k.ID, key.DeploymentID, key.Scopes, err)
			}
			other := some[(i+1)%wanted]
			if _, err := keys.Authenticate(t.Context(), k.ID, other.Secret); !errors.Is(err, keystore.ErrCredentials) {
				t.Errorf("key %s with another secret: %v", k.ID, err)
			}
		}
		places := make(map[string]int)
		for i, want := range []int64{keysOfDeployment, total - keysOfDeployment} {
			id := fmt.Sprintf("filled-%d", i)
			if d, err := keys.Deployment(t.Context(), id); err != nil || d.KeyCount != want {
				t.Errorf("%s counts %d keys, want %d: %v", id, d.KeyCount, want, err)
			}
			if listed := list(t, keys, id, places); listed != want {
				t.Errorf("%s lists %d keys, want %d", id, listed, want)
			}
		}
		for i, k := range some {
			// Keys of the same millisecond are in any order.
			if at, listed := places[k.ID]; !listed || at < i*total/wanted-200 || at > i*total/wanted+200 {
				t.Errorf("key %d of those returned is at place %d, listed: %t", i, at, listed)
			}
		}
		// The log has the store and the Deployments, and of the keys nothing.
		if entries, err := store.Log(t.Context(), 0, 10); err != nil || len(entries) != 3 {
			t.Errorf("%d entries of the log, want 3: %v", len(entries), err)
		}
		if err := keys.DeleteKey(t.Context(), filler, some[1].deployment, some[1].ID); err != nil {
			t.Error(err)
		}
		if _, err := keys.Authenticate(t.Context(), some[1].ID, some[1].Secret); !errors.Is(err, keystore.ErrCredentials) {
			t.Errorf("a deleted key: %v", err)
		}
	})
}

// list pages through the keys of a Deployment, and notes at which place each is, after those that were noted before.
func list(t *testing.T, keys *keystore.Keystore, deployment string, places map[string]int) (listed int64) {
	t.Helper()
	for page := (keystore.Page{Limit: keystore.MaxPage}); ; {
		part, err := keys.Keys(t.Context(), deployment, page)
		if err != nil || len(part.Altered) > 0 {
			t.Fatalf("altered: %v; %v", part.Altered, err)
		}
		for _, k := range part.Items {
			places[k.ID] = len(places)
			listed++
		}
		if page.After = part.Next; page.After == "" {
			return listed
		}
	}
}

func TestFillStoreSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store keystore.Store) {
		master := randomSecret()
		for _, wanted := range []int{0, 3} {
			if _, err := fillStore(t.Context(), store, master, 2, wanted); err == nil {
				t.Errorf("%d keys of 2 are returned", wanted)
			}
		}
		if _, err := fillStore(t.Context(), store, master, 2, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := fillStore(t.Context(), store, master, 2, 1); !errors.Is(err, keystore.ErrExists) {
			t.Errorf("filled twice: %v", err)
		}
		if _, err := fillStore(t.Context(), store, randomSecret(), 2, 1); !errors.Is(err, keystore.ErrWrongSecret) {
			t.Errorf("with another master secret: %v", err)
		}
	})
}

// A step that the store refuses ends the filling, also when it is the last one.
func TestFillStoreEndsWithARefusedStep(t *testing.T) {
	t.Parallel()
	for _, total := range []int{keysAtOnce / 2, 3 * keysAtOnce} {
		eachStore(t, func(t *testing.T, store keystore.Store) {
			_, err := fillStore(t.Context(), &refusingStore{Store: store, atMost: 10}, randomSecret(), total, 1)
			if !errors.Is(err, errRefused) {
				t.Errorf("%d keys: %v", total, err)
			}
		})
	}
}

func TestTwinsHaveTheSameKeys(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store keystore.Store) {
		other, err := boltstore.Open(filepath.Join(t.TempDir(), "twin.db"), boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		master := randomSecret()
		some, err := fillStore(t.Context(), twins{store, other}, master, 10, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range []keystore.Store{store, other} {
			keys := keystore.New(each, []byte(master))
			for _, k := range some {
				if _, err := keys.Authenticate(t.Context(), k.ID, k.Secret); err != nil {
					t.Errorf("key %s: %v", k.ID, err)
				}
			}
		}
	})
}

// A refusingStore refuses large changes.
type refusingStore struct {
	keystore.Store
	atMost int // steps
}

var errRefused = errors.New("the store refuses so many steps")

func (s *refusingStore) Apply(ctx context.Context, change keystore.Change) error {
	if len(change.Steps) > s.atMost {
		return errRefused
	}
	return s.Store.Apply(ctx, change)
}
