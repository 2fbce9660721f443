package keystore_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// memberships are the Deployments of a user with their role in each, as "dep1 admin", page by page.
func (k *keystoreKit) memberships(user string, limit int) []string {
	k.t.Helper()
	var got []string
	for page := (keystore.Page{Limit: limit}); ; {
		list := must(k.Memberships(k.ctx(), user, page))
		for _, m := range list.Items {
			got = append(got, fmt.Sprintf("%s %s", m.ID, m.Role))
		}
		if page.After = list.Next; page.After == "" {
			return got
		}
	}
}

func (k *keystoreKit) wantMemberships(user string, want ...string) {
	k.t.Helper()
	if got := k.memberships(user, 10); !slices.Equal(got, want) {
		k.t.Errorf("%s is a member of %q, want %q", user, got, want)
	}
}

func (k *keystoreKit) member(deployment, user string, role keystore.Role) {
	k.t.Helper()
	ok(k.t, errOf(k.PutMember(k.ctx(), alice, deployment, user, role)))
}

// membershipTests hold the Deployments of a user.
func membershipTests() []keystoreTest {
	return []keystoreTest{
		{"the Deployments of a user are listed with their role", func(t *testing.T, k *keystoreKit) {
			const odd = "a/b ü\\ ../%2f"
			for _, id := range []string{"dep3", "dep1", "dep2"} {
				k.deployment(id)
			}
			k.key("dep1")
			k.member("dep1", "bob", keystore.RoleViewer)
			k.member("dep3", "bob", keystore.RoleAdmin)
			k.member("dep2", odd, keystore.RoleEditor)
			k.wantMemberships("bob", "dep1 viewer", "dep3 admin")
			k.wantMemberships(odd, "dep2 editor")
			k.wantMemberships("bo")
			k.wantMemberships("bobb")
			list := must(k.Memberships(k.ctx(), "bob", keystore.Page{Limit: 1}))
			if d, err := k.Deployment(k.ctx(), "dep1"); err != nil || list.Items[0].Deployment != d || d.KeyCount != 1 {
				t.Errorf("listed %+v, read %+v (%v)", list.Items[0], d, err)
			}

			k.member("dep1", "bob", keystore.RoleEditor)
			k.wantMemberships("bob", "dep1 editor", "dep3 admin")
			k.want(k.DeleteMember(k.ctx(), alice, "dep1", "bob"), nil)
			k.wantMemberships("bob", "dep3 admin")
			k.want(k.DeleteDeployment(k.ctx(), alice, "dep3"), nil)
			k.wantMemberships("bob")
			k.deployment("dep3")
			k.wantMemberships("bob")
			k.wantMemberships(odd, "dep2 editor")
		}},
		{"a role is that of a member, and of nobody else", func(_ *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.member("dep1", "bob", keystore.RoleEditor)
			role := must(k.Role(k.ctx(), "dep1", "bob"))
			failIf(k.t, role != keystore.RoleEditor, "role %q", role)
			// What is said of a Deployment that one may not see is what is said of one that is not there.
			for _, id := range []string{"dep1", "dep9", "Not A Label"} {
				_, err := k.Role(k.ctx(), id, "carol")
				k.want(err, keystore.ErrNotFound)
				if want := fmt.Sprintf("Deployment %q does not exist", id); err == nil || err.Error() != want {
					k.t.Errorf("%v, want %s", err, want)
				}
			}
			k.want(errOf(k.Role(k.ctx(), "dep1", "")), keystore.ErrNotFound)
		}},
		{"the Deployments of a user come in pages", func(t *testing.T, k *keystoreKit) {
			var want []string
			for i := range 25 {
				id := fmt.Sprintf("dep-%02d", i)
				k.deployment(id)
				if i%2 == 0 {
					k.member(id, "bob", keystore.RoleViewer)
					want = append(want, id+" viewer")
				}
			}
			for _, limit := range []int{1, 5, 13, keystore.MaxPage} {
				if got := k.memberships("bob", limit); !slices.Equal(got, want) {
					t.Errorf("in pages of %d: %q", limit, got)
				}
			}
			for _, limit := range []int{0, -1, keystore.MaxPage + 1} {
				k.want(errOf(k.Memberships(k.ctx(), "bob", keystore.Page{Limit: limit})), keystore.ErrInvalid)
			}
			for _, user := range []string{"", "a\nb", strings.Repeat("x", 257)} {
				k.want(errOf(k.Memberships(k.ctx(), user, keystore.Page{Limit: 1})), keystore.ErrInvalid)
			}
			k.memberships(strings.Repeat("x", keystore.MaxUserLength), 1)
		}},
		{"altered records are left out of the Deployments of a user", func(t *testing.T, k *keystoreKit) {
			for _, id := range []string{"dep1", "dep2", "dep3"} {
				k.deployment(id)
				k.member(id, "bob", keystore.RoleViewer)
			}
			k.alter("member/dep1/Ym9i", `"viewer"`, `"admin"`)
			k.alter("deployment/dep2", "Name of dep2", "Name of else")
			list := must(k.Memberships(k.ctx(), "bob", keystore.Page{Limit: 10}))
			failIf(t, len(list.Items) != 1 || list.Items[0].ID != "dep3" || !slices.Equal(list.Altered, []string{"member/dep1/Ym9i", "deployment/dep2"}), "listed %+v", list)
			k.want(errOf(k.Role(k.ctx(), "dep1", "bob")), keystore.ErrAltered)
		}},
		{"a name in the index of a user grants nothing", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			change := keystore.Change{Steps: []keystore.Step{{Kind: keystore.AddMember, Name: "memberships/Ym9i", Member: "dep1"}}}
			k.want(k.store.Apply(k.ctx(), change), nil)
			k.wantMemberships("bob")
		}},
		{"keys and members made while their Deployment is deleted do not outlive it", func(t *testing.T, k *keystoreKit) {
			users := []string{"bob", "carol", "dan", "eve"}
			want := func(err error) {
				if err != nil && !errors.Is(err, keystore.ErrNotFound) {
					t.Error(err)
				}
			}
			for range 20 {
				k.deployment("dep1")
				var wait sync.WaitGroup
				for _, user := range users {
					wait.Go(func() {
						want(errOf(k.PutMember(k.ctx(), alice, "dep1", user, keystore.RoleViewer)))
						want(errOf2(k.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "dep1", Name: "k"})))
					})
				}
				wait.Go(func() { k.want(k.DeleteDeployment(k.ctx(), alice, "dep1"), nil) })
				wait.Wait()
			}
			k.deployment("dep1")
			keys, members := must(k.Keys(k.ctx(), "dep1", keystore.Page{Limit: 10})), must(k.Members(k.ctx(), "dep1"))
			failIf(t, len(keys.Items)+len(members.Items) != 0, "keys %v and members %v are left", keys.Items, members.Items)
			for _, user := range users {
				if sizes := must(k.store.Sizes(k.ctx(), "memberships/"+base64.RawURLEncoding.EncodeToString([]byte(user)))); sizes[0] != 0 {
					t.Errorf("%d Deployments of %s are left", sizes[0], user)
				}
			}
		}},
	}
}
