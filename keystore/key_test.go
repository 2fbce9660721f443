package keystore_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func keyTests() []keystoreTest {
	return []keystoreTest{
		{"a key is created, authenticates, is changed and deleted", func(t *testing.T, k *keystoreKit) {
			key, secret := k.key("dep1")
			failIf(t, !keystore.IsKeyID(key.ID) || key.DeploymentID != "dep1" || key.Scopes != keystore.AllScopes || key.CreatedBy != "alice" || key.CreatedAt.IsZero(), "created %+v", key)
			got := must(k.Authenticate(k.ctx(), key.ID, secret))
			read := must(k.DeploymentKey(k.ctx(), "dep1", key.ID))
			failIf(t, got.ID != key.ID || read.ID != key.ID, "authenticated %+v, read %+v", got, read)
			if d, _ := k.Deployment(k.ctx(), "dep1"); d.KeyCount != 1 {
				t.Errorf("the Deployment has %d keys, want 1", d.KeyCount)
			}
			changed := must(k.UpdateKey(k.ctx(), alice, "dep1", key.ID, func(key *keystore.Key) error {
				key.Name, key.Scopes, key.DeploymentID, key.CreatedBy, key.SecretHash = "new", keystore.ScopeDeploy, "dep2", "mallory", nil
				return nil
			}))
			failIf(t, changed.Name != "new" || changed.Scopes != keystore.ScopeDeploy || changed.DeploymentID != "dep1" || changed.CreatedBy != "alice", "changed to %+v", changed)
			k.want(errOf(k.Authenticate(k.ctx(), key.ID, secret)), nil)
			k.want(k.DeleteKey(k.ctx(), alice, "dep1", key.ID), nil)
			k.want(errOf(k.Authenticate(k.ctx(), key.ID, secret)), keystore.ErrCredentials)
			k.want(k.DeleteKey(k.ctx(), alice, "dep1", key.ID), keystore.ErrNotFound)
			k.wantEvents("deployment.created dep1", "key.created dep1", "key.updated dep1", "key.deleted dep1")
		}},
		{"only the key's own secret authenticates", func(t *testing.T, k *keystoreKit) {
			key, secret := k.key("dep1")
			other, otherSecret := k.key("dep1")
			for name, test := range map[string]struct{ id, secret string }{
				"secret of another key":       {key.ID, otherSecret},
				"the other way":               {other.ID, secret},
				"unknown key":                 {"000000000000000000000000", secret},
				"malformed key ID":            {"../key", secret},
				"the decoy":                   {"none", secret},
				"no key ID":                   {"", secret},
				"random secret":               {key.ID, keystore.NewSecret().Reveal()},
				"empty secret":                {key.ID, ""},
				"secret cut off":              {key.ID, secret[:len(secret)-1]},
				"secret extended":             {key.ID, secret + "a"},
				"secret in capitals":          {key.ID, strings.ToUpper(secret)},
				"secret with space":           {key.ID, " " + secret},
				"hash in place of a secret":   {key.ID, string(key.SecretHash)},
				"zero bytes":                  {key.ID, strings.Repeat("\x00", len(secret))},
				"prefix alone, padded with a": {key.ID, keystore.SecretPrefix + strings.Repeat("a", 58)},
			} {
				if _, err := k.Authenticate(k.ctx(), test.id, test.secret); !errors.Is(err, keystore.ErrCredentials) {
					t.Errorf("%s: error %v, want %v", name, err, keystore.ErrCredentials)
				}
			}
		}},
		{"a key of another Deployment is not found", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			key, secret := k.key("dep1")
			k.want(errOf(k.DeploymentKey(k.ctx(), "dep2", key.ID)), keystore.ErrNotFound)
			k.want(errOf(k.UpdateKey(k.ctx(), alice, "dep2", key.ID, func(key *keystore.Key) error { key.Name = "x"; return nil })), keystore.ErrNotFound)
			k.want(k.DeleteKey(k.ctx(), alice, "dep2", key.ID), keystore.ErrNotFound)
			k.want(errOf(k.Authenticate(k.ctx(), key.ID, secret)), nil)
			k.wantEvents("deployment.created dep1", "deployment.created dep2", "key.created dep1")
		}},
		{"a key needs its Deployment, a name and scopes", func(t *testing.T, k *keystoreKit) {
			k.want(errOf2(k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "dep1", Name: "k"})), keystore.ErrNotFound)
			k.want(errOf2(k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "../x", Name: "k"})), keystore.ErrNotFound)
			k.deployment("dep1")
			k.want(errOf2(k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "dep1"})), keystore.ErrInvalid)
			key, _ := k.key("dep1")
			k.want(errOf(k.UpdateKey(k.ctx(), alice, "dep1", key.ID, func(key *keystore.Key) error { key.Scopes = 0; return nil })), keystore.ErrInvalid)
		}},
		{"keys are listed in the order in which they were made", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			var want []string
			for range 12 {
				key, _ := k.key("dep1")
				want = append(want, key.ID)
				k.key("dep2")
				// IDs are in the order of milliseconds.
				made := time.Now()
				storetest.Poll(t, time.Minute, "the next millisecond", func() bool { return time.Since(made) > 2*time.Millisecond })
			}
			var got []string
			for page := (keystore.Page{Limit: 5}); ; {
				list := must(k.Keys(k.ctx(), "dep1", page))
				for _, key := range list.Items {
					got = append(got, key.ID)
				}
				if page.After = list.Next; page.After == "" {
					break
				}
			}
			failIf(t, !slices.Equal(got, want), "listed %q, want %q", got, want)
		}},
		{"changes at once are all made", func(t *testing.T, k *keystoreKit) {
			key, _ := k.key("dep1")
			var wait sync.WaitGroup
			for _, letter := range "abcdef" {
				wait.Go(func() {
					k.want(errOf(k.UpdateKey(k.ctx(), alice, "dep1", key.ID, func(key *keystore.Key) error {
						key.Description += string(letter)
						return nil
					})), nil)
				})
			}
			wait.Wait()
			read := must(k.Key(k.ctx(), key.ID))
			if letters := []byte(read.Description); len(letters) != 6 || len(slices.Compact(slices.Sorted(slices.Values(letters)))) != 6 {
				t.Errorf("%q, want each of a to f once", read.Description)
			}
		}},
		{"an altered key is refused, left out of lists, and can be deleted", func(t *testing.T, k *keystoreKit) {
			key, secret := k.key("dep1")
			good, _ := k.key("dep1")
			k.alter("key/"+key.ID, `"scopes":["deploy","airflow:read","airflow:write"]`, `"scopes":["deploy"]`)
			k.want(errOf(k.Authenticate(k.ctx(), key.ID, secret)), keystore.ErrAltered)
			k.want(errOf(k.Key(k.ctx(), key.ID)), keystore.ErrAltered)
			list := must(k.Keys(k.ctx(), "dep1", keystore.Page{Limit: 10}))
			failIf(t, len(list.Items) != 1 || list.Items[0].ID != good.ID || !slices.Equal(list.Altered, []string{"key/" + key.ID}), "listed %+v", list)
			k.want(k.DeleteKey(k.ctx(), alice, "dep1", key.ID), nil)
		}},
		{"a key that was taken out of the index, or put back without it, can be deleted", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			key, secret := k.key("dep1")
			record := must(k.store.Get(k.ctx(), "key/"+key.ID))
			hide := func() {
				k.forge(keystore.Step{Kind: keystore.RemoveMember, Name: "keys/dep1", Member: key.ID})
			}
			putBack := func() {
				k.want(k.DeleteKey(k.ctx(), alice, "dep1", key.ID), nil)
				k.put("key/"+key.ID, record[0])
			}
			for _, forge := range []func(){hide, putBack} {
				forge()
				k.want(errOf(k.Authenticate(k.ctx(), key.ID, secret)), nil)
				k.want(k.DeleteKey(k.ctx(), alice, "dep2", key.ID), keystore.ErrNotFound)
				k.want(k.DeleteKey(k.ctx(), alice, "dep1", key.ID), nil)
				k.want(errOf(k.Authenticate(k.ctx(), key.ID, secret)), keystore.ErrCredentials)
				k.put("key/"+key.ID, record[0])
				k.forge(add("keys/dep1", key.ID))
			}
		}},
		{"a forged index shows no keys of another Deployment", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			key, _ := k.key("dep1")
			own, _ := k.key("dep2")
			k.forge(add("keys/dep2", key.ID))
			list := must(k.Keys(k.ctx(), "dep2", keystore.Page{Limit: 10}))
			failIf(t, len(list.Items) != 1 || list.Items[0].ID != own.ID, "dep2 has %+v", list.Items)
		}},
		{"a record does not pass under another name", func(t *testing.T, k *keystoreKit) {
			key, _ := k.key("dep1")
			other, otherSecret := k.key("dep1")
			records := must(k.store.Get(k.ctx(), "key/"+other.ID))
			k.put("key/"+key.ID, records[0])
			k.want(errOf(k.Authenticate(k.ctx(), key.ID, otherSecret)), keystore.ErrAltered)
		}},
	}
}

// alter changes a record behind the keystore's back.
func (k *keystoreKit) alter(name, old, replacement string) {
	k.t.Helper()
	records := must(k.store.Get(k.ctx(), name))
	altered := bytes.Replace(records[0], []byte(old), []byte(replacement), 1)
	if bytes.Equal(altered, records[0]) {
		k.t.Fatalf("record %s has no %s: %s", name, old, records[0])
	}
	k.put(name, altered)
}

func (k *keystoreKit) put(name string, record []byte) {
	k.t.Helper()
	k.forge(keystore.Step{Kind: keystore.PutRecord, Name: name, Value: record})
}

func memberTests() []keystoreTest {
	return []keystoreTest{
		{"a member is put, changed, listed and deleted", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			for _, user := range []string{"bob", "carol@example.com", "a/b ü"} {
				member := must(k.PutMember(k.ctx(), alice, "dep1", user, keystore.RoleViewer))
				failIf(t, member.User != user || member.Role != keystore.RoleViewer || member.CreatedBy != "alice", "put %+v", member)
			}
			k.want(errOf(k.PutMember(k.ctx(), alice, "dep1", "bob", keystore.RoleAdmin)), nil)
			again := must(k.PutMember(k.ctx(), keystore.Caller{Name: "else"}, "dep1", "bob", keystore.RoleAdmin))
			read := must(k.Member(k.ctx(), "dep1", "bob"))
			failIf(t, read != again || read.Role != keystore.RoleAdmin || read.CreatedBy != "alice", "read %+v, put %+v", read, again)
			list := must(k.Members(k.ctx(), "dep1"))
			failIf(t, len(list.Items) != 3, "listed %+v", list.Items)
			k.want(k.DeleteMember(k.ctx(), alice, "dep1", "bob"), nil)
			k.want(k.DeleteMember(k.ctx(), alice, "dep1", "bob"), keystore.ErrNotFound)
			k.want(errOf(k.Member(k.ctx(), "dep1", "bob")), keystore.ErrNotFound)
			k.wantEvents("deployment.created dep1", "member.put dep1", "member.put dep1", "member.put dep1", "member.put dep1", "member.deleted dep1")
		}},
		{"a member needs a Deployment and a name", func(t *testing.T, k *keystoreKit) {
			k.want(errOf(k.PutMember(k.ctx(), alice, "dep1", "bob", keystore.RoleViewer)), keystore.ErrNotFound)
			k.deployment("dep1")
			for _, user := range []string{"", "a\nb", "\xff", strings.Repeat("x", 257)} {
				k.want(errOf(k.PutMember(k.ctx(), alice, "dep1", user, keystore.RoleViewer)), keystore.ErrInvalid)
			}
		}},
		{"an altered role is refused, and can be put right", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.want(errOf(k.PutMember(k.ctx(), alice, "dep1", "bob", keystore.RoleViewer)), nil)
			k.alter("member/dep1/Ym9i", `"viewer"`, `"admin"`)
			k.want(errOf(k.Member(k.ctx(), "dep1", "bob")), keystore.ErrAltered)
			k.want(errOf(k.PutMember(k.ctx(), alice, "dep1", "bob", keystore.RoleEditor)), nil)
			read := must(k.Member(k.ctx(), "dep1", "bob"))
			failIf(t, read.Role != keystore.RoleEditor, "read %+v", read)
		}},
	}
}

func vaultTests() []keystoreTest {
	return []keystoreTest{
		{"another master secret opens nothing and changes nothing", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			n.deployment("dep1")
			n.wantKeys("kid1 signing")
			before, keys := n.events(), must(n.store.Get(n.ctx(), "signing_keys"))
			wrong := keystore.New(n.store, newMaster)
			for _, err := range []error{
				errOf(wrong.Deployment(n.ctx(), "dep1")),
				errOf(wrong.CreateDeployment(n.ctx(), alice, keystore.Deployment{ID: "dep2", Name: "x"})),
				errOf(wrong.MaintainSigningKeys(n.ctx(), n.policy)),
				errOf(wrong.RotateSigningKey(n.ctx(), alice, n.policy)),
				errOf(wrong.ReplaceSigningKeys(n.ctx(), alice, n.policy)),
				wrong.ChangeMaster(n.ctx(), alice, newMaster),
				n.Opens(n.ctx(), newMaster),
			} {
				n.want(err, keystore.ErrWrongSecret)
			}
			n.want(n.Opens(n.ctx(), master), nil)
			n.wantEvents(before...)
			after := must(n.store.Get(n.ctx(), "signing_keys"))
			failIf(t, !bytes.Equal(keys[0], after[0]) || n.made.Load() != 1, "the signing keys were changed, or %d were made", n.made.Load())
		}},
		{"nodes that come first at once set the store up once", func(t *testing.T, k *keystoreKit) {
			var wait sync.WaitGroup
			for range 8 {
				wait.Go(func() { k.want(keystore.New(k.store, master).Open(k.ctx()), nil) })
			}
			wait.Wait()
			key := keystore.New(k.store, master)
			k.want(errOf(key.CreateDeployment(k.ctx(), alice, keystore.Deployment{ID: "dep1", Name: "x"})), nil)
			k.want(errOf(k.Deployment(k.ctx(), "dep1")), nil)
		}},
		{"no secret stands in the store", func(t *testing.T, k *keystoreKit) {
			n := k.node()
			key, first := n.key("dep1")
			_, second := n.rotate(key.ID, keystore.KeyRotation{Overlap: time.Hour})
			n.wantKeys("kid1 signing")
			records := must(n.store.Get(n.ctx(), "root", "key/"+key.ID, "signing_keys"))
			for _, entry := range must(n.store.Log(n.ctx(), 0, 100)) {
				records = append(records, entry.Event)
			}
			for _, record := range records {
				for _, secret := range []string{first[4:], second[4:], string(master), "private part"} {
					failIf(t, len(record) == 0 || bytes.Contains(record, []byte(secret)), "a secret stands in %q", record)
				}
			}
		}},
	}
}
