package caddymodule

import (
	"context"
	"net/http"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/token"
)

// An Introspection says what an access token is good for at this moment (RFC 7662 section 2.2).
// Of a token that is good for nothing it says no more than that, whatever the reason.
type Introspection struct {
	Active       bool   `json:"active"`
	Scope        string `json:"scope,omitempty"`         // what the token may do now, after all changes of its key or user
	ClientID     string `json:"client_id,omitempty"`     // the key ID; of a user's token deployment-keys-user
	Username     string `json:"username,omitempty"`      // of a user's token
	TokenType    string `json:"token_type,omitempty"`    // Bearer
	ExpiresAt    int64  `json:"exp,omitempty"`           // seconds since 1970
	IssuedAt     int64  `json:"iat,omitempty"`           // seconds since 1970
	Subject      string `json:"sub,omitempty"`           // the key ID, or the user
	Audience     string `json:"aud,omitempty"`           //
	Issuer       string `json:"iss,omitempty"`           //
	ID           string `json:"jti,omitempty"`           //
	DeploymentID string `json:"deployment_id,omitempty"` // for which the answer is
}

// introspect is POST /oauth/introspect (RFC 7662). A key learns of the tokens of its own Deployment,
// and of those of users what they may do in it; any other is inactive to it (section 4).
func (h *TokenHandler) introspect(r *http.Request, req clientRequest) (any, *refusal) {
	key, refused := h.authenticate(r, req, node.RequestUse)
	if refused != nil {
		return nil, refused
	}
	raw, refused := tokenParameter(req.params)
	if refused != nil {
		refused.keyID = key.ID
		return nil, refused
	}
	verified, id, refused := h.app.examine(r.Context(), raw, key.DeploymentID)
	switch {
	case refused != nil && refused.code == codeUnavailable:
		return nil, refused
	case refused != nil || id.deploymentID != key.DeploymentID || id.scopes == 0:
		return Introspection{}, nil
	}
	return introspection(verified, id), nil
}

// examine proves a token and says what its holder may do now in a Deployment.
func (a *App) examine(ctx context.Context, raw, deployment string) (*token.Verified, identity, *refusal) {
	verified, refused := a.prove(ctx, raw)
	if refused != nil {
		return nil, identity{}, refused
	}
	id, refused := a.holder(ctx, &verified, deployment)
	return &verified, id, refused
}

// Introspect says of any access token what it is good for, in a Deployment if one is given. Of a user's
// token it says with none given no more than that the token is alive. The error wraps
// [keystore.ErrUnavailable].
func (a *App) Introspect(ctx context.Context, raw, deployment string) (Introspection, error) {
	verified, refused := a.prove(ctx, raw)
	var id identity
	switch {
	case refused != nil:
	case verified.ClientID == userClient && deployment == "":
		id.user = verified.Subject
		refused = a.userTokenAlive(ctx, &verified)
	default:
		id, refused = a.holder(ctx, &verified, deployment)
		if refused == nil && (id.scopes == 0 || deployment != "" && id.deploymentID != deployment) {
			return Introspection{}, nil
		}
	}
	switch {
	case refused == nil:
		return introspection(&verified, id), nil
	case refused.code == codeUnavailable:
		return Introspection{}, refused.cause
	}
	return Introspection{}, nil
}

// userTokenAlive is userAlive for those who have no node at hand.
func (a *App) userTokenAlive(ctx context.Context, verified *token.Verified) *refusal {
	n, err := a.node.Node(ctx)
	if err != nil {
		return unavailable(err)
	}
	return a.userAlive(ctx, n, verified)
}

func introspection(verified *token.Verified, id identity) Introspection {
	return Introspection{
		Active:       true,
		Scope:        id.scopes.String(),
		ClientID:     verified.ClientID,
		Username:     id.user,
		TokenType:    "Bearer",
		ExpiresAt:    verified.ExpiresAt.Unix(),
		IssuedAt:     verified.IssuedAt.Unix(),
		Subject:      verified.Subject,
		Audience:     verified.Audience,
		Issuer:       verified.Issuer,
		ID:           verified.ID,
		DeploymentID: id.deploymentID,
	}
}
