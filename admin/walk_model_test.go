package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/deploymentkeys/gateway/keystore"
)

// A walkModel is what there should be.
type walkModel struct {
	deployments map[string]*walkDeployment
	keys        []*walkKey // all that ever were
	revoked     []*walkRevoked
	cutoff      bool
	ever        map[string]bool // Deployments that ever were
}

type walkDeployment struct {
	name    string
	members map[string]string // role by user
}

type walkKey struct {
	id, deployment, name string
	expires              time.Time
	secrets              []string // all that it ever had
	previousUntil        time.Time
	used, lives          bool
}

// A walkRevoked is one token that was revoked.
type walkRevoked struct {
	jti, owner string
	expires    time.Time
	counted    bool // for the limit of its owner
}

func (m *walkModel) happened(id string) {
	if m.ever == nil {
		m.ever = map[string]bool{}
	}
	m.ever[id] = true
}

func (m *walkModel) deleteKey(k *walkKey) { k.lives, k.used = false, false }

func (m *walkModel) deleteDeployment(id string) {
	delete(m.deployments, id)
	for _, k := range m.keys {
		if k.deployment == id {
			m.deleteKey(k)
		}
	}
}

func (m *walkModel) forgetRevoked(k *walkKey) {
	for _, one := range m.revoked {
		if one.owner == k.id {
			one.counted = false
		}
	}
}

// purgeRevoked removes tokens whose time is over, at most so many, in the order of their expiry.
func (m *walkModel) purgeRevoked(now time.Time, most int) {
	slices.SortFunc(m.revoked, func(a, b *walkRevoked) int {
		return strings.Compare(fmt.Sprintf("%016x/%s/%s", a.expires.Unix(), a.owner, a.jti), fmt.Sprintf("%016x/%s/%s", b.expires.Unix(), b.owner, b.jti))
	})
	for ; most > 0 && len(m.revoked) > 0 && !m.revoked[0].expires.After(now.Add(-5*time.Minute)); most-- {
		m.revoked = m.revoked[1:]
	}
}

func (m *walkModel) purge(now time.Time, longer time.Duration) {
	for _, k := range m.keys {
		if k.lives && !k.expires.IsZero() && !k.expires.After(now.Add(-longer)) {
			m.deleteKey(k)
		}
	}
	m.purgeRevoked(now, len(m.revoked))
}

// check holds the API, the secrets and the store against the model.
func (w *walk) check(rt *rapid.T) {
	w.checkLists(rt)
	w.checkSecrets(rt)
	w.checkRaw(rt)
}

func (w *walk) checkLists(rt *rapid.T) {
	m := &w.model
	same := func(what string, got, want []string) {
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			rt.Fatalf("the API lists as %s %q, and there should be %q", what, got, want)
		}
	}
	var got, want []string
	for _, d := range w.call(rt, "GET", "/deployments", "", 200)["deployments"].([]any) {
		d := d.(map[string]any)
		got = append(got, fmt.Sprint(d["id"], " ", d["name"], " ", d["key_count"]))
	}
	memberships := map[string][]string{"bob": nil, "carol": nil}
	for _, id := range slices.Sorted(maps.Keys(m.deployments)) {
		d, keys := m.deployments[id], []string(nil)
		for _, k := range m.keys {
			if k.lives && k.deployment == id {
				keys = append(keys, fmt.Sprint(k.name, " ", k.expires.Unix(), " ", k.used))
			}
		}
		want = append(want, fmt.Sprint(id, " ", d.name, " ", len(keys)))
		var listed, members, wantMembers []string
		for _, k := range w.call(rt, "GET", "/deployments/"+id+"/keys", "", 200)["keys"].([]any) {
			k := k.(map[string]any)
			var expires time.Time
			if text, ok := k["expires_at"].(string); ok {
				expires, _ = time.Parse(time.RFC3339, text)
			}
			listed = append(listed, fmt.Sprint(k["name"], " ", expires.Unix(), " ", k["last_used_at"] != nil))
		}
		same("keys of "+id, listed, keys)
		for _, member := range w.call(rt, "GET", "/deployments/"+id+"/members", "", 200)["members"].([]any) {
			member := member.(map[string]any)
			members = append(members, fmt.Sprint(member["user"], " ", member["role"]))
		}
		for user, role := range d.members {
			wantMembers = append(wantMembers, user+" "+role)
			memberships[user] = append(memberships[user], id+" "+role)
		}
		same("members of "+id, members, wantMembers)
	}
	same("Deployments", got, want)
	for user, want := range memberships {
		list, err := patiently(func() (keystore.List[keystore.Membership], error) {
			return w.keys.Memberships(context.Background(), user, keystore.Page{Limit: keystore.MaxPage})
		})
		if err != nil {
			rt.Fatal(err)
		}
		var got []string
		for _, membership := range list.Items {
			got = append(got, fmt.Sprint(membership.ID, " ", membership.Role))
		}
		same("Deployments of "+user, got, want)
	}
}

func (w *walk) checkSecrets(rt *rapid.T) {
	now := w.clock.Now()
	for i, k := range w.model.keys {
		for n, secret := range k.secrets {
			works := k.lives && (n == len(k.secrets)-1 || n == len(k.secrets)-2 && now.Before(k.previousUntil))
			want := error(nil)
			switch {
			case !works:
				want = keystore.ErrCredentials
			case !k.expires.IsZero() && !now.Before(k.expires):
				want = keystore.ErrExpired
			}
			_, err := patiently(func() (keystore.Key, error) { return w.keys.Authenticate(context.Background(), k.id, secret) })
			if !errors.Is(err, want) || (want == nil) != (err == nil) {
				rt.Fatalf("secret %d of key %d: %v, want %v", n, i, err, want)
			}
		}
	}
}

// checkRaw holds all records and indexes that there are against those that there should be. Of the audit log only the
// range is known here.
func (w *walk) checkRaw(rt *rapid.T) {
	m := &w.model
	want := map[string]bool{"record root": true}
	put := func(kind, format string, args ...any) { want[kind+" "+fmt.Sprintf(format, args...)] = true }
	if m.cutoff {
		put("record", "cutoff")
	}
	for id, d := range m.deployments {
		put("record", "deployment/%s", id)
		put("member", "deployments %s", id)
		for user := range d.members {
			name := base64.RawURLEncoding.EncodeToString([]byte(user))
			put("record", "member/%s/%s", id, name)
			put("member", "members/%s %s", id, name)
			put("member", "memberships/%s %s", name, id)
		}
	}
	for _, k := range m.keys {
		if !k.lives {
			continue
		}
		put("record", "key/%s", k.id)
		put("member", "keys/%s %s", k.deployment, k.id)
		if !k.expires.IsZero() {
			put("member", "expiring/%s %s", k.deployment, k.id)
		}
		if k.used {
			put("record", "used/%s", k.id)
			put("member", "used/%s %s", k.deployment, k.id)
		}
	}
	for _, one := range m.revoked {
		put("record", "revoked/%s", one.jti)
		put("member", "revoked %016x/%s/%s", one.expires.Unix(), one.owner, one.jti)
		if one.counted {
			put("member", "revoked/%s %s", one.owner, one.jti)
		}
	}
	got, err := w.raw()
	if err != nil {
		rt.Fatal(err)
	}
	for name := range got {
		if !want[name] && !strings.HasPrefix(name, "record audit") && !w.ofAudit(name) {
			rt.Fatalf("the store has what should not be there: %s", w.plain(name))
		}
	}
	for name := range want {
		if !got[name] {
			rt.Fatalf("the store has not what should be there: %s", w.plain(name))
		}
	}
}

// ofAudit accepts the index of the audit log of a Deployment that there ever was, which outlives it.
func (w *walk) ofAudit(name string) bool {
	rest, ok := strings.CutPrefix(name, "member audit/")
	id, place, _ := strings.Cut(rest, " ")
	return ok && w.model.ever[id] && keystore.IsAuditPlace(place)
}

// plain has the numbers of keys in the place of their IDs, which are other ones in each run.
func (w *walk) plain(name string) string {
	for i, k := range w.model.keys {
		name = strings.ReplaceAll(name, k.id, fmt.Sprintf("<key %d>", i))
	}
	return name
}
