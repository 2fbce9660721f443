package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/deploymentkeys/gateway/access"
)

func init() {
	caddy.RegisterModule(TokenHandler{})
}

// The paths that TokenHandler answers.
const (
	pathToken      = "/oauth/token"
	pathRevoke     = "/oauth/revoke"
	pathIntrospect = "/oauth/introspect"
	pathUserToken  = "/token"
	pathJWKS       = "/.well-known/jwks.json"
	pathMetadata   = "/.well-known/oauth-authorization-server"
)

// TokenHandler is the authorization server. It answers, whatever site it is on:
//
//   - POST /oauth/token: exchanges a key ID and a secret for an access token by the client
//     credentials grant (RFC 6749 section 4.4). Credentials come as JSON, as a form, or as
//     HTTP Basic.
//   - POST /oauth/revoke: a key ends one of its own access tokens (RFC 7009).
//   - POST /oauth/introspect: a key asks whether an access token is good for its Deployment, and
//     whose it is (RFC 7662).
//   - POST /token: gives the user who is signed in to the site, by whatever Caddy has for that,
//     a personal access token: {"access_token","token_type","expires_in"}. It takes no parameters.
//   - GET /.well-known/jwks.json: the public keys with which its tokens can be verified (RFC
//     7517).
//   - GET /.well-known/oauth-authorization-server: its metadata (RFC 8414), if the app
//     deployment_keys has an issuer.
//
// It passes every other request on.
type TokenHandler struct {
	app *App
}

// CaddyModule returns the Caddy module information.
func (TokenHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.deployment_token",
		New: func() caddy.Module { return new(TokenHandler) },
	}
}

// Provision gets the app that owns the keys.
func (h *TokenHandler) Provision(ctx caddy.Context) (err error) {
	h.app, err = AppOf(ctx)
	return err
}

// ServeHTTP answers the OAuth endpoints.
func (h *TokenHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch r.URL.Path {
	case pathToken:
		return h.serveClient(w, r, &tokenEndpoint)
	case pathRevoke:
		return h.serveClient(w, r, &revokeEndpoint)
	case pathIntrospect:
		return h.serveClient(w, r, &introspectEndpoint)
	case pathUserToken:
		if r.Method == http.MethodPost {
			return h.serveUserToken(w, r, next)
		}
	case pathJWKS:
		return h.serveJWKS(w, r)
	case pathMetadata:
		return h.serveMetadata(w, r)
	}
	return next.ServeHTTP(w, r)
}

// allow answers requests with another method.
func (h *TokenHandler) allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, method := range methods {
		if r.Method == method {
			return true
		}
	}
	allowed := strings.Join(methods, ", ")
	access.WithoutBody(w, r)
	w.Header().Set("Allow", allowed)
	// RFC 6749 has no code for a wrong method; the status says it.
	_ = access.WriteJSON(w, http.StatusMethodNotAllowed, map[string]access.Code{
		"error":             access.CodeInvalidRequest,
		"error_description": access.Code("the method must be " + allowed),
	})
	return false
}

// Interface guards
var (
	_ caddy.Provisioner           = (*TokenHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*TokenHandler)(nil)
)
