package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
)

// TestKeystore holds Deployments, keys and members to what [keystore.Keystore] promises.
func TestKeystore(t *testing.T) {
	t.Parallel()
	tests := slices.Concat(deploymentTests(), keyTests(), memberTests(), membershipTests(), vaultTests(), masterTests(), signingKeyTests(), epochTests(), revocationTests(),
		expiryTests(), keyRotationTests(), addressTests(), auditTests(), auditFaultTests(), purgeKeyTests(), usedTests())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := &keystoreKit{t: t, store: openStore(t)}
			k.Keystore = keystore.New(k.store, master)
			tt.run(t, k)
		})
	}
}

// openStore makes a store that ends with the test.
func openStore(t testing.TB) keystore.Store {
	t.Helper()
	store := must(boltstore.Open(filepath.Join(t.TempDir(), "keys.db"), boltstore.Options{Timeout: 10 * time.Second}))
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

type keystoreTest struct {
	name string
	run  func(*testing.T, *keystoreKit)
}

var alice = keystore.Caller{Name: "alice", Address: "192.0.2.1"}

// keystoreKit is a keystore and what tests do with it again and again.
type keystoreKit struct {
	*keystore.Keystore
	t     *testing.T
	store keystore.Store
}

func (k *keystoreKit) ctx() context.Context { return k.t.Context() }

func (k *keystoreKit) deployment(id string) keystore.Deployment {
	k.t.Helper()
	d, err := k.CreateDeployment(k.ctx(), alice, keystore.Deployment{ID: id, Name: "Name of " + id})
	if err != nil {
		k.t.Fatalf("creating Deployment %s: %v", id, err)
	}
	return d
}

// key makes a key, and its Deployment, if there is none.
func (k *keystoreKit) key(deployment string) (keystore.Key, string) {
	k.t.Helper()
	if _, err := k.Deployment(k.ctx(), deployment); errors.Is(err, keystore.ErrNotFound) {
		k.deployment(deployment)
	}
	key, secret, err := k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: deployment, Name: "k"})
	if err != nil {
		k.t.Fatalf("creating a key of %s: %v", deployment, err)
	}
	return key, secret.Reveal()
}

// want checks that an error wraps the sentinel; nil wants no error.
func (k *keystoreKit) want(err, sentinel error) {
	k.t.Helper()
	failIf(k.t, (sentinel == nil) != (err == nil) || !errors.Is(err, sentinel), "error %v, want %v", err, sentinel)
}

// events are the kinds of the change log, without the store's own.
func (k *keystoreKit) events() []string {
	k.t.Helper()
	entries := must(k.store.Log(k.ctx(), 0, 10_000))
	var kinds []string
	for i, entry := range entries {
		failIf(k.t, entry.Seq != uint64(i+1), "entry %d has the number %d", i+1, entry.Seq)
		event := must(keystore.DecodeEvent(entry.Event))
		if event.Kind == keystore.StoreCreated {
			continue
		}
		failIf(k.t, event.Time.IsZero() || event.By == "", "event %+v does not say who and when", event)
		kinds = append(kinds, strings.TrimRight(fmt.Sprintf("%s %s", event.Kind, event.Deployment), " "))
	}
	return kinds
}

func (k *keystoreKit) wantEvents(want ...string) {
	k.t.Helper()
	if got := k.events(); !slices.Equal(got, want) {
		k.t.Errorf("the log has %q, want %q", got, want)
	}
}

// must returns the value of a call that has to work.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func must2[T, U any](first T, second U, err error) (T, U) {
	return must(first, err), second
}

func errOf[T any](_ T, err error) error { return err }

func errOf2[T, U any](_ T, _ U, err error) error { return err }

func put(name, value string) keystore.Step {
	return keystore.Step{Kind: keystore.PutRecord, Name: name, Value: []byte(value)}
}

func remove(name string) keystore.Step {
	return keystore.Step{Kind: keystore.DeleteRecord, Name: name}
}

func add(index, member string) keystore.Step {
	return keystore.Step{Kind: keystore.AddMember, Name: index, Member: member}
}

// forge changes the store behind the keystore's back.
func (k *keystoreKit) forge(steps ...keystore.Step) {
	k.t.Helper()
	k.want(k.store.Apply(k.ctx(), keystore.Change{Steps: steps}), nil)
}

// ok ends the test if a call that has to work has failed.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// failIf reports what is wrong, if it is.
func failIf(t testing.TB, wrong bool, format string, args ...any) {
	t.Helper()
	if wrong {
		t.Errorf(format, args...)
	}
}

// fatalIf ends the test with what is wrong, if it is.
func fatalIf(t testing.TB, wrong bool, format string, args ...any) {
	t.Helper()
	if wrong {
		t.Fatalf(format, args...)
	}
}
