package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// post sends a form to the authorization server, as a key.
func (a *testApp) post(t testing.TB, path string, key keystore.Key, secret string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	r.SetBasicAuth(key.ID, secret)
	return serve(t, &TokenHandler{app: a.App}, r)
}

// get sends a request with a token to the check.
func (a *testApp) get(t testing.TB, path, raw string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header = bearer(raw)
	return serve(t, newAuth(a, nil), r)
}

func TestRevokeEndsOneToken(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	raw, sibling := app.token(t, app.key), app.token(t, app.key)
	if w := app.get(t, "/dep1/api", raw); w.Code != 200 {
		t.Fatal(w.Body)
	}
	for range 2 { // the second time there is nothing left to do, and that is 200 too
		if w := app.post(t, pathRevoke, app.key, app.secret, url.Values{"token": {raw}}); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	expectError(t, app.get(t, "/dep1/api", raw), 401, access.CodeInvalidToken, "it was revoked")
	if w := app.get(t, "/dep1/api", sibling); w.Code != 200 {
		t.Errorf("another token of the key: %d %s", w.Code, w.Body)
	}
	if w := app.get(t, "/dep1/api", app.token(t, app.key)); w.Code != 200 {
		t.Errorf("a new token of the key: %d %s", w.Code, w.Body)
	}
}

// What is revoked is the token, whatever its text: the second form of an ES256 signature verifies by the public key too.
func TestRevokedTokenWithTheOtherSignature(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	raw := app.token(t, app.key)
	twin := otherSignature(t, raw)
	for _, form := range []string{raw, twin} {
		if w := app.get(t, "/dep1/api", form); w.Code != 200 {
			t.Fatal(w.Body)
		}
	}
	app.post(t, pathRevoke, app.key, app.secret, url.Values{"token": {raw}})
	for _, form := range []string{raw, twin} {
		expectError(t, app.get(t, "/dep1/api", form), 401, access.CodeInvalidToken, "it was revoked")
	}
}

// RFC 7009 section 2.1. hydra#3452: revoking another client's token was answered 200, and it lived.
func TestRevokeOfAnotherKeysTokenIsAnErrorAndItLives(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	raw := app.token(t, app.key)
	expectError(t, app.post(t, pathRevoke, app.narrow, app.narrowSecret, url.Values{"token": {raw}}), 400, access.CodeUnauthorizedClient, "another client")
	if w := app.get(t, "/dep1/api", raw); w.Code != 200 {
		t.Errorf("the token: %d %s", w.Code, w.Body)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	users, err := app.authority.IssueForUser(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	values := strings.NewReplacer("@SECRET@", app.secret, "@ID@", app.key.ID) // nothing that a token can have in it
	const form = "client_id=@ID@&client_secret=@SECRET@"
	for name, test := range map[string]struct {
		body, contentType string
		query             string
		authorization     []string
		status            int
		code              access.Code
		reason            string
	}{
		"RFC 7009 section 2.2, unknown token":           {body: form + "&token=unknown", status: 200},
		"RFC 7009 section 2.2, malformed token":         {body: form + "&token=a.b.c", status: 200},
		"RFC 7009 section 2.1, hint of no use":          {body: form + "&token=unknown&token_type_hint=refresh_token", status: 200},
		"RFC 7009 section 2.1, unknown hint":            {body: form + "&token=unknown&token_type_hint=x", status: 200},
		"JSON":                                          {contentType: jsonType, body: `{"client_id":"@ID@","client_secret":"@SECRET@","token":"unknown"}`, status: 200},
		"RFC 7009 section 2.1, no token":                {body: form, status: 400, code: access.CodeInvalidRequest, reason: "token is missing"},
		"RFC 6749 section 3.2, empty token":             {body: form + "&token=", status: 400, code: access.CodeInvalidRequest, reason: "token is missing"},
		"RFC 6749 section 3.2, token repeated":          {body: form + "&token=a&token=b", status: 400, code: access.CodeInvalidRequest, reason: "more than once"},
		"RFC 6749 section 3.2, hint repeated":           {body: form + "&token=a&token_type_hint=b&token_type_hint=c", status: 400, code: access.CodeInvalidRequest, reason: "more than once"},
		"token of a wrong type":                         {contentType: jsonType, body: `{"client_id":"@ID@","client_secret":"@SECRET@","token":["x"]}`, status: 400, code: access.CodeInvalidRequest, reason: "must be a string"},
		"token that is not UTF-8":                       {body: form + "&token=%ff", status: 400, code: access.CodeInvalidRequest, reason: "UTF-8"},
		"token of 16 KiB":                               {body: form + "&token=" + strings.Repeat("x", 16<<10), status: 400, code: access.CodeInvalidRequest, reason: "larger than"},
		"token in the URL":                              {query: "?token=x", body: form, status: 400, code: access.CodeInvalidRequest, reason: "not in the URL"},
		"RFC 7009 section 2.1, no credentials":          {body: "token=x", status: 401, code: access.CodeInvalidClient, reason: "missing"},
		"RFC 7009 section 2.1, wrong secret":            {body: "token=x&client_id=@ID@&client_secret=" + keystore.NewSecret().Reveal(), status: 401, code: access.CodeInvalidClient, reason: "not right"},
		"RFC 7009 section 2.1, a token instead":         {authorization: []string{"Bearer x"}, body: "token=x", status: 401, code: access.CodeInvalidClient, reason: "must be HTTP Basic"},
		"two Authorization headers":                     {authorization: []string{"Basic eDp5", "Basic eDp5"}, body: "token=x", status: 400, code: access.CodeInvalidRequest, reason: "more than one"},
		"a key revokes a user's token":                  {body: form + "&token=" + users, status: 400, code: access.CodeUnauthorizedClient, reason: "another client"},
		"a stranger revokes a key's token":              {body: "client_id=" + access.UserClient + "&token=" + app.token(t, app.key), status: 400, code: access.CodeUnauthorizedClient, reason: "another client"},
		"the client of users has no secret":             {body: "client_id=" + access.UserClient + "&client_secret=x&token=" + users, status: 401, code: access.CodeInvalidClient, reason: "not right"},
		"an empty secret is none, RFC 6749 section 3.2": {body: "client_id=" + access.UserClient + "&client_secret=&token=unknown", status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.contentType == "" {
				test.contentType = formType
			}
			r := httptest.NewRequest("POST", pathRevoke+test.query, strings.NewReader(values.Replace(test.body)))
			r.Header = http.Header{"Content-Type": {test.contentType}}
			if test.authorization != nil {
				r.Header["Authorization"] = test.authorization
			}
			w := serve(t, &TokenHandler{app: app.App}, r)
			if test.status != 200 {
				expectError(t, w, test.status, test.code, test.reason)
			} else if w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control %q", w.Header().Get("Cache-Control"))
			}
		})
	}
}

func TestRevokeByTheUserWhoHoldsTheToken(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	if _, err := app.keys.PutMember(t.Context(), keystore.Caller{}, "dep1", "alice", keystore.RoleViewer); err != nil {
		t.Fatal(err)
	}
	raw, err := app.authority.IssueForUser(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if w := app.get(t, "/dep1/api", raw); w.Code != 200 {
		t.Fatal(w.Body)
	}
	r := httptest.NewRequest("POST", pathRevoke, strings.NewReader(url.Values{"client_id": {access.UserClient}, "token": {raw}}.Encode()))
	r.Header.Set("Content-Type", formType)
	if w := serve(t, &TokenHandler{app: app.App}, r); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	expectError(t, app.get(t, "/dep1/api", raw), 401, access.CodeInvalidToken, "it was revoked")
}

// The effective cutoff is the latest (Keycloak CVE-2026-8922 combined several wrongly): whichever of
// them came last, tokens of before are dead and tokens of after live, also in the same second.
func TestCutoffs(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	ctx, by := t.Context(), keystore.Caller{Name: "test"}
	cutoffs := map[string]func() error{
		"of its key":        func() error { return app.keys.RevokeKeyTokens(ctx, by, "dep1", app.key.ID) },
		"of the Deployment": func() error { return app.keys.RevokeDeploymentTokens(ctx, by, "dep1") },
		"all access tokens": func() error { return app.keys.RevokeAllTokens(ctx, by) },
	}
	var order []string
	for range 3 {
		for name := range cutoffs { // in any order
			order = append(order, name)
		}
	}
	current := func() string {
		key, err := app.keys.Key(ctx, app.key.ID)
		if err != nil {
			t.Fatal(err)
		}
		return app.token(t, key)
	}
	for i, name := range order {
		before := current()
		if w := app.get(t, "/dep1/api", before); w.Code != 200 {
			t.Fatalf("%d: %s", i, w.Body)
		}
		if err := cutoffs[name](); err != nil {
			t.Fatal(err)
		}
		expectError(t, app.get(t, "/dep1/api", before), 401, access.CodeInvalidToken, name)
		if w := app.get(t, "/dep1/api", current()); w.Code != 200 {
			t.Errorf("after %v, a new token: %s", order[:i+1], w.Body)
		}
	}
	other, _ := app.newKey(t, "dep2", 0)
	raw := app.token(t, other)
	for name, wantLive := range map[string]bool{"of its key": true, "of the Deployment": true} {
		if err := cutoffs[name](); err != nil {
			t.Fatal(err)
		}
		if live := app.get(t, "/dep2/api", raw).Code == 200; live != wantLive {
			t.Errorf("%s: a token of another Deployment lives: %v", name, live)
		}
	}
}

// A token that is of no use on this gateway may be on another one, or be later.
func TestRevokeOfATokenForLater(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	ring, err := app.authority.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*token.Claims){
		"of a clock that is ahead": func(c *token.Claims) { c.IssuedAt = time.Now().Add(10 * time.Minute) },
		"for another audience":     func(c *token.Claims) { c.Audience = "https://else.example.com" },
	} {
		claims := token.Claims{
			Issuer: app.issuer, Subject: app.key.ID, Audience: DefaultAudience, ID: token.NewID(), ClientID: app.key.ID,
			DeploymentID: "dep1", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		}
		edit(&claims)
		raw, err := ring.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		if w := app.post(t, pathRevoke, app.key, app.secret, url.Values{"token": {raw}}); w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if revoked, err := app.keys.TokenRevoked(t.Context(), claims.ID); err != nil || !revoked {
			t.Errorf("%s: answered 200, and revoked: %v, %v", name, revoked, err)
		}
	}
}

// RFC 6749 section 5.1, whatever the site's own headers are.
func TestTokensAreNeverCacheable(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	w := httptest.NewRecorder()
	w.Header().Set("Cache-Control", "public, max-age=3600")
	err := (&TokenHandler{app: app.App}).ServeHTTP(w, withReplacer(tokenRequestBody(app.key.ID, app.secret)), unhandled)
	if err != nil || w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v %d, Cache-Control %q", err, w.Code, w.Header().Get("Cache-Control"))
	}
}
