package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// RunKeystore holds Deployments, keys and members to what [keystore.Keystore] promises, on a
// store. It calls open as [Run] does.
func RunKeystore(t *testing.T, open func(t testing.TB) keystore.Store) {
	t.Helper()
	tests := slices.Concat(deploymentTests(), keyTests(), memberTests(), membershipTests(), vaultTests(), masterTests(), rotationTests(), epochTests(), revocationTests(),
		expiryTests(), keyRotationTests(), addressTests(), auditTests(), auditFaultTests(), purgeKeyTests(), usedTests())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			k := &keystoreKit{Keystore: keystore.New(store, master), t: t, store: store}
			t.Cleanup(func() {
				if err := k.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			tt.run(t, k)
		})
	}
}

type keystoreTest struct {
	name string
	run  func(*testing.T, *keystoreKit)
}

var (
	master = []byte("a master secret of 32 bytes or so")
	alice  = keystore.Caller{Name: "alice", Address: "192.0.2.1"}
)

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

func (k *keystoreKit) key(deployment string) (keystore.Key, string) {
	k.t.Helper()
	key, secret, err := k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: deployment, Name: "k"})
	if err != nil {
		k.t.Fatalf("creating a key of %s: %v", deployment, err)
	}
	return key, secret.Reveal()
}

// want checks that an error wraps the sentinel; nil wants no error.
func (k *keystoreKit) want(err, sentinel error) {
	k.t.Helper()
	if (sentinel == nil) != (err == nil) || !errors.Is(err, sentinel) {
		k.t.Errorf("error %v, want %v", err, sentinel)
	}
}

// events are the kinds of the change log, without the store's own.
func (k *keystoreKit) events() []string {
	k.t.Helper()
	entries, err := k.store.Log(k.ctx(), 0, 10_000)
	if err != nil {
		k.t.Fatal(err)
	}
	var kinds []string
	for i, entry := range entries {
		if entry.Seq != uint64(i+1) {
			k.t.Errorf("entry %d has the number %d", i+1, entry.Seq)
		}
		event, err := keystore.DecodeEvent(entry.Event)
		if err != nil {
			k.t.Fatal(err)
		}
		if event.Kind == keystore.StoreCreated {
			continue
		}
		if event.Time.IsZero() || event.By == "" {
			k.t.Errorf("event %+v does not say who and when", event)
		}
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

func deploymentTests() []keystoreTest {
	return []keystoreTest{
		{"a Deployment is created, read, changed and deleted", func(t *testing.T, k *keystoreKit) {
			made := k.deployment("dep1")
			if made.ID != "dep1" || made.Name != "Name of dep1" || made.CreatedAt.IsZero() || made.CreatedAt.Location().String() != "UTC" {
				t.Errorf("created %+v", made)
			}
			read, err := k.Deployment(k.ctx(), "dep1")
			k.want(err, nil)
			if read != made {
				t.Errorf("read %+v, want %+v", read, made)
			}
			changed, err := k.UpdateDeployment(k.ctx(), alice, "dep1", func(d *keystore.Deployment) error {
				d.ID, d.Name, d.Description = "other", "New", "What it is for"
				return nil
			})
			k.want(err, nil)
			if want := (keystore.Deployment{ID: "dep1", Name: "New", Description: "What it is for", CreatedAt: made.CreatedAt}); changed != want {
				t.Errorf("changed to %+v, want %+v", changed, want)
			}
			k.want(k.DeleteDeployment(k.ctx(), alice, "dep1"), nil)
			_, err = k.Deployment(k.ctx(), "dep1")
			k.want(err, keystore.ErrNotFound)
			k.want(k.DeleteDeployment(k.ctx(), alice, "dep1"), keystore.ErrNotFound)
			k.wantEvents("deployment.created dep1", "deployment.updated dep1", "deployment.deleted dep1")
		}},
		{"an ID is made when none is given", func(t *testing.T, k *keystoreKit) {
			first, err := k.CreateDeployment(k.ctx(), alice, keystore.Deployment{Name: "x"})
			k.want(err, nil)
			second, err := k.CreateDeployment(k.ctx(), alice, keystore.Deployment{Name: "x"})
			k.want(err, nil)
			if first.ID == second.ID || keystore.ValidateDeploymentID(first.ID) != nil {
				t.Errorf("IDs %q and %q", first.ID, second.ID)
			}
		}},
		{"an ID is taken once", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			_, err := k.CreateDeployment(k.ctx(), alice, keystore.Deployment{ID: "dep1", Name: "again"})
			k.want(err, keystore.ErrExists)
			k.wantEvents("deployment.created dep1")
		}},
		{"bad values are refused and change nothing", func(t *testing.T, k *keystoreKit) {
			for _, d := range []keystore.Deployment{
				{ID: "Dep1", Name: "x"},
				{ID: "-a", Name: "x"},
				{ID: "a-", Name: "x"},
				{ID: "a.b", Name: "x"},
				{ID: strings.Repeat("a", 64), Name: "x"},
				{ID: "a/b", Name: "x"},
				{ID: "é", Name: "x"},
				{ID: "a", Name: ""},
				{ID: "a", Name: " "},
				{ID: "a", Name: strings.Repeat("x", 129)},
				{ID: "a", Name: "line\nbreak"},
				{ID: "a", Name: "\xff"},
				{ID: "a", Name: "abc\u202edef"},
				{ID: "a", Name: "x", Description: strings.Repeat("x", 1025)},
				{ID: "a", Name: "x", Description: "\x00"},
			} {
				_, err := k.CreateDeployment(k.ctx(), alice, d)
				k.want(err, keystore.ErrInvalid)
			}
			k.deployment("dep1")
			_, err := k.UpdateDeployment(k.ctx(), alice, "dep1", func(d *keystore.Deployment) error { d.Name = ""; return nil })
			k.want(err, keystore.ErrInvalid)
			k.wantEvents("deployment.created dep1")
		}},
		{"a change that changes nothing leaves no event", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			_, err := k.UpdateDeployment(k.ctx(), alice, "dep1", func(*keystore.Deployment) error { return nil })
			k.want(err, nil)
			k.wantEvents("deployment.created dep1")
		}},
		{"deleting a Deployment ends its keys and members, and no others", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			mine, mySecret := k.key("dep1")
			other, otherSecret := k.key("dep2")
			_, err := k.PutMember(k.ctx(), alice, "dep1", "bob", keystore.RoleViewer)
			k.want(err, nil)
			k.want(k.DeleteDeployment(k.ctx(), alice, "dep1"), nil)

			_, err = k.Key(k.ctx(), mine.ID)
			k.want(err, keystore.ErrNotFound)
			_, err = k.Authenticate(k.ctx(), mine.ID, mySecret)
			k.want(err, keystore.ErrCredentials)
			_, err = k.Member(k.ctx(), "dep1", "bob")
			k.want(err, keystore.ErrNotFound)
			_, err = k.Keys(k.ctx(), "dep1", keystore.Page{Limit: 10})
			k.want(err, keystore.ErrNotFound)
			_, err = k.Authenticate(k.ctx(), other.ID, otherSecret)
			k.want(err, nil)

			// One of the same ID is another one.
			k.deployment("dep1")
			if d, _ := k.Deployment(k.ctx(), "dep1"); d.KeyCount != 0 {
				t.Errorf("the new one has %d keys", d.KeyCount)
			}
			_, err = k.Key(k.ctx(), mine.ID)
			k.want(err, keystore.ErrNotFound)
			_, err = k.Member(k.ctx(), "dep1", "bob")
			k.want(err, keystore.ErrNotFound)
		}},
		{"Deployments are listed by ID, in pages, with the number of their keys", func(t *testing.T, k *keystoreKit) {
			for i := range 25 {
				k.deployment(fmt.Sprintf("dep-%02d", i))
			}
			k.key("dep-03")
			var got []string
			for page := (keystore.Page{Limit: 10}); ; {
				list, err := k.Deployments(k.ctx(), page)
				k.want(err, nil)
				for _, d := range list.Items {
					got = append(got, d.ID)
					if (d.KeyCount == 1) != (d.ID == "dep-03") {
						t.Errorf("%s has %d keys", d.ID, d.KeyCount)
					}
				}
				if page.After = list.Next; page.After == "" {
					break
				}
			}
			if len(got) != 25 || !slices.IsSorted(got) {
				t.Errorf("listed %q", got)
			}
			for _, limit := range []int{0, -1, keystore.MaxPage + 1} {
				_, err := k.Deployments(k.ctx(), keystore.Page{Limit: limit})
				k.want(err, keystore.ErrInvalid)
			}
		}},
		{"keys made while their Deployment is deleted do not outlive it", func(t *testing.T, k *keystoreKit) {
			for range 20 {
				k.deployment("dep1")
				var wait sync.WaitGroup
				for range 4 {
					wait.Go(func() {
						_, _, err := k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "dep1", Name: "k"})
						if err != nil && !errors.Is(err, keystore.ErrNotFound) {
							t.Error(err)
						}
						_, err = k.PutMember(k.ctx(), alice, "dep1", "bob", keystore.RoleViewer)
						if err != nil && !errors.Is(err, keystore.ErrNotFound) {
							t.Error(err)
						}
					})
				}
				wait.Go(func() { k.want(k.DeleteDeployment(k.ctx(), alice, "dep1"), nil) })
				wait.Wait()
			}
			k.deployment("dep1")
			list, err := k.Keys(k.ctx(), "dep1", keystore.Page{Limit: 10})
			k.want(err, nil)
			members, err := k.Members(k.ctx(), "dep1")
			k.want(err, nil)
			if len(list.Items)+len(members.Items) != 0 {
				t.Errorf("keys %v and members %v are left", list.Items, members.Items)
			}
		}},
	}
}
