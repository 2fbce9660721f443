package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// Every status of every operation, and every field of every answer, is as documented; and nothing is
// documented that does not come.
func TestAPIDocumentIsWhatIsAnswered(t *testing.T) {
	d := readAPIDocument(t)
	document := &documentTest{T: t, d: d}
	document.wrongRequests()
	document.ordinaryCalls()
	document.fullStore()
	document.outage()
	document.damagedStore()
	document.retiredSigningKey()
	if t.Failed() {
		return
	}
	for _, wanted := range d.wanted() {
		if !d.seen[wanted] {
			t.Errorf("%s is documented, and did not come", wanted)
		}
	}
}

type documentTest struct {
	*testing.T
	d *apiDocument
}

// call makes a request, wants a status, and holds the answer against the document. A body is JSON.
func (t *documentTest) call(api http.Handler, method, target, body string, status int) jsonObject {
	t.Helper()
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	return t.callWith(api, method, target, contentType, body, status)
}

func (t *documentTest) callWith(api http.Handler, method, target, contentType, body string, status int) jsonObject {
	t.Helper()
	r := apiRequest(method, target, contentType, body)
	w, err := sendAPI(api, r)
	if err == nil {
		err = t.d.check(method, r.URL.EscapedPath(), w)
	}
	if o, _ := t.d.find(method, r.URL.EscapedPath()); err == nil && status < 300 && body != "" && o.body != nil && !t.d.accepts(o.body, body) {
		err = errors.New("the body is not as documented")
	}
	if err != nil {
		t.Fatalf("%s %s %.100s: %v", method, target, body, err)
	}
	if w.Code != status {
		t.Fatalf("%s %s %.100s: %d %s, want %d", method, target, body, w.Code, w.Body, status)
	}
	var answer jsonObject
	_ = json.Unmarshal(w.Body.Bytes(), &answer) // there may be no body, or more than one line
	return answer
}

// values are of parameters that are of nothing.
var nothing = map[string]string{"deployment": "none", "key": "000000000000000000000000", "user": "nobody"}

// wrongRequests makes those that are refused before anything is looked up, and those of nothing.
func (t *documentTest) wrongRequests() {
	api := newAPI(t, func(a *API) {
		withTokens(new(fakeTokens))(a)
		a.Ready = func(context.Context) (time.Duration, bool, error) { return 0, true, nil }
	})
	for _, path := range t.d.paths {
		target := fill(path, nothing)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"} {
			if o, _ := t.d.find(method, target); o == nil {
				t.call(api, method, target, "", http.StatusMethodNotAllowed)
			}
		}
		for _, further := range []string{"/", "/further", "//"} {
			if _, other := t.d.find("GET", target+further); other == t.d.otherPath {
				t.call(api, "GET", target+further, "", http.StatusNotFound)
			}
		}
	}
	for _, o := range t.d.operations {
		target := fill(o.path, nothing)
		if o.body != nil {
			t.call(api, o.method, target, `{"a":`, http.StatusBadRequest)
			t.call(api, o.method, target, `{"surely_unknown":1}`, http.StatusBadRequest)
			t.call(api, o.method, target, `{"a":"`+strings.Repeat("a", maxBody)+`"}`, http.StatusRequestEntityTooLarge)
			t.callWith(api, o.method, target, "text/plain", "{}", http.StatusUnsupportedMediaType)
			if o.body.required {
				t.call(api, o.method, target, "", http.StatusUnsupportedMediaType)
			}
		}
		for _, parameter := range o.parameters {
			if parameter.in == "query" {
				t.call(api, o.method, target+"?"+parameter.name+"=*", "", http.StatusBadRequest)
			}
		}
		if o.answers[http.StatusNotFound] != nil {
			body := ""
			if o.body != nil && o.body.required {
				body = map[string]string{"createKey": `{"name":"n"}`, "putMember": `{"role":"viewer"}`, "revokeToken": `{"token":"bad"}`}[t.id(o)]
				if body == "" {
					body = "{}"
				}
			}
			t.call(api, o.method, target, body, http.StatusNotFound)
		}
	}
}

func (t *documentTest) id(o *operation) string {
	return fmt.Sprint(t.d.node(at("/paths", o.path, strings.ToLower(o.method)))["operationId"])
}

// outage has no store.
func (t *documentTest) outage() {
	api := newAPI(t, func(a *API) {
		withTokens(new(fakeTokens))(a)
		a.Keystore = func() (*keystore.Keystore, error) { return nil, keystore.ErrUnavailable }
		a.Ready = func(context.Context) (time.Duration, bool, error) { return 0, false, keystore.ErrUnavailable }
	})
	for _, o := range t.d.operations {
		t.call(api, o.method, fill(o.path, nothing), "", http.StatusServiceUnavailable)
	}
}

// noRoom is a store in which every index is full.
type noRoom struct{ keystore.Store }

func (s noRoom) Apply(ctx context.Context, change keystore.Change) error {
	for i, condition := range change.Conditions {
		if condition.Kind == keystore.SizeBelow {
			return &keystore.ConditionError{Index: i}
		}
	}
	return s.Store.Apply(ctx, change)
}

func (t *documentTest) fullStore() {
	api := newAPI(t, withKeystore(keystore.New(noRoom{newStore(t)}, master)))
	t.call(api, "POST", "/deployments", `{"id":"etl","name":"n"}`, 201)
	t.call(api, "POST", "/deployments", `{"id":"etl","name":"n"}`, 409)
	t.call(api, "POST", "/deployments/etl/keys", `{"name":"n"}`, 409)
	t.call(api, "PUT", "/deployments/etl/members/anna", `{"role":"viewer"}`, 409)
	t.call(api, "POST", "/tokens/revoke", `{"token":"good"}`, 409)
}

// damagedStore is one in which somebody has written.
func (t *documentTest) damagedStore() {
	store := newStore(t)
	keys := keystore.New(store, master)
	api := newAPI(t, withKeystore(keys))
	for _, name := range []string{"one", "two", "three"} {
		t.call(api, "POST", "/deployments", `{"id":"`+name+`","name":"n"}`, 201)
	}
	if _, _, err := keys.WriteAudit(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	damage := func(steps ...keystore.Step) {
		t.Helper()
		if err := store.Apply(t.Context(), keystore.Change{Steps: steps}); err != nil {
			t.Fatal(err)
		}
	}
	damage(
		keystore.Step{Kind: keystore.DeleteRecord, Name: "audit/0000000000000002"},
		keystore.Step{Kind: keystore.PutRecord, Name: "audit/0000000000000003", Value: []byte("something")},
		keystore.Step{Kind: keystore.PutRecord, Name: "deployment/two", Value: []byte("something")},
	)
	w, err := sendAPI(api, apiRequest("GET", "/audit/export", "", ""))
	if err != nil || !strings.Contains(w.Body.String(), `{"seq":2,"fault":"missing"}`+"\n"+`{"seq":3,"fault":"altered"}`) {
		t.Errorf("%v, the export is %s", err, w.Body)
	}
	t.call(api, "GET", "/audit/export", "", 200)
	t.call(api, "GET", "/audit", "", 200)
	t.call(api, "GET", "/deployments/two", "", 503)
	t.call(api, "GET", "/deployments", "", 200)
	t.call(api, "DELETE", "/deployments/two", "", 204)
	damage(
		keystore.Step{Kind: keystore.PutRecord, Name: "audit", Value: []byte("something")},
		keystore.Step{Kind: keystore.PutRecord, Name: "signing_keys", Value: []byte("something")},
	)
	for _, path := range []string{"/audit", "/audit/export", "/signing_keys"} {
		t.call(api, "GET", path, "", 503)
	}
	// A change that was entered late, and refusals that are summed up, as gateways enter them.
	now := time.Now()
	late := keystore.New(store, master)
	late.SetClock(func() time.Time { return now.Add(time.Hour) })
	if _, _, err := late.WriteAudit(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	_, _, err = keys.WriteAudit(t.Context(), []keystore.Refusal{{
		Time: now, Since: now.Add(-time.Minute), Count: 3, Handler: "auth", Error: "invalid_token", Address: "192.0.2.1",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.call(api, "GET", "/audit", "", 200)
}

// retiredSigningKey is there after more than an hour.
func (t *documentTest) retiredSigningKey() {
	clock := storetest.NewClock(newStore(t), time.Now())
	keys := clock.Keystore(master)
	made := 0
	policy := keystore.SigningPolicy{
		Algorithm: "ES256", TokenLifetime: time.Hour,
		Generate: func(algorithm string) (keystore.SigningKey, error) {
			made++
			return keystore.SigningKey{ID: fmt.Sprint("kid-", made), Algorithm: algorithm, Private: keystore.PrivateKey("private part")}, nil
		},
	}
	_, err := keys.RotateSigningKey(t.Context(), keystore.Caller{Name: "test"}, policy)
	clock.Advance(keystore.SigningKeyNotice + time.Minute)
	_, maintained := keys.MaintainSigningKeys(t.Context(), policy)
	if err = errors.Join(err, maintained); err != nil {
		t.Fatal(err)
	}
	t.call(newAPI(t, withKeystore(keys)), "GET", "/signing_keys", "", 200)
}
