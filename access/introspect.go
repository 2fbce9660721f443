package access

import (
	"context"

	"github.com/deploymentkeys/gateway/keystore"
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

// IntrospectFor says to a key what an access token is good for in its Deployment; of one that is of another
// Deployment, nothing.
func (a *Authority) IntrospectFor(ctx context.Context, key *keystore.Key, raw string) (Introspection, *Refusal) {
	verified, refused := a.Verify(ctx, raw)
	var id Identity
	if refused == nil {
		id, refused = a.holder(ctx, &verified, key.DeploymentID)
	}
	switch {
	case refused != nil && refused.Code == CodeUnavailable:
		return Introspection{}, refused
	case refused != nil || id.DeploymentID != key.DeploymentID || id.Scopes == 0:
		return Introspection{}, nil
	}
	return introspection(&verified, id), nil
}

// Introspect says of any access token what it is good for, in a Deployment if one is given. Of a user's
// token it says with none given no more than that the token is alive. The error wraps
// [keystore.ErrUnavailable].
func (a *Authority) Introspect(ctx context.Context, raw, deployment string) (Introspection, error) {
	verified, refused := a.Verify(ctx, raw)
	var id Identity
	switch {
	case refused != nil:
	case verified.ClientID == UserClient && deployment == "":
		id.User = verified.Subject
		refused = a.userTokenAlive(ctx, &verified)
	default:
		id, refused = a.holder(ctx, &verified, deployment)
		if refused == nil && (id.Scopes == 0 || deployment != "" && id.DeploymentID != deployment) {
			return Introspection{}, nil
		}
	}
	switch {
	case refused == nil:
		return introspection(&verified, id), nil
	case refused.Code == CodeUnavailable:
		return Introspection{}, refused.Cause
	}
	return Introspection{}, nil
}

// userTokenAlive is userAlive for those who have no node at hand.
func (a *Authority) userTokenAlive(ctx context.Context, verified *token.Verified) *Refusal {
	n, err := a.Node.Node(ctx)
	if err != nil {
		return Unavailable(err)
	}
	return a.userAlive(ctx, n, verified)
}

func introspection(verified *token.Verified, id Identity) Introspection {
	return Introspection{
		Active:       true,
		Scope:        id.Scopes.String(),
		ClientID:     verified.ClientID,
		Username:     id.User,
		TokenType:    "Bearer",
		ExpiresAt:    verified.ExpiresAt.Unix(),
		IssuedAt:     verified.IssuedAt.Unix(),
		Subject:      verified.Subject,
		Audience:     verified.Audience,
		Issuer:       verified.Issuer,
		ID:           verified.ID,
		DeploymentID: id.DeploymentID,
	}
}
