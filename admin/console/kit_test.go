package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/caddymodule"
)

// passed is the status of a call of the API that got as far as the store, which is not there.
const passed = http.StatusServiceUnavailable

// newConsole is a console whose gateway has not started. What needs the store is tested with whole gateways.
func newConsole(configure func(*Console)) *Console {
	c := &Console{
		Administrators: []string{"root"},
		app:            new(caddymodule.App), tokens: new(caddymodule.TokenHandler), logger: zap.NewNop(),
	}
	if configure != nil {
		configure(c)
	}
	c.routes = c.newRoutes()
	return c
}

// serve sends a request of a user, or of nobody, through the console, as Caddy's server does.
func (c *Console) serve(t *testing.T, user string, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	repl, w := caddy.NewReplacer(), httptest.NewRecorder()
	if user != "" {
		repl.Set("http.auth.user.id", user)
	}
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		t.Errorf("%s %s was passed on", r.Method, r.URL)
		return nil
	})
	if err := c.ServeHTTP(w, caddyhttp.PrepareRequest(r, repl, w, &caddyhttp.Server{}), next); err != nil {
		t.Error(err)
	}
	return w
}

func (c *Console) get(t *testing.T, user, target string) *httptest.ResponseRecorder {
	t.Helper()
	return c.serve(t, user, httptest.NewRequest("GET", target, nil))
}

// header sets headers of a request, as "Name: value".
func header(r *http.Request, lines ...string) *http.Request {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}
