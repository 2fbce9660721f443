package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/token"
)

// newAuth makes a handler for /<deployment>/..., as Provision would.
func newAuth(app *testApp, configure func(*Auth)) *Auth {
	h := &Auth{app: app.App, Deployment: "{http.request.uri.path.0}", Scopes: []ScopeRule{
		{"airflow:read", []string{"GET", "HEAD"}},
		{"airflow:write", []string{"POST", "DELETE"}},
	}}
	if configure != nil {
		configure(h)
	}
	if err := h.prepare(); err != nil {
		panic(err)
	}
	return h
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func basicAuth(user, password string) http.Header {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header
}

// The table of the bearer check: RFC 6750 section 3.
func TestAuth(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	ctx := context.Background()
	all, narrow := app.token(t, app.key), app.token(t, app.narrow)

	deletedKey, _ := app.newKey(t, "dep1", 0)
	ofDeletedKey := app.token(t, deletedKey)
	if err := app.keys.DeleteKey(ctx, keystore.Caller{}, "dep1", deletedKey.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := app.keys.CreateDeployment(ctx, keystore.Caller{}, keystore.Deployment{ID: "gone", Name: "gone"}); err != nil {
		t.Fatal(err)
	}
	orphan, _ := app.newKey(t, "gone", 0)
	ofDeletedDeployment := app.token(t, orphan)
	if err := app.keys.DeleteDeployment(ctx, keystore.Caller{}, "gone"); err != nil {
		t.Fatal(err)
	}
	narrowed, _ := app.newKey(t, "dep1", 0)
	ofNarrowed := app.token(t, narrowed)
	if _, err := app.keys.UpdateKey(ctx, keystore.Caller{}, "dep1", narrowed.ID, func(k *keystore.Key) error {
		k.Scopes = keystore.ScopeDeploy
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	forged := narrow[:len(narrow)-10] + "AAAAAAAAAA"
	moved := deletedKey
	moved.ID, moved.DeploymentID = app.key.ID, "dep2" // a token that says dep2, of a key of dep1
	withBasic := func(h *Auth) { h.Basic = true }

	tests := map[string]struct {
		method, path string
		header       http.Header
		configure    func(*Auth)
		status       int // 0 passes
		code         access.Code
		reason       string
		challenge    string // the beginning of WWW-Authenticate; "" is Bearer with the code
	}{
		"a token with the scope":             {header: bearer(all)},
		"a narrow token with the scope":      {header: bearer(narrow)},
		"write":                              {method: "POST", header: bearer(all)},
		"no credentials":                     {status: 401, code: access.CodeNone, reason: "no credentials", challenge: `Bearer realm="deployment_keys"`},
		"another scheme":                     {header: http.Header{"Authorization": {"Digest x"}}, status: 401, code: access.CodeNone, reason: "Digest", challenge: `Bearer realm="deployment_keys"`},
		"Basic is not for every route":       {header: basicAuth(app.key.ID, app.secret), status: 401, code: access.CodeNone, reason: "Basic", challenge: `Bearer realm="deployment_keys"`},
		"malformed header":                   {header: http.Header{"Authorization": {all}}, status: 400, code: access.CodeInvalidRequest, reason: "no scheme"},
		"two tokens in one header":           {header: bearer(all + ", Bearer " + all), status: 400, code: access.CodeInvalidRequest, reason: "malformed"},
		"the scheme alone":                   {header: http.Header{"Authorization": {"Bearer"}}, status: 400, code: access.CodeInvalidRequest, reason: "malformed"},
		"two Authorization headers":          {header: http.Header{"Authorization": {"Bearer " + all, "Bearer " + all}}, status: 400, code: access.CodeInvalidRequest, reason: "more than one"},
		"path with two readings":             {path: "/dep1/..;/dep2/api", header: bearer(all), status: 400, code: access.CodeInvalidRequest, reason: "dot segment"},
		"not a token":                        {header: bearer("abc"), status: 401, code: access.CodeInvalidToken, reason: "not a valid access token"},
		"a wrong signature is not explained": {header: bearer(forged), status: 401, code: access.CodeInvalidToken, reason: "not a valid access token"},
		"key deleted":                        {header: bearer(ofDeletedKey), status: 401, code: access.CodeInvalidToken, reason: "key of this access token was deleted"},
		"Deployment deleted":                 {path: "/gone/api", header: bearer(ofDeletedDeployment), status: 401, code: access.CodeInvalidToken, reason: "the Deployment of this access token was deleted"},
		"a token that names another Deployment than its key": {path: "/dep2/api", header: bearer(app.token(t, moved)), status: 401, code: access.CodeInvalidToken, reason: "not of the same Deployment"},
		"another Deployment":                                        {path: "/dep2/api", header: bearer(all), status: 403, code: access.CodeInsufficientScope, reason: "is of Deployment dep1, and the request is for dep2"},
		"a Deployment that does not exist":                          {path: "/dep3/api", header: bearer(all), status: 403, code: access.CodeInsufficientScope, reason: "is of Deployment dep1"},
		"a Deployment with the same beginning, GHSA-gx7w-56w6-g48x": {path: "/dep10/api", header: bearer(all), status: 403, code: access.CodeInsufficientScope, reason: "is of Deployment dep1"},
		"a Deployment in other case":                                {path: "/DEP1/api", header: bearer(all), status: 403, code: access.CodeInsufficientScope, reason: "is of Deployment dep1, and the request is for another"},
		"a Deployment with a parameter":                             {path: "/dep1;x/api", header: bearer(all), status: 403, code: access.CodeInsufficientScope, reason: "is of Deployment dep1"},
		"no Deployment":                                             {path: "/", header: bearer(all), status: 403, code: access.CodeInsufficientScope, reason: "is of Deployment dep1"},
		"without the scope":                                         {method: "POST", header: bearer(narrow), status: 403, code: access.CodeInsufficientScope, reason: "needs the scope airflow:write"},
		"a scope that the key no longer has":                        {header: bearer(ofNarrowed), status: 403, code: access.CodeInsufficientScope, reason: "the credential has "},
		"a method that no rule is for":                              {method: "TRACE", header: bearer(all), status: 403, code: access.CodeInsufficientScope, reason: "no scope allows the method TRACE"},
		"a method in other case":                                    {method: "get", header: bearer(all), status: 403, code: access.CodeInsufficientScope, reason: "no scope allows the method get"},
		"any_deployment":                                            {path: "/hub/v1", header: bearer(all), configure: func(h *Auth) { h.Deployment, h.AnyDeployment = "", true }},

		"Basic with key ID and secret":    {header: basicAuth(app.key.ID, app.secret), configure: withBasic},
		"Basic with an access token":      {header: basicAuth("cli", all), configure: withBasic},
		"Basic route, bearer":             {header: bearer(all), configure: withBasic},
		"Basic route, another Deployment": {path: "/dep2/api", header: basicAuth(app.key.ID, app.secret), configure: withBasic, status: 403, code: access.CodeInsufficientScope, reason: "dep1", challenge: "Basic realm="},
		"Basic route, wrong secret":       {header: basicAuth(app.key.ID, app.narrowSecret), configure: withBasic, status: 401, code: access.CodeInvalidToken, reason: "not right", challenge: "Basic realm="},
		"Basic route, unknown key":        {header: basicAuth(strings.Repeat("0", 24), app.secret), configure: withBasic, status: 401, code: access.CodeInvalidToken, reason: "not right", challenge: "Basic realm="},
		"Basic route, bad token":          {header: basicAuth("cli", "x"), configure: withBasic, status: 401, code: access.CodeInvalidToken, reason: "not a valid", challenge: "Basic realm="},
		"Basic route, no credentials":     {configure: withBasic, status: 401, code: access.CodeNone, reason: "no credentials", challenge: "Basic realm="},
		"Basic route, bad bearer":         {header: bearer("x"), configure: withBasic, status: 401, code: access.CodeInvalidToken, reason: "not a valid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.method == "" {
				test.method = "GET"
			}
			if test.path == "" {
				test.path = "/dep1/api/v2/dags"
			}
			r := httptest.NewRequest(test.method, test.path, nil)
			for name, value := range test.header {
				r.Header[name] = value
			}
			w := serve(t, newAuth(app, test.configure), r)
			if test.status == 0 {
				if w.Code != 200 || w.Body.String() != "passed" {
					t.Errorf("%d %s, want it passed on", w.Code, w.Body)
				}
				return
			}
			expectError(t, w, test.status, test.code, test.reason)
			challenge := w.Header().Get("WWW-Authenticate")
			switch {
			case test.challenge == "":
				if want := `Bearer realm="deployment_keys", error="` + string(test.code) + `", error_description="`; !strings.HasPrefix(challenge, want) {
					t.Errorf("WWW-Authenticate %q, want %q…", challenge, want)
				}
			case test.code == access.CodeNone && strings.HasPrefix(test.challenge, "Bearer") && challenge != test.challenge,
				!strings.HasPrefix(challenge, test.challenge):
				t.Errorf("WWW-Authenticate %q, want %q", challenge, test.challenge)
			}
			if test.reason == "needs the scope airflow:write" && !strings.Contains(challenge, `, scope="airflow:write"`) {
				t.Errorf("WWW-Authenticate %q does not say the scope", challenge)
			}
		})
	}
}

// The same token, at routes of different Deployments and scopes, in any order: what is remembered
// of a token is not what was decided (Oathkeeper CVE-2026-33496, CVE-2021-32701).
func TestRememberedTokenIsDecidedAnew(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	raw := app.token(t, app.narrow)
	h := newAuth(app, nil)
	for range 3 {
		for path, want := range map[string]int{"/dep1/api": 200, "/dep2/api": 403} {
			for method, wantMethod := range map[string]int{"GET": 200, "POST": 403} {
				r := httptest.NewRequest(method, path, nil)
				r.Header = bearer(raw)
				if w := serve(t, h, r); w.Code != max(want, wantMethod) {
					t.Errorf("%s %s: %d, want %d", method, path, w.Code, max(want, wantMethod))
				}
			}
		}
	}
	if err := app.keys.DeleteKey(t.Context(), keystore.Caller{}, "dep1", app.narrow.ID); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/dep1/api", nil)
	r.Header = bearer(raw)
	expectError(t, serve(t, h, r), 401, access.CodeInvalidToken, "deleted")
}

// Whoever can write the store can keep the record of a key from ending with its Deployment. It is of no
// use without one, by whatever way it comes.
func TestSecretOfAKeyWithoutItsDeployment(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]keystore.Step{
		"gone":    {Kind: keystore.DeleteRecord, Name: "deployment/dep1"},
		"altered": {Kind: keystore.PutRecord, Name: "deployment/dep1", Value: make([]byte, 64)},
	} {
		store, err := boltstore.Open(filepath.Join(t.TempDir(), "keys.db"), boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		app := newTestAppOn(t, node.New(store, make([]byte, 32), nil))
		if err := store.Apply(t.Context(), keystore.Change{Steps: []keystore.Step{step}}); err != nil {
			t.Fatal(err)
		}
		h := newAuth(app, func(h *Auth) { h.Basic = true })
		r := httptest.NewRequest(http.MethodGet, "/dep1/api", nil)
		r.SetBasicAuth(app.key.ID, app.secret)
		if w := serve(t, h, r); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: Basic is answered %d", name, w.Code)
		}
		for _, path := range []string{pathToken, pathIntrospect, pathRevoke} {
			form := url.Values{"grant_type": {"client_credentials"}, "token": {"x"}}
			if w := app.clientCall(t, path, app.key.ID, app.secret, "192.0.2.1", form); w.Code != http.StatusUnauthorized {
				t.Errorf("%s: %s is answered %d", name, path, w.Code)
			}
		}
	}
}

func TestExpiredTokenSaysSinceWhen(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	now := time.Now()
	ring, err := app.authority.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ring.Sign(token.Claims{
		Issuer: app.issuer, Subject: app.key.ID, Audience: DefaultAudience, ID: token.NewID(), ClientID: app.key.ID,
		DeploymentID: "dep1", IssuedAt: now.Add(-time.Hour), ExpiresAt: now.Add(-time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/dep1/api", nil)
	r.Header = bearer(raw)
	expectError(t, serve(t, newAuth(app, nil), r), 401, access.CodeInvalidToken, "expired at "+now.Add(-time.Minute).UTC().Format(time.RFC3339))
}

// A token of a signing key that this node has not heard of, while it cannot ask: nothing is known.
func TestUnknownSigningKeyInAnOutageIs503(t *testing.T) {
	t.Parallel()
	app, other := newTestApp(t, nil), newTestApp(t, nil) // two stores, two signing keys
	r := httptest.NewRequest("GET", "/dep1/api", nil)
	r.Header = bearer(other.token(t, other.key))
	h := newAuth(app, nil)
	expectError(t, serve(t, h, r), 401, access.CodeInvalidToken, "not a valid access token")

	app.node.Close(true) // closes the store; for a second after the last reading, the keys are not read again
	eventually(t, func() bool { return serve(t, h, r).Code == 503 })
	for range 3 {
		expectError(t, serve(t, h, r), 503, access.CodeUnavailable, "try again")
	}
}

// What a rewrite has made harmless is looked at as the client sent it; and later handlers know who it was.
func TestAuthTakesFromCaddyWhatItKnows(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	r := withReplacer(httptest.NewRequest("GET", "/dep1/..;/dep2/api", nil))
	r.URL.Path = "/dep1/api"
	r.Header = bearer(app.token(t, app.key))
	w := httptest.NewRecorder()
	if err := newAuth(app, nil).ServeHTTP(w, r, passOn); err != nil || w.Code != 400 {
		t.Errorf("rewritten: %v, status %d", err, w.Code)
	}
	r = withReplacer(httptest.NewRequest("GET", "/dep1/api", nil))
	r.Header = bearer(app.token(t, app.narrow))
	if err := newAuth(app, nil).ServeHTTP(httptest.NewRecorder(), r, passOn); err != nil {
		t.Fatal(err)
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for name, want := range map[string]string{"id": app.narrow.ID, "deployment": "dep1", "scopes": "airflow:read"} {
		if got, _ := repl.GetString("http.auth.user." + name); got != want {
			t.Errorf("{http.auth.user.%s} is %q, want %q", name, got, want)
		}
	}
}

// notStarted is an app like another one, before its Start.
func notStarted(t *testing.T, started *testApp) *testApp {
	t.Helper()
	app := &App{
		Audiences: started.Audiences, issuer: started.issuer, maxStaleness: started.maxStaleness, logger: started.logger, faults: started.faults,
		node: node.NewHandle(),
	}
	if err := app.newAuthority(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.authority.Close)
	return &testApp{App: app}
}

// At a reload, Caddy may start the sites of a configuration before the app that they need.
func TestRequestsWaitForTheAppToStart(t *testing.T) {
	t.Parallel()
	started := newTestApp(t, nil)
	raw := started.token(t, started.key)
	late := notStarted(t, started)
	r := httptest.NewRequest("GET", "/dep1/api", nil)
	r.Header = bearer(raw)
	answered := make(chan *httptest.ResponseRecorder)
	go func() { answered <- serve(t, newAuth(late, nil), r) }()
	select {
	case w := <-answered:
		t.Fatalf("answered %d before the app has started", w.Code)
	case <-time.After(20 * time.Millisecond):
	}
	if _, err := late.node.Open(t.Context(), started.place, nil); err != nil {
		t.Fatal(err)
	}
	defer late.node.Close(true)
	if w := <-answered; w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAppThatHasNotStartedAnswers503(t *testing.T) {
	t.Parallel()
	started := newTestApp(t, nil)
	raw := started.token(t, started.key)
	app := notStarted(t, started)
	r := httptest.NewRequest("GET", "/dep1/api", nil)
	r.Header = bearer(raw)
	w := serve(t, newAuth(app, nil), r)
	expectError(t, w, 503, access.CodeUnavailable, "try again")
	if w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("Retry-After %q, WWW-Authenticate %q", w.Header().Get("Retry-After"), w.Header().Get("WWW-Authenticate"))
	}
}
