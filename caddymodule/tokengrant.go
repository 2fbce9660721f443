package caddymodule

import (
	"net/http"
	"strings"
	"time"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
)

// tokenAnswer is RFC 6749 section 5.1.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"` // Bearer
	ExpiresIn   int64  `json:"expires_in"` // seconds
	Scope       string `json:"scope,omitempty"`
}

// tokenEndpoint is POST /oauth/token (RFC 6749 section 4.4). It checks the credentials, and then what is
// asked for: before the caller has proven who they are, nothing else is worth an answer. Only what
// the endpoint does not do for anybody comes before.
var tokenEndpoint = clientEndpoint{
	counters: &metrics.token,
	check: func(params access.Parameters) *access.Refusal {
		switch params["grant_type"] {
		case "client_credentials":
			return nil
		case "":
			return access.Refuse(access.CodeInvalidRequest, "grant_type is missing: want client_credentials")
		}
		return access.Refuse(access.CodeUnsupportedGrantType, "grant_type must be client_credentials")
	},
	do: func(h *TokenHandler, r *http.Request, client *keystore.Key, params access.Parameters) (any, *access.Refusal) {
		return h.grant(r, params, client)
	},
}

// grant gives a key what it asks for.
func (h *TokenHandler) grant(r *http.Request, params access.Parameters, key *keystore.Key) (*tokenAnswer, *access.Refusal) {
	// RFC 8707 calls the audience resource; a client that sends both has to mean the same.
	asked := params["audience"]
	if resource := params["resource"]; resource != "" {
		if asked != "" && asked != resource {
			return nil, access.Refuse(access.CodeInvalidTarget, "audience and resource are not the same")
		}
		asked = resource
	}
	audience, ok := h.app.authority.AudienceFor(asked)
	if !ok {
		return nil, access.Refuse(access.CodeInvalidTarget, "the audience must be one of: "+strings.Join(h.app.Audiences, ", "))
	}
	scopes, refused := narrow(key.Scopes, params["scope"])
	if refused != nil {
		return nil, refused
	}
	raw, lifetime, refused := h.app.authority.Issue(r.Context(), key, audience, scopes)
	if refused != nil {
		return nil, refused
	}
	h.app.authority.Used(key, node.TokenUse, time.Now().Unix(), r)
	return &tokenAnswer{
		AccessToken: raw,
		TokenType:   "Bearer",
		ExpiresIn:   int64(lifetime.Seconds()),
		Scope:       scopes.String(),
	}, nil
}

// narrow is RFC 6749 section 3.3: no scope asks for all that the key has.
func narrow(has keystore.Scopes, asked string) (keystore.Scopes, *access.Refusal) {
	if asked == "" {
		return has, nil
	}
	want, err := keystore.ParseScopeText(asked)
	if err != nil {
		// What was asked for is not repeated: a client that mixes up its variables sends the secret.
		return 0, access.Refuse(access.CodeInvalidScope, "unknown scope: the scopes are "+strings.Join(keystore.AllScopes.Names(), ", "))
	}
	if !has.Has(want) {
		return 0, access.Refuse(access.CodeInvalidScope, "this key has only the scopes "+has.String())
	}
	return want, nil
}
