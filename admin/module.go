package admin

import (
	"fmt"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/deploymentkeys/gateway/caddymodule"
	"github.com/deploymentkeys/gateway/keystore"
)

func init() {
	caddy.RegisterModule(new(Endpoint))
}

// Endpoint mounts the API on Caddy's admin endpoint, under /deployments. Who may call it is
// Caddy's business: by default, who can reach localhost:2019; on the remote admin endpoint, who
// has a certificate for the path.
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
	api := &API{Keystore: activeKeystore, Caller: endpointCaller, Logger: ctx.Logger(e)}
	e.handler = api.Handler()
	return nil
}

// Routes returns the routes of the admin API.
func (e *Endpoint) Routes() []caddy.AdminRoute {
	handler := caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		e.handler.ServeHTTP(w, r)
		return nil
	})
	return []caddy.AdminRoute{
		{Pattern: "/deployments", Handler: handler},
		{Pattern: "/deployments/", Handler: handler},
	}
}

// activeKeystore is that of the configuration that runs now.
func activeKeystore() (*keystore.Keystore, error) {
	app, err := caddy.ActiveContext().AppIfConfigured("deployment_keys")
	if err != nil {
		return nil, fmt.Errorf("%w: the running configuration has no deployment_keys: %w", keystore.ErrUnavailable, err)
	}
	return app.(*caddymodule.App).Keystore()
}

// endpointCaller is the owner of the certificate on the remote admin endpoint, and "admin" on the
// local one, which knows no callers.
func endpointCaller(r *http.Request) keystore.Caller {
	by := keystore.Caller{Name: "admin"}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		by.Address = host
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		certificate := r.TLS.PeerCertificates[0]
		by.Name = certificate.Subject.CommonName
		if by.Name == "" {
			by.Name = certificate.Subject.String()
		}
	}
	return by
}

// Interface guards
var (
	_ caddy.Provisioner = (*Endpoint)(nil)
	_ caddy.AdminRouter = (*Endpoint)(nil)
)
