package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

// edited changes a key of dep1.
func (a *testApp) edited(t *testing.T, key keystore.Key, edit func(*keystore.Key)) keystore.Key {
	t.Helper()
	key, err := a.keys.UpdateKey(t.Context(), keystore.Caller{Name: "test"}, "dep1", key.ID, func(key *keystore.Key) error {
		edit(key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ask sends a key ID and a secret to the token endpoint from an address.
func (a *testApp) ask(t *testing.T, id, secret, from string) *httptest.ResponseRecorder {
	t.Helper()
	return a.clientCall(t, pathToken, id, secret, from, url.Values{"grant_type": {"client_credentials"}})
}

func (a *testApp) clientCall(t *testing.T, path, id, secret, from string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	form.Set("client_id", id)
	form.Set("client_secret", secret)
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	return serveFromIP(t, &TokenHandler{app: a.App}, r, from)
}

// serveFromIP is serve for a client with an address.
func serveFromIP(t *testing.T, h caddyhttp.MiddlewareHandler, r *http.Request, from string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r = withReplacer(r)
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, from)
	if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		_, err := w.Write([]byte("passed"))
		return err
	})); err != nil {
		t.Fatal(err)
	}
	return w
}

// An expired key: its secret, its tokens, and what is told of it to whom.
func TestExpiredKey(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	key, secret := app.newKey(t, "dep1", 0)
	raw := app.token(t, key)
	h := newAuth(app, func(h *Auth) { h.Basic = true })
	use := func(header http.Header) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest("GET", "/dep1/api", nil)
		r.Header = header
		return serve(t, h, r)
	}
	wantAll := func(status int) {
		t.Helper()
		for what, w := range map[string]*httptest.ResponseRecorder{
			"token": app.ask(t, key.ID, secret, ""), "bearer": use(bearer(raw)), "Basic": use(basicAuth(key.ID, secret)),
		} {
			if w.Code != status {
				t.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, status)
			}
		}
		if active := app.introspected(t, app.key, app.secret, raw).Active; active != (status == 200) {
			t.Errorf("its token is active: %t", active)
		}
	}
	wantAll(200)

	gone := app.edited(t, key, func(k *keystore.Key) { k.ExpiresAt = time.Now().Add(-time.Hour) })
	since := gone.ExpiresAt.Format(time.RFC3339)
	wantAll(401)
	expectError(t, app.ask(t, key.ID, secret, ""), 401, access.CodeInvalidClient, "the key expired at "+since)
	expectError(t, use(bearer(raw)), 401, access.CodeInvalidToken, "the key of this access token expired at "+since)
	expectError(t, use(basicAuth(key.ID, secret)), 401, access.CodeInvalidToken, "the key expired at "+since)
	stranger := app.ask(t, key.ID, keystore.NewSecret().Reveal(), "")
	expectError(t, stranger, 401, access.CodeInvalidClient, keystore.ErrCredentials.Error())
	if strings.Contains(stranger.Body.String(), "expired") {
		t.Errorf("a stranger is told that the key expired: %s", stranger.Body)
	}
	explained := app.authority.Explain(t.Context(), raw, "dep1", 0, netip.Addr{})
	if result := explained.Checks[6]; explained.Verdict != "refused" || result.Check != string(access.CheckHolder) || result.Result != "failed" || !strings.Contains(result.Detail, since) {
		t.Errorf("explained %+v", explained)
	}

	app.edited(t, key, func(k *keystore.Key) { k.ExpiresAt = time.Now().Add(time.Hour) })
	wantAll(200)
	app.edited(t, key, func(k *keystore.Key) { k.ExpiresAt = time.Time{} })
	wantAll(200)
}

// exp is the earlier one of the key's and that of the configuration.
func TestTokenDoesNotOutliveItsKey(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	for name, test := range map[string]struct{ key, token time.Duration }{
		"key with less time": {30 * time.Minute, 30 * time.Minute},
		"key with more time": {48 * time.Hour, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, secret := app.newKey(t, "dep1", 0)
			key := app.edited(t, made, func(k *keystore.Key) { k.ExpiresAt = time.Now().Add(test.key) })
			var answer tokenAnswer
			w := app.ask(t, key.ID, secret, "")
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
				t.Fatalf("%d %s: %v", w.Code, w.Body, err)
			}
			verified, refused := app.authority.Verify(t.Context(), answer.AccessToken)
			if refused != nil {
				t.Fatal(refused)
			}
			if verified.ExpiresAt.After(key.ExpiresAt) {
				t.Errorf("the token expires at %s, its key at %s", verified.ExpiresAt, key.ExpiresAt)
			}
			lifetime := verified.ExpiresAt.Sub(verified.IssuedAt)
			if in := time.Duration(answer.ExpiresIn) * time.Second; lifetime-in < 0 || lifetime-in > time.Second {
				t.Errorf("expires_in is %s, exp - iat %s", in, lifetime)
			}
			// The second in which the expiry was cut off, and a slow machine.
			if lifetime > test.token || lifetime < test.token-time.Minute {
				t.Errorf("the token is valid for %s, want %s", lifetime, test.token)
			}
		})
	}
	// A key that expires between its authentication and the signature.
	late := app.key
	late.ExpiresAt = time.Now().Add(-time.Second)
	if _, _, refused := app.authority.Issue(t.Context(), &late, DefaultAudience, late.Scopes); refused == nil || refused.Code != access.CodeInvalidClient {
		t.Errorf("issued: %v", refused)
	}
}

func TestRotatedSecret(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	key, first := app.newKey(t, "dep1", 0)
	raw := app.token(t, key)
	rotate := func(r keystore.KeyRotation) string {
		t.Helper()
		_, secret, err := app.keys.RotateKey(t.Context(), keystore.Caller{Name: "test"}, "dep1", key.ID, r)
		if err != nil {
			t.Fatal(err)
		}
		return secret.Reveal()
	}
	want := func(what, secret string, status int) {
		t.Helper()
		if w := app.ask(t, key.ID, secret, ""); w.Code != status {
			t.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, status)
		}
	}
	second := rotate(keystore.KeyRotation{Overlap: time.Hour})
	want("old, in the overlap", first, 200)
	want("new", second, 200)
	if w := app.get(t, "/dep1/api", raw); w.Code != 200 {
		t.Errorf("a token of before: %d %s", w.Code, w.Body)
	}
	third := rotate(keystore.KeyRotation{RevokeTokens: true})
	want("old", first, 401)
	want("second", second, 401)
	want("third", third, 200)
	expectError(t, app.get(t, "/dep1/api", raw), 401, access.CodeInvalidToken, "all access tokens of its key were revoked")
}

// Where a key may be used from, for each way to use it.
func TestAllowedIPs(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	made, secret := app.newKey(t, "dep1", 0)
	raw := app.token(t, made)
	list, err := keystore.ParseAllowedIPs([]string{"192.0.2.0/24", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	key := app.edited(t, made, func(k *keystore.Key) { k.AllowedIPs = list })
	h := newAuth(app, func(h *Auth) { h.Basic = true })
	use := func(header http.Header, path, from string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest("GET", path, nil)
		r.Header = header
		return serveFromIP(t, h, r, from)
	}
	for from, seen := range map[string]string{ // "" is allowed
		"192.0.2.1": "", "::ffff:192.0.2.1": "", "2001:db8::7": "",
		"198.51.100.1": "198.51.100.1", "2001:db9::7": "2001:db9::7", "127.0.0.1": "127.0.0.1", "": "no IP address", "@": "@",
	} {
		t.Run("from "+from, func(t *testing.T) {
			t.Parallel()
			if seen == "" {
				for what, w := range map[string]*httptest.ResponseRecorder{
					"token": app.ask(t, key.ID, secret, from), "bearer": use(bearer(raw), "/dep1/api", from), "Basic": use(basicAuth(key.ID, secret), "/dep1/api", from),
					"Basic with a token": use(basicAuth("cli", raw), "/dep1/api", from),
				} {
					if w.Code != 200 {
						t.Errorf("%s: %d %s", what, w.Code, w.Body)
					}
				}
				return
			}
			expectError(t, app.ask(t, key.ID, secret, from), 400, access.CodeUnauthorizedClient, seen)
			expectError(t, app.clientCall(t, pathIntrospect, key.ID, secret, from, url.Values{"token": {raw}}), 400, access.CodeUnauthorizedClient, seen)
			expectError(t, app.clientCall(t, pathRevoke, key.ID, secret, from, url.Values{"token": {raw}}), 400, access.CodeUnauthorizedClient, seen)
			stranger := app.ask(t, key.ID, keystore.NewSecret().Reveal(), from)
			expectError(t, stranger, 401, access.CodeInvalidClient, keystore.ErrCredentials.Error())
			if strings.Contains(stranger.Body.String(), "address") {
				t.Errorf("a stranger is told of the limit: %s", stranger.Body)
			}
			for _, header := range []http.Header{bearer(raw), basicAuth(key.ID, secret), basicAuth("cli", raw)} {
				expectError(t, use(header, "/dep1/api", from), 403, access.CodeInsufficientScope, seen)
				expectError(t, use(header, "/dep2/api", from), 403, access.CodeInsufficientScope, seen)
			}
		})
	}
	t.Run("introspection is of the token, wherever it is asked", func(t *testing.T) {
		if !app.introspected(t, app.key, app.secret, raw).Active {
			t.Error("not active")
		}
	})
	t.Run("explained", func(t *testing.T) {
		for from, want := range map[string]string{"": "skipped", "192.0.2.1": "passed", "127.0.0.1": "failed"} {
			address, _ := netip.ParseAddr(from)
			explained := app.authority.Explain(t.Context(), raw, "dep1", 0, address)
			if got := explained.Checks[8]; got.Check != string(access.CheckAddress) || got.Result != want || len(explained.Checks) != len(allChecks)+1 {
				t.Errorf("from %q: %+v, want the address %s", from, explained, want)
			}
			if refused := explained.Status == 403 && strings.HasSuffix(explained.Description, from); refused != (want == "failed") {
				t.Errorf("from %q: %+v", from, explained)
			}
		}
		explained := app.authority.Explain(t.Context(), "garbage", "", 0, netip.MustParseAddr("192.0.2.1"))
		if got := explained.Checks[8]; got.Check != string(access.CheckAddress) || got.Result != "skipped" {
			t.Errorf("garbage: %+v", explained)
		}
	})
	t.Run("a token that is refused for another reason", func(t *testing.T) {
		expectError(t, use(bearer(raw+"x"), "/dep1/api", "127.0.0.1"), 401, access.CodeInvalidToken, "not a valid access token")
	})
}
