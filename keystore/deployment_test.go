package keystore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

func deploymentTests() []keystoreTest {
	return []keystoreTest{
		{"a Deployment is created, read, changed and deleted", func(t *testing.T, k *keystoreKit) {
			made := k.deployment("dep1")
			failIf(t, made.ID != "dep1" || made.Name != "Name of dep1" || made.CreatedAt.IsZero() || made.CreatedAt.Location().String() != "UTC", "created %+v", made)
			read := must(k.Deployment(k.ctx(), "dep1"))
			failIf(t, read != made, "read %+v, want %+v", read, made)
			changed := must(k.UpdateDeployment(k.ctx(), alice, "dep1", func(d *keystore.Deployment) error {
				d.ID, d.Name, d.Description = "other", "New", "What it is for"
				return nil
			}))
			if want := (keystore.Deployment{ID: "dep1", Name: "New", Description: "What it is for", CreatedAt: made.CreatedAt}); changed != want {
				t.Errorf("changed to %+v, want %+v", changed, want)
			}
			k.want(k.DeleteDeployment(k.ctx(), alice, "dep1"), nil)
			k.want(errOf(k.Deployment(k.ctx(), "dep1")), keystore.ErrNotFound)
			k.want(k.DeleteDeployment(k.ctx(), alice, "dep1"), keystore.ErrNotFound)
			k.wantEvents("deployment.created dep1", "deployment.updated dep1", "deployment.deleted dep1")
		}},
		{"an ID is made when none is given", func(t *testing.T, k *keystoreKit) {
			first := must(k.CreateDeployment(k.ctx(), alice, keystore.Deployment{Name: "x"}))
			second := must(k.CreateDeployment(k.ctx(), alice, keystore.Deployment{Name: "x"}))
			failIf(t, first.ID == second.ID || keystore.ValidateDeploymentID(first.ID) != nil, "IDs %q and %q", first.ID, second.ID)
		}},
		{"an ID is taken once", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.want(errOf(k.CreateDeployment(k.ctx(), alice, keystore.Deployment{ID: "dep1", Name: "again"})), keystore.ErrExists)
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
				k.want(errOf(k.CreateDeployment(k.ctx(), alice, d)), keystore.ErrInvalid)
			}
			k.deployment("dep1")
			k.want(errOf(k.UpdateDeployment(k.ctx(), alice, "dep1", func(d *keystore.Deployment) error { d.Name = ""; return nil })), keystore.ErrInvalid)
			k.wantEvents("deployment.created dep1")
		}},
		{"a change that changes nothing leaves no event", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.want(errOf(k.UpdateDeployment(k.ctx(), alice, "dep1", func(*keystore.Deployment) error { return nil })), nil)
			k.wantEvents("deployment.created dep1")
		}},
		{"deleting a Deployment ends its keys and members, and no others", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			mine, mySecret := k.key("dep1")
			other, otherSecret := k.key("dep2")
			k.want(errOf(k.PutMember(k.ctx(), alice, "dep1", "bob", keystore.RoleViewer)), nil)
			k.want(k.DeleteDeployment(k.ctx(), alice, "dep1"), nil)

			k.want(errOf(k.Key(k.ctx(), mine.ID)), keystore.ErrNotFound)
			k.want(errOf(k.Authenticate(k.ctx(), mine.ID, mySecret)), keystore.ErrCredentials)
			k.want(errOf(k.Member(k.ctx(), "dep1", "bob")), keystore.ErrNotFound)
			k.want(errOf(k.Keys(k.ctx(), "dep1", keystore.Page{Limit: 10})), keystore.ErrNotFound)
			k.want(errOf(k.Authenticate(k.ctx(), other.ID, otherSecret)), nil)

			// One of the same ID is another one.
			k.deployment("dep1")
			if d, _ := k.Deployment(k.ctx(), "dep1"); d.KeyCount != 0 {
				t.Errorf("the new one has %d keys", d.KeyCount)
			}
			k.want(errOf(k.Key(k.ctx(), mine.ID)), keystore.ErrNotFound)
			k.want(errOf(k.Member(k.ctx(), "dep1", "bob")), keystore.ErrNotFound)
		}},
		{"Deployments are listed by ID, in pages, with the number of their keys", func(t *testing.T, k *keystoreKit) {
			for i := range 25 {
				k.deployment(fmt.Sprintf("dep-%02d", i))
			}
			k.key("dep-03")
			var got []string
			for page := (keystore.Page{Limit: 10}); ; {
				list := must(k.Deployments(k.ctx(), page))
				for _, d := range list.Items {
					got = append(got, d.ID)
					failIf(t, (d.KeyCount == 1) != (d.ID == "dep-03"), "%s has %d keys", d.ID, d.KeyCount)
				}
				if page.After = list.Next; page.After == "" {
					break
				}
			}
			failIf(t, len(got) != 25 || !slices.IsSorted(got), "listed %q", got)
			for _, limit := range []int{0, -1, keystore.MaxPage + 1} {
				k.want(errOf(k.Deployments(k.ctx(), keystore.Page{Limit: limit})), keystore.ErrInvalid)
			}
		}},
	}
}
