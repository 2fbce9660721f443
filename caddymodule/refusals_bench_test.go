package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

// BenchmarkRefusals are refusals of both handlers, each beside a request that is accepted, without a server around them.
// What they cost with one is measured in integration/load.
func BenchmarkRefusals(b *testing.B) {
	app := newTestApp(b, nil)
	auth, clients := newAuth(app, func(h *Auth) { h.Basic = true }), &TokenHandler{app: app.App}
	raw := app.token(b, app.key)
	other, _ := app.newKey(b, "dep2", 0)
	tampered := raw[:len(raw)-4] + strings.Repeat("A", 4)
	_, otherSecret := app.newKey(b, "dep1", 0)
	deployer, _ := app.newKey(b, "dep1", keystore.ScopeDeploy) // the route wants another scope
	madeUp := app.key.ID[:12] + strings.Repeat("0", 12)
	for _, test := range []struct {
		name   string
		header http.Header
		path   string
		status int
	}{
		{"auth/accepted", bearer(raw), "/dep1/api", 200},
		{"auth/nothing", nil, "/dep1/api", 401},
		{"auth/malformed", bearer(",,,"), "/dep1/api", 400},
		{"auth/path", bearer(raw), "/dep1/a%2fpi", 400},
		{"auth/garbage", bearer("garbage"), "/dep1/api", 401},
		{"auth/huge", bearer(strings.Repeat("a.", 6<<10)), "/dep1/api", 401},
		{"auth/signature", bearer(tampered), "/dep1/api", 401},
		{"auth/deployment", bearer(app.token(b, other)), "/dep1/api", 403},
		{"auth/scope", bearer(app.token(b, deployer)), "/dep1/api", 403},
		{"auth/basic/secret", basicAuth(app.key.ID, otherSecret), "/dep1/api", 401},
		{"auth/basic/madeup", basicAuth(madeUp, otherSecret), "/dep1/api", 401},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, test.path, nil)
				r.Header = test.header.Clone()
				if r.Header == nil {
					r.Header = make(http.Header)
				}
				w := httptest.NewRecorder()
				if err := auth.ServeHTTP(w, withReplacer(r), passOn); err != nil || w.Code != test.status {
					b.Fatal(err, w.Code, w.Body)
				}
			}
		})
	}
	grant := func(id, secret string) string {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}.Encode()
	}
	for _, test := range []struct {
		name, body string
		status     int
	}{
		{"token/accepted", grant(app.key.ID, app.secret), 200},
		{"token/secret", grant(app.key.ID, otherSecret), 401},
		{"token/madeup", grant(madeUp, app.secret), 401},
		{"token/malformed", "a=1&a=2", 400},
		{"token/large", strings.Repeat("a", access.MaxRequestBody+1), 400},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, pathToken, strings.NewReader(test.body))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				w := httptest.NewRecorder()
				if err := clients.ServeHTTP(w, withReplacer(r), passOn); err != nil || w.Code != test.status {
					b.Fatal(err, w.Code, w.Body)
				}
			}
		})
	}
}
