package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/internal/strictjson/strictjsontest"
	"github.com/deploymentkeys/gateway/keystore"
)

// FuzzBody sends any bytes as the body of each call that is not only read; a new call is in the tables of routes, and so
// here. It is never a fault, and what is refused has changed nothing. What is accepted is, to a reader that shares no code,
// one object without anything twice, is in the document, and has the effect that it says.
func FuzzBody(f *testing.F) {
	d := readAPIDocument(f)
	store := &countedStore{Store: newStore(f)}
	keys := keystore.New(store, master)
	api := apiOn(f, keys, nil)
	var calls [][2]string // method, path
	for _, table := range []map[string]map[string]call{routes, tokenRoutes} {
		for path, methods := range table {
			for method := range methods {
				if method != http.MethodGet {
					calls = append(calls, [2]string{method, path})
				}
			}
		}
	}
	slices.SortFunc(calls, func(a, b [2]string) int { return strings.Compare(a[1]+a[0], b[1]+b[0]) })
	for i, call := range calls {
		f.Add(uint8(i), true, ``)
		f.Add(uint8(i), true, `{}`)
		f.Add(uint8(i), true, `{"name":"n"}`)
		if operation, _ := d.find(call[0], call[1]); operation == nil || operation.body == nil {
			continue // these want no body, or none with anything in it
		}
		for _, body := range []string{
			`{"id":"made","name":"n"}`, `{"name":"n","name":"m"}`, `{"name":"n","n\u0061me":"m"}`, `{"Name":"n"}`, `{"name":null}`, `{"name":"\ud800"}`,
			`{"name":"n","scopes":["deploy"],"expires_at":"2030-12-31T00:00:00Z","allowed_ips":["10.0.0.0/8"]}`, `{"name":"n","scopes":[null]}`, `{"allowed_ips":[null]}`,
			`{"role":"viewer"}`, `{"role":"viewer","role":"admin"}`, `{"overlap":"1h","revoke_tokens":true}`, `{"overlap":""}`, `{"replace":true}`, `{"token":"good"}`,
			`{"token":"good","deployment":"etl","scopes":["deploy"],"address":"192.0.2.1"}`, `[]`, `null`, `{"name":"n"}{}`, `{"name":"n"} x`, "\xff", `{"scopes":{"scopes":[]}}`,
			`{"expires_at":""}`, `{"expires_at":"2030-12-31T00:00:00+99:00"}`, `{"name":1e400}`, "{\"name\":\"a\\u0000b\"}", `{"description":"\u202e"}`,
		} {
			f.Add(uint8(i), true, body)
		}
		f.Add(uint8(i), false, `{"name":"n"}`)
	}
	names := map[string]string{"deployment": "etl", "user": "bob"}
	f.Fuzz(func(t *testing.T, which uint8, typed bool, body string) {
		restore(t, keys, names)
		method, template := calls[int(which)%len(calls)][0], calls[int(which)%len(calls)][1]
		path := template
		for name, value := range names {
			path = strings.ReplaceAll(path, "{"+name+"}", value)
		}
		contentType := ""
		if typed {
			contentType = "application/json"
		}
		store.changes.Store(0)
		w, err := sendAPI(api, apiRequest(method, path, contentType, body))
		changes := store.changes.Load()
		switch {
		case err != nil:
			t.Fatal(err)
		case w.Code >= 500 || w.Code < 200:
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		case w.Code >= 400 && changes != 0:
			t.Fatalf("%s %s: %d %s, and %d changes were made", method, path, w.Code, w.Body, changes)
		case w.Code >= 400:
			var refused struct{ Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &refused); err != nil || refused.Error == "" || len(refused.Error) > 2_000 {
				t.Fatalf("%s %s: %d %.3000s", method, path, w.Code, w.Body)
			}
			return
		}
		defer removeMade(t, keys, w.Header().Get("Location"))
		operation, _ := d.find(method, path)
		if body == "" || operation == nil || operation.body == nil {
			return
		}
		said, ok := strictjsontest.Read(body)
		if !typed || !ok || said.Kind != strictjsontest.Object || said.Repeats() || !d.accepts(operation.body, body) {
			t.Fatalf("%s %s: %d, with %s", method, path, w.Code, body)
		}
		var answer jsonObject
		if w.Body.Len() > 0 {
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"id", "name", "description", "role"} {
			shown, isShown := answer[name]
			if value, given := said.Get(name); given && isShown && shown != value.Text {
				t.Fatalf("%s %s: %q is %q, and %s was sent", method, path, name, shown, value.Raw)
			}
		}
	})
}

// restore makes again what a call has deleted.
func restore(t *testing.T, keys *keystore.Keystore, names map[string]string) {
	t.Helper()
	ctx := t.Context()
	_, err := keys.CreateDeployment(ctx, anna, keystore.Deployment{ID: names["deployment"], Name: "n"})
	if err != nil && !errors.Is(err, keystore.ErrExists) {
		t.Fatal(err)
	}
	_, err = keys.DeploymentKey(ctx, names["deployment"], names["key"])
	if errors.Is(err, keystore.ErrNotFound) {
		var key keystore.Key
		key, _, err = keys.CreateKey(ctx, anna, keystore.Key{DeploymentID: names["deployment"], Name: "n"})
		names["key"] = key.ID
	}
	if err != nil {
		t.Fatal(err)
	}
}

// removeMade deletes what a call has made, so that there is always room for more.
func removeMade(t *testing.T, keys *keystore.Keystore, location string) {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(location, "/deployments/"), "/keys/")
	var err error
	switch {
	case location == "":
	case len(parts) == 2:
		err = keys.DeleteKey(t.Context(), anna, parts[0], parts[1])
	default:
		err = keys.DeleteDeployment(t.Context(), anna, parts[0])
	}
	if err != nil {
		t.Fatal(err)
	}
}
