package caddymodule

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
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
	h.app, err = appOf(ctx)
	return err
}

// ServeHTTP answers the OAuth endpoints.
func (h *TokenHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch r.URL.Path {
	case pathToken:
		return h.serveClient(w, r, &metrics.token, h.token)
	case pathRevoke:
		return h.serveClient(w, r, &metrics.revoke, h.revoke)
	case pathIntrospect:
		return h.serveClient(w, r, &metrics.introspect, h.introspect)
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

// serveClient answers an endpoint at which OAuth clients authenticate themselves. An answer of nil is
// an empty body.
func (h *TokenHandler) serveClient(w http.ResponseWriter, r *http.Request, counters *requestCounters,
	do func(*http.Request, clientRequest) (any, *refusal),
) error {
	if !h.allow(w, r, http.MethodPost) {
		counters.refused[codeInvalidRequest].Inc()
		return nil
	}
	req, refused := readClientRequest(w, r)
	if refused == nil {
		var answer any
		if answer, refused = do(r, req); refused == nil {
			counters.passed.Inc()
			return writeJSON(w, http.StatusOK, answer)
		}
	}
	refused.claimedID = req.clientID
	h.app.refused(counters, refused, clientIP(r), zap.String("client_id", loggable(req.clientID)))
	withoutBody(w, r)
	if refused.code == codeInvalidClient && req.basic {
		w.Header().Set("WWW-Authenticate", basicChallenge(defaultRealm))
	}
	return refused.write(w)
}

// authenticate is the key whose ID and secret a request has, if it may come from there. It notes that as
// a use of that kind; 0 is none, but for the previous secret.
func (h *TokenHandler) authenticate(r *http.Request, req clientRequest, kind node.Use) (*keystore.Key, *refusal) {
	if req.clientID == "" || req.clientSecret == "" {
		return nil, refuse(codeInvalidClient, "the key ID or the secret is missing: client_id and client_secret, or HTTP Basic")
	}
	key, isPrevious, err := h.app.authenticate(r.Context(), req.clientID, req.clientSecret)
	if err != nil {
		return nil, clientRefusal(err, req.clientID)
	}
	if ip := clientIP(r); len(key.AllowedIPs) != 0 && !allowedFrom(key.AllowedIPs, ip) {
		return nil, clientElsewhere(key.ID, ip)
	}
	if isPrevious {
		kind |= node.PreviousSecretUse
	}
	if kind != 0 {
		h.app.used(key, kind, time.Now().Unix(), r)
	}
	return key, nil
}

// loggable keeps a client ID to what key IDs look like: a client that mixes up its variables
// sends the secret in its place.
func loggable(clientID string) string {
	if clientID == "" || keystore.IsKeyID(clientID) {
		return clientID
	}
	return "[not a key ID]"
}

// allow answers requests with another method.
func (h *TokenHandler) allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, method := range methods {
		if r.Method == method {
			return true
		}
	}
	allowed := strings.Join(methods, ", ")
	withoutBody(w, r)
	w.Header().Set("Allow", allowed)
	// RFC 6749 has no code for a wrong method; the status says it.
	_ = writeJSON(w, http.StatusMethodNotAllowed, map[string]errorCode{
		"error":             codeInvalidRequest,
		"error_description": errorCode("the method must be " + allowed),
	})
	return false
}

// Interface guards
var (
	_ caddy.Provisioner           = (*TokenHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*TokenHandler)(nil)
)
