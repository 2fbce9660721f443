package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/keystore"
)

// Which requests count as what use.
func TestUsesOfKeys(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	h := newAuth(app, func(h *Auth) { h.Basic = true })
	raw := app.token(t, app.key)
	uses := app.node.Load().uses
	wantNone := func(what string) {
		t.Helper()
		for _, key := range []keystore.Key{app.key, app.narrow} {
			if use := uses.latestOf(key.ID); use != nil {
				t.Errorf("%s: a use is noted: %v", what, use)
			}
		}
	}
	send := func(handler caddyhttp.MiddlewareHandler, r *http.Request) int {
		t.Helper()
		w := httptest.NewRecorder()
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "192.0.2.7")
		if err := handler.ServeHTTP(w, r, passOn); err != nil {
			t.Fatal(err)
		}
		return w.Code
	}
	get := func(path string, authorize func(*http.Request)) int {
		t.Helper()
		r := withReplacer(httptest.NewRequest("GET", path, nil))
		authorize(r)
		return send(h, r)
	}
	post := func(path string, form url.Values) int {
		t.Helper()
		r := withReplacer(httptest.NewRequest("POST", path, strings.NewReader(form.Encode())))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return send(&TokenHandler{app: app.App}, r)
	}
	withToken := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+raw) }
	credentials := func(more ...string) url.Values {
		form := url.Values{"client_id": {app.key.ID}, "client_secret": {app.secret}, "grant_type": {"client_credentials"}}
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return form
	}

	if code := get("/dep2/api", withToken); code != 403 {
		t.Errorf("status %d", code)
	}
	wantNone("a request for another Deployment")
	if code := get("/dep1/api", func(r *http.Request) { r.SetBasicAuth(app.key.ID, keystore.NewSecret().Reveal()) }); code != 401 {
		t.Errorf("status %d", code)
	}
	wantNone("a wrong secret")
	if code := post(pathToken, credentials("scope", "no such scope")); code != 400 {
		t.Errorf("status %d", code)
	}
	wantNone("a refused token")

	from := netip.MustParseAddr("192.0.2.7")
	if code := get("/dep1/api", withToken); code != 200 {
		t.Errorf("status %d", code)
	}
	use := uses.latestOf(app.key.ID)
	if use == nil || time.Since(use.RequestAt) > time.Minute || use.RequestAddress != from || !use.TokenAt.IsZero() || !use.PreviousSecretAt.IsZero() {
		t.Fatalf("a request: %v", use)
	}
	if code := post(pathToken, credentials()); code != 200 {
		t.Errorf("status %d", code)
	}
	use = uses.latestOf(app.key.ID)
	if time.Since(use.TokenAt) > time.Minute || use.TokenAddress != from || !use.PreviousSecretAt.IsZero() {
		t.Errorf("a token: %v", use)
	}

	narrow := url.Values{"client_id": {app.narrow.ID}, "client_secret": {app.narrowSecret}, "token": {raw}}
	if code := post(pathIntrospect, narrow); code != 200 {
		t.Errorf("status %d", code)
	}
	if use := uses.latestOf(app.narrow.ID); use == nil || use.RequestAt.IsZero() || !use.TokenAt.IsZero() {
		t.Errorf("an introspection: %v", use)
	}
}

// The previous secret is one, however it is used.
func TestUsesOfPreviousSecrets(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(app *testApp, key keystore.Key, secret string) *http.Request{
		"basic": func(_ *testApp, key keystore.Key, secret string) *http.Request {
			r := httptest.NewRequest("GET", "/dep1/api", nil)
			r.SetBasicAuth(key.ID, secret)
			return r
		},
		"token": func(_ *testApp, key keystore.Key, secret string) *http.Request {
			r := httptest.NewRequest("POST", pathToken, strings.NewReader("grant_type=client_credentials"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth(key.ID, secret)
			return r
		},
		"introspect": func(app *testApp, key keystore.Key, secret string) *http.Request {
			r := httptest.NewRequest("POST", pathIntrospect, strings.NewReader("token="+app.token(t, app.key)))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth(key.ID, secret)
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := newTestApp(t, nil)
			var handler caddyhttp.MiddlewareHandler = &TokenHandler{app: app.App}
			if name == "basic" {
				handler = newAuth(app, func(h *Auth) { h.Basic = true })
			}
			rotated, fresh, err := app.keys.RotateKey(t.Context(), keystore.Caller{Name: "test"}, "dep1", app.key.ID, keystore.KeyRotation{Overlap: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			uses := app.node.Load().uses
			if w := serve(t, handler, use(app, rotated, fresh.Reveal())); w.Code != 200 {
				t.Fatal(w.Body)
			}
			if noted := uses.latestOf(rotated.ID); noted == nil || !noted.PreviousSecretOf(&rotated).IsZero() {
				t.Errorf("with the new secret: %v", noted)
			}
			if w := serve(t, handler, use(app, rotated, app.secret)); w.Code != 200 {
				t.Fatal(w.Body)
			}
			if noted := uses.latestOf(rotated.ID); time.Since(noted.PreviousSecretOf(&rotated)) > time.Minute {
				t.Errorf("with the previous secret: %v", noted)
			}
		})
	}
}
