package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

// signIn is what a directive that signs users in does, in its place in the chain.
func signIn(user string, then caddyhttp.Handler) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Set("http.auth.user.id", user)
		return then.ServeHTTP(w, r)
	})
}

// unhandled is the end of a chain that has nothing for the request.
var unhandled = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

// askToken sends POST /token to the handler, with a chain after it.
func askToken(t testing.TB, app *testApp, r *http.Request, next caddyhttp.Handler) (*httptest.ResponseRecorder, error) {
	t.Helper()
	w := httptest.NewRecorder()
	return w, (&TokenHandler{app: app.App}).ServeHTTP(w, withReplacer(r), next)
}

func (a *testApp) userToken(t testing.TB, user string) string {
	t.Helper()
	w, err := askToken(t, a, httptest.NewRequest("POST", pathUserToken, nil), signIn(user, unhandled))
	var answer tokenAnswer
	if err != nil || w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &answer) != nil {
		t.Fatalf("%v %d %s", err, w.Code, w.Body)
	}
	return answer.AccessToken
}

func TestUserToken(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, func(app *App) { app.userTokenLifetime = time.Hour })
	w, err := askToken(t, app, httptest.NewRequest("POST", pathUserToken, nil), signIn("alice", unhandled))
	if err != nil || w.Code != 200 {
		t.Fatalf("%v %d %s", err, w.Code, w.Body)
	}
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if answer["token_type"] != "Bearer" || answer["expires_in"] != 3600.0 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v, Cache-Control %q", answer, w.Header().Get("Cache-Control"))
	}
	claims, refused := app.authority.Verify(t.Context(), answer["access_token"].(string))
	if refused != nil {
		t.Fatal(refused)
	}
	if claims.Subject != "alice" || claims.ClientID != access.UserClient || claims.DeploymentID != "" || claims.Scope != "" ||
		claims.ExpiresAt.Sub(claims.IssuedAt) != time.Hour {
		t.Errorf("claims %+v", claims)
	}
}

// The site may sign users in before deployment_token as well, in a route.
func TestUserTokenOfOneWhoIsSignedInAlready(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	r := withReplacer(httptest.NewRequest("POST", pathUserToken, nil))
	w := httptest.NewRecorder()
	h := &TokenHandler{app: app.App}
	err := signIn("alice", caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		return h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			t.Error("the request was passed on")
			return nil
		}))
	})).ServeHTTP(w, r)
	if err != nil || w.Code != 200 || !strings.Contains(w.Body.String(), "access_token") {
		t.Errorf("%v %d %s", err, w.Code, w.Body)
	}
}

// What those directives answer, or whatever else is at this path, is the answer.
func TestUserTokenLeavesTheAnswerToOthers(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	for name, next := range map[string]caddyhttp.HandlerFunc{
		"writes": func(w http.ResponseWriter, _ *http.Request) error { _, err := io.WriteString(w, "theirs"); return err },
		"status": func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(204); return nil },
		"copies": func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.Copy(w, strings.NewReader("theirs"))
			return err
		},
		"flushes": func(w http.ResponseWriter, _ *http.Request) error { return http.NewResponseController(w).Flush() },
	} {
		w, err := askToken(t, app, httptest.NewRequest("POST", pathUserToken, nil), signIn("alice", next))
		if err != nil || strings.Contains(w.Body.String(), "access_token") {
			t.Errorf("%s: %v %s", name, err, w.Body)
		}
	}
	refuse := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(401, nil) })
	if _, err := askToken(t, app, httptest.NewRequest("POST", pathUserToken, nil), refuse); err == nil {
		t.Error("the error of a directive that refused the user is lost")
	}
}

func TestUserTokenRefusals(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	for name, test := range map[string]struct {
		user   string
		header http.Header
		status int // 0 is a token
		code   access.Code
		reason string
	}{
		"curl":                           {user: "alice"},
		"same origin":                    {user: "alice", header: http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://auth.example.com"}}},
		"same origin, an old browser":    {user: "alice", header: http.Header{"Origin": {"https://auth.example.com"}}},
		"cross site":                     {user: "alice", header: http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example.net"}}, status: 403, code: access.CodeAccessDenied, reason: "another site"},
		"same site, another host":        {user: "alice", header: http.Header{"Sec-Fetch-Site": {"same-site"}}, status: 403, code: access.CodeAccessDenied, reason: "another site"},
		"another origin, an old browser": {user: "alice", header: http.Header{"Origin": {"https://evil.example.net"}}, status: 403, code: access.CodeAccessDenied, reason: "another site"},
		"origin null":                    {user: "alice", header: http.Header{"Origin": {"null"}}, status: 403, code: access.CodeAccessDenied, reason: "another site"},
		"origin with another port":       {user: "alice", header: http.Header{"Origin": {"https://auth.example.com:8443"}}, status: 403, code: access.CodeAccessDenied, reason: "another site"},
		"nobody":                         {status: 401, code: access.CodeNone, reason: "nobody is signed in"},

		"a user like a key, RFC 9068 section 5":    {user: app.key.ID, status: 403, code: access.CodeAccessDenied, reason: "keys and clients"},
		"a user like a client, RFC 9068 section 5": {user: access.UserClient, status: 403, code: access.CodeAccessDenied, reason: "keys and clients"},
		"a user with a space before":               {user: " alice", status: 403, code: access.CodeAccessDenied, reason: "space"},
		"a user with a line break":                 {user: "alice\nX-Deployment-Id: x", status: 403, code: access.CodeAccessDenied, reason: "control characters"},
		"a user that is not UTF-8":                 {user: "alice\xff", status: 403, code: access.CodeAccessDenied, reason: "not acceptable"},
		"a long user":                              {user: strings.Repeat("a", 300), status: 403, code: access.CodeAccessDenied, reason: "not acceptable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", "https://auth.example.com"+pathUserToken, nil)
			for name, values := range test.header {
				r.Header[name] = values
			}
			next := caddyhttp.Handler(unhandled)
			if test.user != "" {
				next = signIn(test.user, unhandled)
			}
			w, err := askToken(t, app, r, next)
			if err != nil {
				t.Fatal(err)
			}
			if test.status != 0 {
				expectError(t, w, test.status, test.code, test.reason)
			} else if w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// With a token, another could be had each day, for ever.
func TestUserTokenIsNotHadForAToken(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	if _, err := app.keys.PutMember(t.Context(), keystore.Caller{}, "dep1", "alice", keystore.RoleAdmin); err != nil {
		t.Fatal(err)
	}
	check := newAuth(app, func(h *Auth) { h.Deployment, h.target = "dep1", newTarget("dep1") })
	for name, raw := range map[string]string{"of the user": app.userToken(t, "alice"), "of a key": app.token(t, app.key)} {
		r := withReplacer(httptest.NewRequest("POST", pathUserToken, nil))
		r.Header = bearer(raw)
		w := httptest.NewRecorder()
		err := check.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			return (&TokenHandler{app: app.App}).ServeHTTP(w, r, unhandled)
		}))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { expectError(t, w, 401, access.CodeNone, "nobody is signed in") })
	}
}

func TestUserActsByTheirRole(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	ctx, by := t.Context(), keystore.Caller{Name: "test"}
	put := func(deployment string, role keystore.Role) {
		t.Helper()
		if _, err := app.keys.PutMember(ctx, by, deployment, "alice", role); err != nil {
			t.Fatal(err)
		}
	}
	put("dep1", keystore.RoleViewer)
	raw := app.userToken(t, "alice")
	request := func(method, path string) (*httptest.ResponseRecorder, http.Header) {
		r := httptest.NewRequest(method, path, nil)
		r.Header = bearer(raw)
		return serve(t, newAuth(app, nil), r), r.Header
	}
	w, header := request("GET", "/dep1/api")
	if w.Code != 200 || header.Get("X-Deployment-User") != "alice" || header.Get("X-Deployment-Id") != "dep1" ||
		header.Get("X-Deployment-Scopes") != "airflow:read" || header["X-Deployment-Key-Id"] != nil {
		t.Errorf("%d, the upstream gets %v", w.Code, header)
	}
	w, _ = request("POST", "/dep1/api")
	expectError(t, w, 403, access.CodeInsufficientScope, "needs the scope airflow:write")
	w, _ = request("GET", "/dep2/api")
	expectError(t, w, 403, access.CodeInsufficientScope, "alice is not a member of Deployment dep2")
	w, _ = request("GET", "/DEP1/api")
	expectError(t, w, 403, access.CodeInsufficientScope, "alice is not a member of this Deployment")
	w, _ = request("GET", "/")
	expectError(t, w, 403, access.CodeInsufficientScope, "a request is of no one Deployment")

	put("dep1", keystore.RoleEditor)
	if w, _ = request("POST", "/dep1/api"); w.Code != 200 {
		t.Errorf("as an editor: %s", w.Body)
	}
	if err := app.keys.DeleteMember(ctx, by, "dep1", "alice"); err != nil {
		t.Fatal(err)
	}
	w, _ = request("GET", "/dep1/api")
	expectError(t, w, 403, access.CodeInsufficientScope, "not a member")

	put("dep1", keystore.RoleAdmin)
	if err := app.keys.RevokeDeploymentTokens(ctx, by, "dep1"); err != nil {
		t.Fatal(err)
	}
	w, _ = request("GET", "/dep1/api")
	expectError(t, w, 401, access.CodeInvalidToken, "of the Deployment were revoked")
	put("dep2", keystore.RoleViewer)
	if w, _ = request("GET", "/dep2/api"); w.Code != 200 {
		t.Errorf("in another Deployment than the one whose tokens were revoked: %s", w.Body)
	}
	if err := app.keys.RevokeAllTokens(ctx, by); err != nil {
		t.Fatal(err)
	}
	w, _ = request("GET", "/dep2/api")
	expectError(t, w, 401, access.CodeInvalidToken, "all access tokens were revoked")
	raw = app.userToken(t, "alice")
	if w, _ = request("GET", "/dep2/api"); w.Code != 200 {
		t.Errorf("with a new token: %s", w.Body)
	}
}

func TestUserTokenIsForNoRouteOfAnyDeployment(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	r := httptest.NewRequest("GET", "/hub/v1", nil)
	r.Header = bearer(app.userToken(t, "alice"))
	expectError(t, serve(t, newAuth(app, func(h *Auth) { h.Deployment, h.AnyDeployment = "", true }), r), 403, access.CodeInsufficientScope, "of no one Deployment")
}
