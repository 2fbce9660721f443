package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

// fakeTokens is a TokenService that has one token, "good", and writes down what it was asked.
type fakeTokens struct {
	asked string
	err   error // of the calls that may fail
}

var fakeKey = keystore.SigningKey{
	ID: "kid-1", Algorithm: "ES256", CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	Private: keystore.PrivateKey("private part"),
}

func (f *fakeTokens) RotateSigningKey(_ context.Context, by keystore.Caller) (keystore.SigningKey, error) {
	f.asked = "rotate by " + by.Name
	return fakeKey, f.err
}

func (f *fakeTokens) ReplaceSigningKeys(_ context.Context, by keystore.Caller) (keystore.SigningKey, error) {
	f.asked = "replace by " + by.Name
	key := fakeKey
	key.SignsFrom = key.CreatedAt
	return key, f.err
}

func (f *fakeTokens) Introspect(_ context.Context, raw, deployment string) (access.Introspection, error) {
	f.asked = fmt.Sprintf("introspect %s in %q", raw, deployment)
	return access.Introspection{Active: raw == "good"}, f.err
}

func (f *fakeTokens) RevokeToken(_ context.Context, by keystore.Caller, raw string) error {
	f.asked = "revoke " + raw + " by " + by.Name
	if f.err == nil && raw != "good" {
		return access.ErrNotOurs
	}
	return f.err
}

func (f *fakeTokens) Explain(_ context.Context, raw, deployment string, need keystore.Scopes, from netip.Addr) access.Explanation {
	f.asked = fmt.Sprintf("explain %s in %q for %q", raw, deployment, need)
	if from.IsValid() {
		f.asked += " from " + from.String()
	}
	passed := access.ExplainedCheck{Check: "form", Result: "passed"}
	return access.Explanation{Verdict: "accepted", Checks: slices.Repeat([]access.ExplainedCheck{passed}, 10)}
}

// withTokens gives an API a token service.
func withTokens(tokens TokenService) func(*API) {
	return func(a *API) { a.Tokens = func() (TokenService, error) { return tokens, nil } }
}

func TestTokenRoutes(t *testing.T) {
	t.Parallel()
	altered := fmt.Errorf("record %q: %w", "signing_keys", keystore.ErrAltered)
	exists := fmt.Errorf("announced already: %w", keystore.ErrExists)
	const announced = `{"kid":"kid-1","algorithm":"ES256","state":"announced","created_at":"2026-01-02T03:04:05Z","signs_from":"2026-01-02T04:14:05Z"}`
	const signing = `{"kid":"kid-1","algorithm":"ES256","state":"signing","created_at":"2026-01-02T03:04:05Z","signs_from":"2026-01-02T03:04:05Z"}`
	explained := `{"verdict":"accepted","checks":[` + strings.Repeat(`,{"check":"form","result":"passed"}`, 10)[1:] + `]}`
	large := `{"token":"` + strings.Repeat("a", maxBody) + `"}`
	for name, test := range map[string]struct {
		path, body string
		err        error
		status     int
		answer     string // all of it; of an error a part of its sentence
		asked      string
	}{
		"rotate":                  {"/signing_keys/rotate", ``, nil, 201, announced, "rotate by anna"},
		"rotate, {}":              {"/signing_keys/rotate", `{}`, nil, 201, announced, "rotate by anna"},
		"rotate, replace false":   {"/signing_keys/rotate", `{"replace":false}`, nil, 201, announced, "rotate by anna"},
		"replace":                 {"/signing_keys/rotate", `{"replace":true}`, nil, 201, signing, "replace by anna"},
		"rotate, announced":       {"/signing_keys/rotate", ``, exists, 409, "announced already", "rotate by anna"},
		"rotate, altered":         {"/signing_keys/rotate", ``, altered, 503, `\"replace\": true`, "rotate by anna"},
		"rotate, outage":          {"/signing_keys/rotate", ``, keystore.ErrUnavailable, 503, "store unavailable", "rotate by anna"},
		"rotate, a wrong type":    {"/signing_keys/rotate", `{"replace":"yes"}`, nil, 400, `\"replace\" has the wrong type`, ""},
		"rotate, null":            {"/signing_keys/rotate", `{"replace":null}`, nil, 400, `\"replace\" is null`, ""},
		"rotate, unknown field":   {"/signing_keys/rotate", `{"algorithm":"RS256"}`, nil, 400, `unknown field \"algorithm\"`, ""},
		"rotate, twice":           {"/signing_keys/rotate", `{"replace":true,"replace":false}`, nil, 400, "more than once", ""},
		"rotate, blanks":          {"/signing_keys/rotate", ` `, nil, 400, "ends too early", ""},
		"rotate, too large":       {"/signing_keys/rotate", large, nil, 413, "65536", ""},
		"introspect":              {"/tokens/introspect", `{"token":"good"}`, nil, 200, `{"active":true}`, `introspect good in ""`},
		"introspect, Deployment":  {"/tokens/introspect", `{"token":"bad","deployment":"dep1"}`, nil, 200, `{"active":false}`, `introspect bad in "dep1"`},
		"introspect, outage":      {"/tokens/introspect", `{"token":"good"}`, keystore.ErrUnavailable, 503, "store unavailable", `introspect good in ""`},
		"introspect, none":        {"/tokens/introspect", `{}`, nil, 400, "token is missing", ""},
		"introspect, empty":       {"/tokens/introspect", `{"token":""}`, nil, 400, "token is missing", ""},
		"introspect, no body":     {"/tokens/introspect", ``, nil, 415, "application/json", ""},
		"introspect, wrong ID":    {"/tokens/introspect", `{"token":"good","deployment":"Dep"}`, nil, 400, "DNS label", ""},
		"introspect, empty ID":    {"/tokens/introspect", `{"token":"good","deployment":""}`, nil, 400, "DNS label", ""},
		"introspect, number":      {"/tokens/introspect", `{"token":7}`, nil, 400, `\"token\" has the wrong type`, ""},
		"introspect, twice":       {"/tokens/introspect", `{"token":"good","token":"bad"}`, nil, 400, "more than once", ""},
		"introspect, hint":        {"/tokens/introspect", `{"token":"good","token_type_hint":"x"}`, nil, 400, "unknown field", ""},
		"introspect, too large":   {"/tokens/introspect", large, nil, 413, "65536", ""},
		"revoke":                  {"/tokens/revoke", `{"token":"good"}`, nil, 204, "", "revoke good by anna"},
		"revoke, not ours":        {"/tokens/revoke", `{"token":"bad"}`, nil, 404, access.ErrNotOurs.Error(), "revoke bad by anna"},
		"revoke, limit":           {"/tokens/revoke", `{"token":"good"}`, keystore.ErrLimit, 409, "limit reached", "revoke good by anna"},
		"revoke, outage":          {"/tokens/revoke", `{"token":"good"}`, keystore.ErrUnavailable, 503, "store unavailable", "revoke good by anna"},
		"revoke, none":            {"/tokens/revoke", `{}`, nil, 400, "token is missing", ""},
		"revoke, unknown field":   {"/tokens/revoke", `{"token":"good","deployment":"dep1"}`, nil, 400, "unknown field", ""},
		"revoke, too large":       {"/tokens/revoke", large, nil, 413, "65536", ""},
		"explain":                 {"/tokens/explain", `{"token":"good"}`, nil, 200, explained, `explain good in "" for ""`},
		"explain, an address":     {"/tokens/explain", `{"token":"good","address":"2001:db8::1"}`, nil, 200, explained, `explain good in "" for "" from 2001:db8::1`},
		"explain, no address":     {"/tokens/explain", `{"token":"good","address":""}`, nil, 400, "must be an IP address", ""},
		"explain, a block":        {"/tokens/explain", `{"token":"good","address":"10.0.0.0/8"}`, nil, 400, "must be an IP address", ""},
		"explain, a request":      {"/tokens/explain", `{"token":"good","deployment":"dep1","scopes":["deploy","airflow:read"]}`, nil, 200, explained, `explain good in "dep1" for "deploy airflow:read"`},
		"explain, no scopes":      {"/tokens/explain", `{"token":"good","scopes":[]}`, nil, 400, "scopes is empty", ""},
		"explain, unknown scope":  {"/tokens/explain", `{"token":"good","scopes":["all"]}`, nil, 400, "unknown scope", ""},
		"explain, scopes no list": {"/tokens/explain", `{"token":"good","scopes":"deploy"}`, nil, 400, "scopes", ""},
		"explain, none":           {"/tokens/explain", `{"deployment":"dep1"}`, nil, 400, "token is missing", ""},
		"explain, wrong ID":       {"/tokens/explain", `{"token":"good","deployment":"a/b"}`, nil, 400, "DNS label", ""},
		"explain, too large":      {"/tokens/explain", large, nil, 413, "65536", ""},
		"no such call":            {"/tokens/", `{}`, nil, 404, "nothing at this path", ""},
		"no such call of keys":    {"/signing_keys/kid-1", `{}`, nil, 404, "nothing at this path", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tokens := &fakeTokens{err: test.err}
			w := callAPI(t, newAPI(t, withTokens(tokens)), http.MethodPost, test.path, test.body)
			body := strings.TrimSpace(w.Body.String())
			if w.Code != test.status || (test.status >= 400) != strings.HasPrefix(body, `{"error":`) {
				t.Fatalf("%d %s, want %d", w.Code, body, test.status)
			}
			if body != test.answer && (test.status < 400 || !strings.Contains(body, test.answer)) {
				t.Errorf("%s, want %s", body, test.answer)
			}
			if tokens.asked != test.asked {
				t.Errorf("asked to %q, want %q", tokens.asked, test.asked)
			}
			if retry := w.Header().Get("Retry-After") != ""; retry != (test.status == 503) {
				t.Errorf("Retry-After is there: %t", retry)
			}
			if strings.Contains(body, "private") {
				t.Errorf("the private part of a key is in %s", body)
			}
		})
	}
}

// The calls that end many tokens need no body, and take none that says anything.
func TestRevokeManyTokens(t *testing.T) {
	t.Parallel()
	api := newAPI(t, func(*API) {})
	for _, id := range []string{"dep1", "dep2"} {
		callAPI(t, api, "POST", "/deployments", `{"id":"`+id+`","name":"n"}`)
	}
	var key struct{ ID string }
	if err := json.Unmarshal(callAPI(t, api, "POST", "/deployments/dep1/keys", `{"name":"k"}`).Body.Bytes(), &key); err != nil {
		t.Fatal(err)
	}
	own := "/deployments/dep1/keys/" + key.ID
	has := func(path string, want bool) {
		t.Helper()
		w := callAPI(t, api, "GET", path, "")
		var shown struct {
			At *time.Time `json:"tokens_revoked_at"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &shown); err != nil || (shown.At != nil) != want {
			t.Errorf("%s: %v, %s", path, err, w.Body)
		}
		if shown.At != nil && time.Since(*shown.At) > time.Minute {
			t.Errorf("%s: tokens_revoked_at is %s", path, shown.At)
		}
	}
	has(own, false)
	has("/deployments/dep1", false)
	for _, test := range []struct {
		path, body string
		status     int
		part       string
	}{
		{own + "/revoke_tokens", `{"all":true}`, 400, `unknown field \"all\"`},
		{own + "/revoke_tokens", `[]`, 400, "not a JSON object"},
		{own + "/revoke_tokens", `{"a":"` + strings.Repeat("a", maxBody) + `"}`, 413, "65536"},
		{"/deployments/dep2/keys/" + key.ID + "/revoke_tokens", ``, 404, "does not exist"},
		{"/deployments/dep1/keys/none/revoke_tokens", ``, 404, "does not exist"},
		{"/deployments/none/revoke_tokens", ``, 404, "does not exist"},
		{"/deployments/dep1/revoke_tokens", `{"key":"x"}`, 400, "unknown field"},
		{"/tokens/revoke_all", `{"deployment":"dep1"}`, 400, "unknown field"},
		{"/tokens/revoke_all", `null`, 400, "not a JSON object"},
	} {
		if w := callAPI(t, api, "POST", test.path, test.body); w.Code != test.status || !strings.Contains(w.Body.String(), test.part) {
			t.Errorf("%s %.40s: %d %s, want %d", test.path, test.body, w.Code, w.Body, test.status)
		}
	}
	has(own, false)
	has("/deployments/dep1", false)
	for _, path := range []string{own + "/revoke_tokens", "/deployments/dep1/revoke_tokens", "/tokens/revoke_all"} {
		for _, body := range []string{``, `{}`} {
			if w := callAPI(t, api, "POST", path, body); w.Code != 204 || w.Body.Len() != 0 {
				t.Errorf("%s %s: %d %q", path, body, w.Code, w.Body)
			}
		}
	}
	has(own, true)
	has("/deployments/dep1", true)
	has("/deployments/dep2", false)
	// A body needs its type; no body does not, whichever is named.
	for body, want := range map[string]int{"": 204, "{}": 415} {
		r := httptest.NewRequest("POST", "/tokens/revoke_all", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		if api.ServeHTTP(w, r); w.Code != want {
			t.Errorf("a form with the body %q: %d, want %d", body, w.Code, want)
		}
	}
}

func TestListSigningKeys(t *testing.T) {
	t.Parallel()
	var keys *keystore.Keystore
	api := newAPI(t, func(a *API) { keys, _ = a.Keystore() })
	if w := callAPI(t, api, "GET", "/signing_keys", ""); strings.TrimSpace(w.Body.String()) != `{"keys":[]}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	made := 0
	policy := keystore.SigningPolicy{
		Algorithm: "ES256", TokenLifetime: time.Hour,
		Generate: func(algorithm string) (keystore.SigningKey, error) {
			made++
			return keystore.SigningKey{ID: fmt.Sprint("kid-", made), Algorithm: algorithm, Private: keystore.PrivateKey("private part")}, nil
		},
	}
	if _, err := keys.RotateSigningKey(t.Context(), keystore.Caller{Name: "test"}, policy); err != nil {
		t.Fatal(err)
	}
	w := callAPI(t, api, "GET", "/signing_keys", "")
	var list struct{ Keys []SigningKey }
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != 200 || len(list.Keys) != 2 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	first, second := list.Keys[0], list.Keys[1]
	if first.KeyID != "kid-1" || first.State != "signing" || first.SignsFrom.IsZero() ||
		second.KeyID != "kid-2" || second.State != "announced" || second.SignsFrom.Sub(second.CreatedAt) != keystore.SigningKeyNotice {
		t.Errorf("%s", w.Body)
	}
	for _, part := range []string{"private", "retired_at", "removed_from"} {
		if strings.Contains(w.Body.String(), part) {
			t.Errorf("%s is in %s", part, w.Body)
		}
	}
}

func TestTokenRoutesAreOptional(t *testing.T) {
	t.Parallel()
	api := newAPI(t, func(*API) {})
	for path := range tokenRoutes {
		if w := callAPI(t, api, "POST", path, `{}`); w.Code != 404 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	api = newAPI(t, func(a *API) {
		a.Tokens = func() (TokenService, error) { return nil, errors.Join(keystore.ErrUnavailable) }
	})
	for path := range tokenRoutes {
		if w := callAPI(t, api, "POST", path, `{}`); w.Code != 503 && w.Code != 400 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// A log line that says "changed" is of a change.
func TestQuestionsAreNoChanges(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.InfoLevel)
	api := newAPI(t, func(a *API) {
		a.Logger = zap.New(core)
		withTokens(new(fakeTokens))(a)
	})
	for _, path := range []string{"/tokens/introspect", "/tokens/explain", "/tokens/revoke"} {
		callAPI(t, api, "POST", path, `{"token":"good"}`)
	}
	lines := logs.All()
	if len(lines) != 1 || lines[0].ContextMap()["path"] != "/tokens/revoke" {
		t.Errorf("logged: %v", lines)
	}
	for _, line := range lines {
		if strings.Contains(fmt.Sprint(line.Message, line.ContextMap()), "good") {
			t.Errorf("the token is in the log: %v", line)
		}
	}
}
