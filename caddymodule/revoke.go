package caddymodule

import (
	"context"
	"errors"
	"net/http"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// revoke is POST /oauth/revoke (RFC 7009): a key ends one of its own access tokens. A token that is
// dead anyway, or none of this gateway, is 200 (section 2.2). token_type_hint is ignored: there is
// one type.
//
// A user, who has no client credentials, ends their own by client_id=deployment-keys-user without a
// secret, as a public client (section 2.1): who holds the token could use it anyway.
func (h *TokenHandler) revoke(r *http.Request, req clientRequest) (any, *refusal) {
	by := keystore.Caller{Name: userClient, Address: clientIP(r), Via: keystore.ViaOAuth}
	if req.clientID != userClient || req.clientSecret != "" {
		key, refused := h.authenticate(r, req, node.RequestUse)
		if refused != nil {
			return nil, refused
		}
		by.Name = key.ID
	}
	raw, refused := tokenParameter(req.params)
	if refused != nil {
		return nil, refused
	}
	verified, refused := h.app.revocable(r.Context(), raw)
	switch {
	case refused != nil:
		return nil, refused
	case verified == nil:
		return struct{}{}, nil
	}
	if verified.ClientID != by.Name {
		return nil, refuse(codeUnauthorizedClient, "the token was issued to another client, and was not revoked")
	}
	if by.Name == userClient {
		by.Name = verified.Subject
	}
	if err := h.app.revokeToken(r.Context(), by, verified); err != nil {
		return nil, revocationRefusal(err)
	}
	return struct{}{}, nil
}

// revocable is what a token says that can be revoked; nil is that there is nothing to revoke. It need
// not be good for anything here and now: another gateway may be configured for another audience, or
// have a clock that is ahead.
func (a *App) revocable(ctx context.Context, raw string) (*token.Verified, *refusal) {
	verified, refused := a.prove(ctx, raw)
	switch {
	case refused == nil:
		return &verified, nil
	case refused.code == codeUnavailable:
		return nil, refused
	case errors.Is(refused.cause, token.ErrExpired):
		return nil, nil
	}
	refusedToken, _ := token.ProvenToken(refused.cause)
	return refusedToken, nil
}

// tokenParameter is the token that a request to revoke or introspect is about.
func tokenParameter(params parameters) (string, *refusal) {
	if params["token"] == "" {
		return "", refuse(codeInvalidRequest, "token is missing")
	}
	return params["token"], nil
}

// revokeToken ends a token that was proven.
func (a *App) revokeToken(ctx context.Context, by keystore.Caller, verified *token.Verified) error {
	n, err := a.node.Node(ctx)
	if err != nil {
		return err
	}
	// A client that does it again and again does not keep the store busy.
	if already, err := n.View.TokenRevoked(ctx, verified.ID, a.maxStaleness); err == nil && already {
		return nil
	}
	revoked := keystore.RevokedToken{ID: verified.ID, DeploymentID: verified.DeploymentID, ExpiresAt: verified.ExpiresAt}
	if verified.ClientID == userClient {
		revoked.User = verified.Subject
	} else {
		revoked.KeyID = verified.ClientID
	}
	if err := n.Keys.RevokeToken(ctx, by, revoked); err != nil {
		return err
	}
	a.Announce(keystore.Event{
		Kind: keystore.TokenRevoked, By: by.Name, Via: by.Via, Address: by.Address,
		Deployment: revoked.DeploymentID, Key: revoked.KeyID, User: revoked.User, Token: revoked.ID,
	})
	return nil
}

// ErrNotOurs says that a text is no valid access token of this gateway, or one that has expired.
var ErrNotOurs = errors.New("this is not a valid access token of this gateway, or it has expired: there is nothing to revoke")

// RevokeToken ends an access token, whoever's it is. Errors: [ErrNotOurs],
// [keystore.ErrUnavailable], [keystore.ErrLimit].
func (a *App) RevokeToken(ctx context.Context, by keystore.Caller, raw string) error {
	verified, refused := a.revocable(ctx, raw)
	switch {
	case refused != nil:
		return refused.cause
	case verified == nil:
		return ErrNotOurs
	}
	return a.revokeToken(ctx, by, verified)
}
