package caddymodule

import (
	"net/http"
	"strconv"
	"strings"
	"time"

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

// appendJSON appends the answer to text. Nothing in it needs an escape in a JSON string: a token is base64url and
// dots, and the rest is this package's own.
func (a *tokenAnswer) appendJSON(text []byte) []byte {
	text = append(append(text, `{"access_token":"`...), a.AccessToken...)
	text = append(append(text, `","token_type":"`...), a.TokenType...)
	text = strconv.AppendInt(append(text, `","expires_in":`...), a.ExpiresIn, 10)
	if a.Scope != "" {
		text = append(append(append(text, `,"scope":"`...), a.Scope...), '"')
	}
	return append(text, '}')
}

// token is POST /oauth/token (RFC 6749 section 4.4). It checks the credentials, and then what is
// asked for: before the caller has proven who they are, nothing else is worth an answer. Only what
// the endpoint does not do for anybody comes before.
func (h *TokenHandler) token(r *http.Request, req clientRequest) (any, *refusal) {
	switch req.params["grant_type"] {
	case "client_credentials":
	case "":
		return nil, refuse(codeInvalidRequest, "grant_type is missing: want client_credentials")
	default:
		return nil, refuse(codeUnsupportedGrantType, "grant_type must be client_credentials")
	}
	key, refused := h.authenticate(r, req, 0)
	if refused != nil {
		return nil, refused
	}
	answer, refused := h.grant(r, req.params, key)
	if refused != nil {
		refused.keyID = key.ID
		return nil, refused
	}
	return answer, nil
}

// grant gives a key what it asks for.
func (h *TokenHandler) grant(r *http.Request, params parameters, key *keystore.Key) (*tokenAnswer, *refusal) {
	// RFC 8707 calls the audience resource; a client that sends both has to mean the same.
	asked := params["audience"]
	if resource := params["resource"]; resource != "" {
		if asked != "" && asked != resource {
			return nil, refuse(codeInvalidTarget, "audience and resource are not the same")
		}
		asked = resource
	}
	audience, ok := h.app.audienceFor(asked)
	if !ok {
		return nil, refuse(codeInvalidTarget, "the audience must be one of: "+strings.Join(h.app.Audiences, ", "))
	}
	scopes, refused := narrow(key.Scopes, params["scope"])
	if refused != nil {
		return nil, refused
	}
	raw, lifetime, err := h.app.issue(r.Context(), key, audience, scopes)
	if err != nil {
		return nil, clientRefusal(err, key.ID)
	}
	h.app.used(key, node.TokenUse, time.Now().Unix(), r)
	return &tokenAnswer{
		AccessToken: raw,
		TokenType:   "Bearer",
		ExpiresIn:   int64(lifetime.Seconds()),
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
