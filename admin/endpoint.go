package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule"
	"github.com/deploymentkeys/gateway/keystore"
)

func init() {
	caddy.RegisterModule(new(Endpoint))
}

// Endpoint mounts the API on Caddy's admin endpoint, under /deployments, /signing_keys, /tokens and /audit.
// Who may call it is Caddy's business: by default, who can reach localhost:2019; on the remote admin endpoint, who
// has a certificate for the path. Pages in a browser may not, whatever Caddy's admin.origins are.
type Endpoint struct {
	handler http.Handler
}

// CaddyModule returns the Caddy module information.
func (*Endpoint) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.deployment_keys",
		New: func() caddy.Module { return new(Endpoint) },
	}
}

// Provision makes the handler. It keeps nothing of the configuration: the admin endpoint is not
// rolled back when a configuration fails to load, and would hold an app that is gone.
func (e *Endpoint) Provision(ctx caddy.Context) error {
	api := &API{Keystore: activeKeystore, Caller: endpointCaller, Logger: ctx.Logger(e), Ready: activeReady, Tokens: activeTokens}
	e.handler = api.Handler()
	return nil
}

// Routes returns the routes of the admin API.
func (e *Endpoint) Routes() []caddy.AdminRoute {
	handler := caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if err := guardEndpoint(r); err != nil {
			writeError(w, err)
			return nil
		}
		e.handler.ServeHTTP(w, r)
		return nil
	})
	return []caddy.AdminRoute{
		{Pattern: "/deployments", Handler: handler},
		{Pattern: "/deployments/", Handler: handler},
		{Pattern: "/signing_keys", Handler: handler},
		{Pattern: "/signing_keys/", Handler: handler},
		{Pattern: "/tokens/", Handler: handler},
		{Pattern: "/audit", Handler: handler},
		{Pattern: "/audit/", Handler: handler},
	}
}

// activeApp is that of the configuration that runs now.
func activeApp() (*caddymodule.App, error) {
	app, err := caddy.ActiveContext().AppIfConfigured("deployment_keys")
	if err != nil {
		return nil, fmt.Errorf("%w: the running configuration has no deployment_keys: %w", keystore.ErrUnavailable, err)
	}
	return app.(*caddymodule.App), nil
}

func activeKeystore() (*keystore.Keystore, error) {
	app, err := activeApp()
	if err != nil {
		return nil, err
	}
	return app.Keystore()
}

func activeTokens() (TokenService, error) {
	app, err := activeApp()
	if err != nil {
		return nil, err
	}
	return TokensOf(app), nil
}

// TokensOf returns the tokens of a configuration.
func TokensOf(app *caddymodule.App) TokenService {
	return struct {
		*caddymodule.App
		*access.Authority
	}{app, app.Authority()}
}

func activeReady(ctx context.Context) (age time.Duration, known bool, err error) {
	app, err := activeApp()
	if err != nil {
		return 0, false, err
	}
	return app.Ready(ctx)
}

// Interface guards
var (
	_ caddy.Provisioner = (*Endpoint)(nil)
	_ caddy.AdminRouter = (*Endpoint)(nil)
)
