package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// A testApp is an App on an embedded store in a directory of its own, with two Deployments.
type testApp struct {
	*App
	keys         *keystore.Keystore
	key          keystore.Key // of Deployment dep1, with all scopes
	secret       string
	narrow       keystore.Key // of Deployment dep1, airflow:read only
	narrowSecret string
}

func newTestApp(t testing.TB, configure func(*App)) *testApp {
	t.Helper()
	return newTestAppAt(t, configure, (*App).Start)
}

// newTestAppOn is newTestApp on a node of the test's own.
func newTestAppOn(t testing.TB, n *node.Node) *testApp {
	t.Helper()
	return newTestAppAt(t, nil, func(app *App) error {
		app.node.Use(n, func() { _ = n.Destruct() })
		return app.start(t.Context(), n)
	})
}

func newTestAppAt(t testing.TB, configure func(*App), start func(*App) error) *testApp {
	t.Helper()
	app := &App{
		Audiences: []string{DefaultAudience, "second"}, SigningAlgorithm: string(token.ES256), CacheSize: keystore.DefaultViewSize,
		issuer: "https://auth.example.com", Issuer: "https://auth.example.com",
	}
	app.logger, app.faults, app.node, app.ctx = zap.NewNop(), zap.NewNop(), node.NewHandle(), t.Context()
	app.place = node.Place{Directory: t.TempDir()}
	err := app.provisionTimes()
	if err != nil {
		t.Fatal(err)
	}
	if configure != nil {
		configure(app)
	}
	if err := app.newAuthority(); err != nil {
		t.Fatal(err)
	}
	if err := start(app); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		app.node.Close(true)
		app.authority.Close()
	})
	a := &testApp{App: app}
	a.keys, _ = app.Keystore()
	ctx, by := context.Background(), keystore.Caller{Name: "test"}
	for _, id := range []string{"dep1", "dep2"} {
		if _, err := a.keys.CreateDeployment(ctx, by, keystore.Deployment{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	a.key, a.secret = a.newKey(t, "dep1", 0)
	a.narrow, a.narrowSecret = a.newKey(t, "dep1", keystore.ScopeAirflowRead)
	return a
}

func (a *testApp) newKey(t testing.TB, deployment string, scopes keystore.Scopes) (keystore.Key, string) {
	t.Helper()
	key, secret, err := a.keys.CreateKey(context.Background(), keystore.Caller{Name: "test"},
		keystore.Key{DeploymentID: deployment, Name: "k", Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return key, secret.Reveal()
}

func (a *testApp) token(t testing.TB, key keystore.Key) string {
	t.Helper()
	raw, _, refused := a.authority.Issue(context.Background(), &key, DefaultAudience, key.Scopes)
	if refused != nil {
		t.Fatal(refused)
	}
	return raw
}

// withReplacer prepares a request as Caddy's server does.
func withReplacer(r *http.Request) *http.Request {
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), &caddyhttp.Server{})
}

// serve calls a handler with a request; what it passes on is answered "passed".
func serve(t testing.TB, h caddyhttp.MiddlewareHandler, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	err := h.ServeHTTP(w, withReplacer(r), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		_, err := w.Write([]byte("passed"))
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// eventually waits for what another goroutine does.
func eventually(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}
