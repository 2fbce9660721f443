package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/deploymentkeys/gateway/internal/propertytest"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// TestWalk makes calls of the admin API, and does what nodes do by themselves, in any order and with few IDs, so that they are used
// again. After each step the API lists what a model of Go maps has, each secret that was ever made works as the model says, and
// the store has the records and the indexes that the model needs and no other: nothing of what was deleted is left, or comes
// back.
func TestWalk(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) func(*rapid.T) (keystore.Store, rawStore){"bbolt": openBolt, "Redis": openRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opener := open(t)
			propertytest.Check(t, func(rt *rapid.T) {
				store, raw := opener(rt)
				w := newWalk(t, rt, store, raw)
				defer func() { _ = w.keys.Close() }()
				rt.Repeat(w.actions())
			})
		})
	}
}

type walk struct {
	t     *testing.T
	clock *storetest.Clock
	keys  *keystore.Keystore
	api   http.Handler
	raw   rawStore
	model walkModel
}

func newWalk(t *testing.T, rt *rapid.T, store keystore.Store, raw rawStore) *walk {
	// Ahead of the real clock, by which the API leaves out a previous secret that does not work any more.
	clock := storetest.NewClock(store, time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	w := &walk{t: t, clock: clock, keys: clock.Keystore([]byte(strings.Repeat("k", 32))), raw: raw}
	w.model.deployments = map[string]*walkDeployment{}
	api := &API{
		Keystore: func() (*keystore.Keystore, error) { return w.keys, nil },
		Caller:   func(*http.Request) keystore.Caller { return walkCaller },
		Logger:   zap.NewNop(),
	}
	w.api = api.Handler()
	if err := w.keys.Open(context.Background()); err != nil {
		rt.Fatal(err)
	}
	return w
}

var walkCaller = keystore.Caller{Name: "anna"}

// mostTries is how often a read is tried: it is bounded to half a second, which a busy machine may need for anything.
const mostTries = 10

// patiently makes a read that may be tried again.
func patiently[T any](read func() (T, error)) (T, error) {
	value, err := read()
	for tries := 1; errors.Is(err, keystore.ErrUnavailable) && tries < mostTries; tries++ {
		value, err = read()
	}
	return value, err
}

// call makes a call that has to be answered with a status.
func (w *walk) call(rt *rapid.T, method, path, body string, status int) map[string]any {
	answer := callAPI(w.t, w.api, method, path, body)
	for tries := 1; method == http.MethodGet && answer.Code == http.StatusServiceUnavailable && tries < mostTries; tries++ {
		answer = callAPI(w.t, w.api, method, path, body)
	}
	if answer.Code != status {
		rt.Fatalf("%s: %d, want %d", method, answer.Code, status)
	}
	decoded := map[string]any{}
	if answer.Body.Len() > 0 {
		if err := json.Unmarshal(answer.Body.Bytes(), &decoded); err != nil {
			rt.Fatal(err)
		}
	}
	return decoded
}

// either is the status of a call for something that is there, and for something that is not.
func either(there bool, status, otherwise int) int {
	if there {
		return status
	}
	return otherwise
}

func (w *walk) actions() map[string]func(*rapid.T) {
	m := &w.model
	ctx := context.Background()
	id := func(rt *rapid.T) string {
		return rapid.SampledFrom([]string{"dep1", "dep2", "dep3"}).Draw(rt, "Deployment")
	}
	user := func(rt *rapid.T) string { return rapid.SampledFrom([]string{"bob", "carol"}).Draw(rt, "user") }
	seconds := func(rt *rapid.T, what string) time.Duration {
		return time.Duration(rapid.SampledFrom([]int{1, 60, 600, 3600, 90000}).Draw(rt, what)) * time.Second
	}
	// Of any key that ever was, by way of any Deployment.
	key := func(rt *rapid.T) (k *walkKey, path string, there bool) {
		if len(m.keys) == 0 {
			rt.Skip()
		}
		k = m.keys[rapid.IntRange(0, len(m.keys)-1).Draw(rt, "key")]
		of := k.deployment
		if rapid.IntRange(0, 5).Draw(rt, "of another") == 0 {
			of = id(rt)
		}
		return k, "/deployments/" + of + "/keys/" + k.id, k.lives && of == k.deployment
	}
	createKey := func(rt *rapid.T) {
		of := id(rt)
		d, name := m.deployments[of], fmt.Sprintf("key %d", len(m.keys))
		body := map[string]any{"name": name}
		k := &walkKey{deployment: of, name: name, lives: true}
		if rapid.Bool().Draw(rt, "expires") {
			k.expires = w.clock.Now().Add(seconds(rt, "lifetime"))
			body["expires_at"] = k.expires.Format(time.RFC3339)
		}
		answer := w.call(rt, "POST", "/deployments/"+of+"/keys", encoded(body), either(d != nil, 201, 404))
		if d != nil {
			k.id, k.secrets = answer["id"].(string), []string{answer["secret"].(string)}
			m.keys = append(m.keys, k)
		}
	}
	return map[string]func(*rapid.T){
		"create Deployment": func(rt *rapid.T) {
			id := id(rt)
			there := m.deployments[id] != nil
			w.call(rt, "POST", "/deployments", encoded(map[string]any{"id": id, "name": "first"}), either(there, 409, 201))
			if !there {
				m.deployments[id] = &walkDeployment{name: "first", members: map[string]string{}}
				m.happened(id)
			}
		},
		"change Deployment": func(rt *rapid.T) {
			id, name := id(rt), rapid.SampledFrom([]string{"first", "second"}).Draw(rt, "name")
			d := m.deployments[id]
			w.call(rt, "PATCH", "/deployments/"+id, encoded(map[string]any{"name": name}), either(d != nil, 200, 404))
			if d != nil {
				d.name = name
			}
		},
		"delete Deployment": func(rt *rapid.T) {
			id := id(rt)
			w.call(rt, "DELETE", "/deployments/"+id, "", either(m.deployments[id] != nil, 204, 404))
			m.deleteDeployment(id)
		},
		"create key": createKey, "create key again": createKey,
		"change key": func(rt *rapid.T) {
			k, path, there := key(rt)
			name, expires := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "name"), time.Time{}
			body := map[string]any{"name": name, "expires_at": ""}
			if rapid.Bool().Draw(rt, "expires") {
				expires = w.clock.Now().Add(seconds(rt, "lifetime") - time.Minute) // may have passed
				body["expires_at"] = expires.Format(time.RFC3339)
			}
			w.call(rt, "PATCH", path, encoded(body), either(there, 200, 404))
			if there {
				k.name, k.expires = name, expires
			}
		},
		"rotate key": func(rt *rapid.T) {
			k, path, there := key(rt)
			body, overlap := map[string]any{}, time.Duration(0)
			if rapid.Bool().Draw(rt, "overlap") {
				overlap = seconds(rt, "for")
				body["overlap"] = overlap.String()
			}
			revoke := rapid.IntRange(0, 3).Draw(rt, "revoke_tokens") == 0
			body["revoke_tokens"] = revoke
			answer := w.call(rt, "POST", path+"/rotate", encoded(body), either(there, 200, 404))
			if there {
				k.secrets = append(k.secrets, answer["secret"].(string))
				k.previousUntil = w.clock.Now().Add(overlap)
				if revoke {
					m.forgetRevoked(k)
				}
			}
		},
		"revoke tokens of key": func(rt *rapid.T) {
			k, path, there := key(rt)
			w.call(rt, "POST", path+"/revoke_tokens", "", either(there, 204, 404))
			if there {
				m.forgetRevoked(k)
			}
		},
		"revoke tokens of Deployment": func(rt *rapid.T) {
			id := id(rt)
			w.call(rt, "POST", "/deployments/"+id+"/revoke_tokens", "", either(m.deployments[id] != nil, 204, 404))
		},
		"revoke all tokens": func(rt *rapid.T) {
			w.call(rt, "POST", "/tokens/revoke_all", "", 204)
			m.cutoff = true
		},
		"delete key": func(rt *rapid.T) {
			k, path, there := key(rt)
			w.call(rt, "DELETE", path, "", either(there, 204, 404))
			if there {
				m.deleteKey(k)
			}
		},
		"put member": func(rt *rapid.T) {
			id, user, role := id(rt), user(rt), rapid.SampledFrom([]string{"viewer", "admin"}).Draw(rt, "role")
			d := m.deployments[id]
			w.call(rt, "PUT", "/deployments/"+id+"/members/"+user, encoded(map[string]any{"role": role}), either(d != nil, 200, 404))
			if d != nil {
				d.members[user] = role
			}
		},
		"delete member": func(rt *rapid.T) {
			id, user := id(rt), user(rt)
			d := m.deployments[id]
			there := d != nil && d.members[user] != ""
			w.call(rt, "DELETE", "/deployments/"+id+"/members/"+user, "", either(there, 204, 404))
			if there {
				delete(d.members, user)
			}
		},
		// What a node does by itself, late too: for keys that are gone.
		"record uses": func(rt *rapid.T) {
			k, _, _ := key(rt)
			use := keystore.KeyUse{ID: k.id, TokenAt: w.clock.Now(), TokenAddress: netip.MustParseAddr("192.0.2.1")}
			if _, err := w.keys.RecordKeyUses(ctx, []keystore.KeyUse{use}); err != nil {
				rt.Fatal(err)
			}
			k.used = k.used || k.lives
		},
		"revoke token": func(rt *rapid.T) {
			k, _, _ := key(rt)
			one := &walkRevoked{jti: fmt.Sprintf("jti%d", rapid.IntRange(0, 4).Draw(rt, "jti")), owner: k.id, expires: w.clock.Now().Add(seconds(rt, "lifetime"))}
			one.jti += fmt.Sprint("of", slices.Index(m.keys, k))
			err := w.keys.RevokeToken(ctx, walkCaller, keystore.RevokedToken{ID: one.jti, KeyID: k.id, ExpiresAt: one.expires})
			if err != nil {
				rt.Fatal(err)
			}
			if k.lives && !slices.ContainsFunc(m.revoked, func(other *walkRevoked) bool { return other.jti == one.jti }) {
				m.purgeRevoked(w.clock.Now(), 8)
				one.counted = true
				m.revoked = append(m.revoked, one)
			}
		},
		"purge": func(rt *rapid.T) {
			longer := seconds(rt, "longer than")
			for from := ""; ; {
				_, next, err := w.keys.PurgeExpiredKeys(ctx, longer, from)
				if err != nil {
					rt.Fatal(err)
				}
				if from = next; from == "" {
					break
				}
			}
			if _, err := w.keys.PurgeRevokedTokens(ctx); err != nil {
				rt.Fatal(err)
			}
			m.purge(w.clock.Now(), longer)
		},
		"audit": func(rt *rapid.T) {
			if _, _, err := w.keys.WriteAudit(ctx, nil); err != nil {
				rt.Fatal(err)
			}
			if _, err := w.keys.PurgeAudit(ctx, seconds(rt, "retention")); err != nil {
				rt.Fatal(err)
			}
		},
		"time passes": func(rt *rapid.T) { w.clock.Advance(seconds(rt, "time")) },
		"":            w.check,
	}
}

func encoded(body map[string]any) string {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(text)
}
