package airflow

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// A testGateway keeps what the handlers say to the app.
type testGateway struct {
	authority *access.Authority

	mu       sync.Mutex
	passed   int
	refusals []*access.Refusal
	faults   []string
}

func (g *testGateway) Authority() *access.Authority { return g.authority }
func (g *testGateway) PassedAtAirflow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passed++
}

func (g *testGateway) RefusedAtAirflow(_ *http.Request, refused *access.Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusals = append(g.refusals, refused)
}

func (g *testGateway) NoAirflow(deployment string, cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, fmt.Sprint(deployment, ": ", cause))
}
func (*testGateway) Report(*access.Refusal, ...zap.Field) {}

const testIssuer = "https://auth.example.com"

// newTestToken is a handler whose gateway has signing keys.
func newTestToken(t *testing.T) (*Token, *testGateway) {
	t.Helper()
	handle := node.NewHandle()
	n, err := handle.Open(t.Context(), node.Place{Directory: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handle.Close(true) })
	if err := n.Maintain(t.Context(), keystore.SigningPolicy{Algorithm: string(token.ES256), TokenLifetime: time.Hour}); err != nil {
		t.Fatal(err)
	}
	authority, err := access.New(access.Options{Node: handle, Issuer: testIssuer, Audiences: []string{"astronomer-ee"}, MaxStaleness: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(authority.Close)
	app := &testGateway{authority: authority}
	h := &Token{app: app, lifetime: defaultLifetime}
	if h.roles, err = rolesOf(nil); err != nil {
		t.Fatal(err)
	}
	return h, app
}

// withReplacer prepares a request as Caddy's server does.
func withReplacer(r *http.Request) *http.Request {
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), &caddyhttp.Server{})
}

// requestOf is a request as deployment_auth leaves it to the handlers after it.
func requestOf(id *access.Identity, method, path string, body io.Reader) *http.Request {
	r := withReplacer(httptest.NewRequest(method, path, body))
	caddyhttp.SetVar(r.Context(), "deployment_keys.identity", id)
	return r
}

// afterAuth does to a request what deployment_auth does.
func afterAuth(t *testing.T, r *http.Request) *http.Request {
	t.Helper()
	r = withReplacer(r)
	id := &access.Identity{KeyID: "key", DeploymentID: "dep1", Scopes: keystore.AllScopes}
	id.SetHeaders(r, false)
	caddyhttp.SetVar(r.Context(), "deployment_keys.identity", id)
	return r
}
