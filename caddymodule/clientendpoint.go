package caddymodule

import (
	"net/http"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"go.uber.org/zap"
)

// A clientEndpoint is one at which OAuth clients authenticate themselves.
type clientEndpoint struct {
	counters *requestCounters

	// check looks at what the endpoint does for nobody, before the client is authenticated. May be nil.
	check func(access.Parameters) *access.Refusal

	// publicClient is a client ID that needs no secret (RFC 6749 section 2.1); "" is none.
	publicClient string

	use node.Use // of the key that authenticates; 0 is none, but for its previous secret
	do  func(h *TokenHandler, r *http.Request, client *keystore.Key, params access.Parameters) (any, *access.Refusal)
}

// serveClient answers such an endpoint. It alone authenticates clients, and every refusal after that names the key.
func (h *TokenHandler) serveClient(w http.ResponseWriter, r *http.Request, endpoint *clientEndpoint) error {
	if !h.allow(w, r, http.MethodPost) {
		endpoint.counters.refused[access.CodeInvalidRequest].Inc()
		return nil
	}
	req, refused := access.ReadClientRequest(w, r)
	if refused == nil {
		var answer any
		if answer, refused = h.answerClient(r, req, endpoint); refused == nil {
			endpoint.counters.passed.Inc()
			return access.WriteJSON(w, http.StatusOK, answer)
		}
	}
	refused.ClaimedKey = req.ClientID
	h.app.refused(endpoint.counters, refused, clientIP(r), zap.String("client_id", loggable(req.ClientID)))
	access.WithoutBody(w, r)
	if refused.Code == access.CodeInvalidClient && req.Basic {
		w.Header().Set("WWW-Authenticate", access.BasicChallenge(DefaultRealm))
	}
	return refused.Write(w)
}

func (h *TokenHandler) answerClient(r *http.Request, req access.ClientRequest, endpoint *clientEndpoint) (any, *access.Refusal) {
	if endpoint.check != nil {
		if refused := endpoint.check(req.Params); refused != nil {
			return nil, refused
		}
	}
	if endpoint.publicClient != "" && req.ClientID == endpoint.publicClient && req.ClientSecret == "" {
		return endpoint.do(h, r, nil, req.Params)
	}
	client, refused := h.app.authority.Client(r, req.ClientID, req.ClientSecret, endpoint.use)
	if refused != nil {
		return nil, refused
	}
	answer, refused := endpoint.do(h, r, client, req.Params)
	if refused != nil {
		refused.Key, refused.KeyDeployment = client.ID, client.DeploymentID
	}
	return answer, refused
}

// introspectEndpoint is POST /oauth/introspect (RFC 7662). A key learns of the tokens of its own Deployment,
// and of those of users what they may do in it; any other is inactive to it (section 4).
var introspectEndpoint = clientEndpoint{
	counters: &metrics.introspect,
	use:      node.RequestUse,
	do: func(h *TokenHandler, r *http.Request, client *keystore.Key, params access.Parameters) (any, *access.Refusal) {
		raw, refused := tokenParameter(params)
		if refused != nil {
			return nil, refused
		}
		return h.app.authority.IntrospectFor(r.Context(), client, raw)
	},
}

// revokeEndpoint is POST /oauth/revoke (RFC 7009): a key, or a user, ends one of its own access tokens.
// token_type_hint is ignored: there is one type.
var revokeEndpoint = clientEndpoint{
	counters:     &metrics.revoke,
	publicClient: access.UserClient,
	use:          node.RequestUse,
	do: func(h *TokenHandler, r *http.Request, client *keystore.Key, params access.Parameters) (any, *access.Refusal) {
		raw, refused := tokenParameter(params)
		if refused != nil {
			return nil, refused
		}
		return struct{}{}, h.app.authority.RevokeOwn(r.Context(), client, clientIP(r), raw)
	},
}

// tokenParameter is the token that a request to revoke or introspect is about.
func tokenParameter(params access.Parameters) (string, *access.Refusal) {
	if params["token"] == "" {
		return "", access.Refuse(access.CodeInvalidRequest, "token is missing")
	}
	return params["token"], nil
}

// loggable keeps a client ID to what key IDs look like: a client that mixes up its variables
// sends the secret in its place.
func loggable(clientID string) string {
	if clientID == "" || keystore.IsKeyID(clientID) {
		return clientID
	}
	return "[not a key ID]"
}
