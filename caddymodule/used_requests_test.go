package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
)

// Which requests count as what use.
func TestUsesOfKeys(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	h := newAuth(app, func(h *Auth) { h.Basic = true })
	raw := app.token(t, app.key)
	n, err := app.node.Now()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now().Unix()
	want := func(what string, key keystore.Key, uses node.Use) {
		t.Helper()
		for _, use := range []node.Use{node.RequestUse, node.TokenUse, node.PreviousSecretUse} {
			if noted := n.Used(&key, use, began); noted != (uses&use != 0) {
				t.Errorf("%s: use %d of the key: %v", what, use, noted)
			}
		}
	}
	wantNone := func(what string) {
		t.Helper()
		want(what, app.key, 0)
		want(what, app.narrow, 0)
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

	if code := get("/dep1/api", withToken); code != 200 {
		t.Errorf("status %d", code)
	}
	want("a request", app.key, node.RequestUse)
	if code := post(pathToken, credentials()); code != 200 {
		t.Errorf("status %d", code)
	}
	want("a token", app.key, node.RequestUse|node.TokenUse)

	narrow := url.Values{"client_id": {app.narrow.ID}, "client_secret": {app.narrowSecret}, "token": {raw}}
	if code := post(pathIntrospect, narrow); code != 200 {
		t.Errorf("status %d", code)
	}
	want("an introspection", app.narrow, node.RequestUse)
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
			n, err := app.node.Now()
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now().Unix()
			if w := serve(t, handler, use(app, rotated, fresh.Reveal())); w.Code != 200 {
				t.Fatal(w.Body)
			}
			if n.Used(&rotated, node.PreviousSecretUse, began) {
				t.Error("the new secret is noted as the previous one")
			}
			if w := serve(t, handler, use(app, rotated, app.secret)); w.Code != 200 {
				t.Fatal(w.Body)
			}
			if !n.Used(&rotated, node.PreviousSecretUse, began) {
				t.Error("the previous secret is not noted")
			}
		})
	}
}
