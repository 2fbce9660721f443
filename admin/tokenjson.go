package admin

import (
	"github.com/deploymentkeys/gateway/keystore"
)

// TokenIntrospection is the body of POST /tokens/introspect.
type TokenIntrospection struct {
	Token      string  `json:"token"`
	Deployment *string `json:"deployment,omitempty"` // for which the answer is. An empty one is refused.
}

// TokenRevocation is the body of POST /tokens/revoke.
type TokenRevocation struct {
	Token string `json:"token"`
}

// TokenQuestion is the body of POST /tokens/explain: a token, and the request that it is for. What is
// absent is not checked, and what is empty is refused.
type TokenQuestion struct {
	Token      string           `json:"token"`
	Deployment *string          `json:"deployment,omitempty"`
	Scopes     *keystore.Scopes `json:"scopes,omitempty"`  // that the request needs
	Address    *string          `json:"address,omitempty"` // IP address of the client
}
