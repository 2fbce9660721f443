package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

func init() {
	caddy.RegisterModule(TokenHandler{})
}

// The paths that TokenHandler answers.
const (
	pathToken      = "/oauth/token"
	pathJWKS       = "/.well-known/jwks.json"
	pathRevoke     = "/oauth/revoke"
	pathIntrospect = "/oauth/introspect"
	pathMetadata   = "/.well-known/oauth-authorization-server"
)

// TokenHandler is the authorization server. It answers, whatever site it is on:
//
//   - POST /oauth/token: exchanges a key ID and a secret for an access token by the client
//     credentials grant (RFC 6749 section 4.4). Credentials come as JSON, as a form, or as
//     HTTP Basic.
//   - GET /.well-known/jwks.json: the public keys with which its tokens can be verified (RFC
//     7517).
//   - GET /.well-known/oauth-authorization-server: its metadata (RFC 8414), if the app
//     deployment_keys has an issuer.
//
// It answers /oauth/revoke and /oauth/introspect with 501, and passes every other request on.
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
		return h.serveToken(w, r)
	case pathJWKS:
		return h.serveJWKS(w, r)
	case pathMetadata:
		return h.serveMetadata(w, r)
	case pathRevoke, pathIntrospect:
		// Passed on, they could come to a site's empty 200, which to RFC 7009 section 2.2 means that
		// a token was revoked.
		return writeJSON(w, http.StatusNotImplemented, map[string]string{
			"error": "unsupported", "error_description": "this gateway does not offer " + r.URL.Path + "; to end tokens, delete their key",
		})
	}
	return next.ServeHTTP(w, r)
}

// tokenAnswer is RFC 6749 section 5.1.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"` // Bearer
	ExpiresIn   int64  `json:"expires_in"` // seconds
	Scope       string `json:"scope"`
}

func (h *TokenHandler) serveToken(w http.ResponseWriter, r *http.Request) error {
	if !h.allow(w, r, http.MethodPost) {
		metrics.token.refused[codeInvalidRequest].Inc()
		return nil
	}
	req, refused := readTokenRequest(w, r)
	if refused != nil {
		return h.refuse(w, r, req, refused)
	}
	answer, refused := h.grant(r, req)
	if refused != nil {
		return h.refuse(w, r, req, refused)
	}
	metrics.token.passed.Inc()
	return writeJSON(w, http.StatusOK, answer)
}

// grant checks the credentials, and then what is asked for: before the caller has proven who
// they are, nothing else is worth an answer.
func (h *TokenHandler) grant(r *http.Request, req tokenRequest) (*tokenAnswer, *refusal) {
	key, err := h.app.authenticate(r.Context(), req.clientID, req.clientSecret)
	if err != nil {
		return nil, clientRefusal(err)
	}
	audience, ok := h.app.audienceFor(req.audience)
	if !ok {
		refused := refuse(codeInvalidTarget, "the audience must be one of: "+strings.Join(h.app.Audiences, ", "))
		refused.keyID = key.ID
		return nil, refused
	}
	scopes, refused := narrow(key.Scopes, req.scope)
	if refused != nil {
		refused.keyID = key.ID
		return nil, refused
	}
	raw, err := h.app.issue(r.Context(), key, audience, scopes)
	if err != nil {
		return nil, unavailable(err)
	}
	return &tokenAnswer{
		AccessToken: raw,
		TokenType:   "Bearer",
		ExpiresIn:   int64(h.app.tokenLifetime.Seconds()),
		Scope:       scopes.String(),
	}, nil
}

// narrow is RFC 6749 section 3.3: no scope asks for all that the key has.
func narrow(has keystore.Scopes, asked string) (keystore.Scopes, *refusal) {
	if asked == "" {
		return has, nil
	}
	want, err := keystore.ParseScopeText(asked)
	if err != nil {
		// What was asked for is not repeated: a client that mixes up its variables sends the secret.
		return 0, refuse(codeInvalidScope, "unknown scope: the scopes are "+strings.Join(keystore.AllScopes.Names(), ", "))
	}
	if !has.Has(want) {
		return 0, refuse(codeInvalidScope, "this key has only the scopes "+has.String())
	}
	return want, nil
}

func (h *TokenHandler) refuse(w http.ResponseWriter, r *http.Request, req tokenRequest, refused *refusal) error {
	h.app.refused(&metrics.token, refused, clientIP(r), zap.String("client_id", loggable(req.clientID)))
	if refused.code == codeInvalidClient && req.basic {
		w.Header().Set("WWW-Authenticate", basicChallenge(defaultRealm))
	}
	return refused.write(w)
}

// loggable keeps a client ID to what key IDs look like: a client that mixes up its variables
// sends the secret in its place.
func loggable(clientID string) string {
	if clientID == "" || keystore.IsKeyID(clientID) {
		return clientID
	}
	return "[not a key ID]"
}

func (h *TokenHandler) serveJWKS(w http.ResponseWriter, r *http.Request) error {
	if !h.allow(w, r, http.MethodGet, http.MethodHead) {
		return nil
	}
	ring, err := h.app.signing.ring(r.Context())
	if err != nil {
		refused := unavailable(err)
		h.app.report(refused)
		return refused.write(w)
	}
	w.Header().Set("Cache-Control", publicFor)
	return writeEncoded(w, http.StatusOK, ring.JWKS())
}

// publicFor is how long what is public may be kept by others.
const publicFor = "public, max-age=300"

// metadata is RFC 8414 section 2.
type metadata struct {
	Issuer                 string   `json:"issuer"`
	TokenEndpoint          string   `json:"token_endpoint"`
	JWKSURI                string   `json:"jwks_uri"`
	ScopesSupported        []string `json:"scopes_supported"`
	ResponseTypesSupported []string `json:"response_types_supported"` // required; none: there is no authorization endpoint
	GrantTypesSupported    []string `json:"grant_types_supported"`
	TokenEndpointAuth      []string `json:"token_endpoint_auth_methods_supported"`
}

func (h *TokenHandler) serveMetadata(w http.ResponseWriter, r *http.Request) error {
	if !h.allow(w, r, http.MethodGet, http.MethodHead) {
		return nil
	}
	issuer := h.app.Issuer
	if issuer == "" {
		return writeJSON(w, http.StatusNotFound, map[string]string{
			"error": "there is no metadata, because this gateway was not told its own URL: set issuer in deployment_keys",
		})
	}
	w.Header().Set("Cache-Control", publicFor)
	return writeJSON(w, http.StatusOK, metadata{
		Issuer:                 h.app.issuer,
		TokenEndpoint:          h.app.issuer + pathToken,
		JWKSURI:                h.app.issuer + pathJWKS,
		ScopesSupported:        keystore.AllScopes.Names(),
		ResponseTypesSupported: []string{},
		GrantTypesSupported:    []string{"client_credentials"},
		TokenEndpointAuth:      []string{"client_secret_basic", "client_secret_post"},
	})
}

// allow answers requests with another method.
func (h *TokenHandler) allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, method := range methods {
		if r.Method == method {
			return true
		}
	}
	allowed := strings.Join(methods, ", ")
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
