package access

import (
	"context"
	"errors"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// revocable is what a token says that can be revoked; nil is that there is nothing to revoke. It need
// not be good for anything here and now: another gateway may be configured for another audience, or
// have a clock that is ahead.
func (a *Authority) revocable(ctx context.Context, raw string) (*token.Verified, *Refusal) {
	verified, refused := a.Verify(ctx, raw)
	switch {
	case refused == nil:
		return &verified, nil
	case refused.Code == CodeUnavailable:
		return nil, refused
	case errors.Is(refused.Cause, token.ErrExpired):
		return nil, nil
	}
	refusedToken, _ := token.ProvenToken(refused.Cause)
	return refusedToken, nil
}

// revokeToken ends a token that was proven.
func (a *Authority) revokeToken(ctx context.Context, by keystore.Caller, verified *token.Verified) error {
	n, err := a.Node.Node(ctx)
	if err != nil {
		return err
	}
	// A client that does it again and again does not keep the store busy.
	if already, err := n.View.TokenRevoked(ctx, verified.ID, a.MaxStaleness); err == nil && already {
		return nil
	}
	revoked := keystore.RevokedToken{ID: verified.ID, DeploymentID: verified.DeploymentID, ExpiresAt: verified.ExpiresAt}
	if verified.ClientID == UserClient {
		revoked.User = verified.Subject
	} else {
		revoked.KeyID = verified.ClientID
	}
	return n.Keys.RevokeToken(ctx, by, revoked)
}

// RevokeOwn is RFC 7009: a client ends one of its own access tokens. One that is dead anyway, or none of this
// gateway, is no error (section 2.2). client is a key, or nil for a user, who has no client credentials and
// ends their own tokens as the public client deployment-keys-user (section 2.1): who holds the token could use it
// anyway.
func (a *Authority) RevokeOwn(ctx context.Context, client *keystore.Key, address, raw string) *Refusal {
	by := keystore.Caller{Name: UserClient, Address: address, Via: keystore.ViaOAuth}
	if client != nil {
		by.Name = client.ID
	}
	verified, refused := a.revocable(ctx, raw)
	switch {
	case refused != nil:
		return refused
	case verified == nil:
		return nil
	case verified.ClientID != by.Name:
		return Refuse(CodeUnauthorizedClient, "the token was issued to another client, and was not revoked")
	}
	if client == nil {
		by.Name = verified.Subject
	}
	if err := a.revokeToken(ctx, by, verified); err != nil {
		return revocationRefusal(err)
	}
	return nil
}

// ErrNotOurs says that a text is no valid access token of this gateway, or one that has expired.
var ErrNotOurs = errors.New("this is not a valid access token of this gateway, or it has expired: there is nothing to revoke")

// RevokeToken ends an access token, whoever's it is. Errors: [ErrNotOurs],
// [keystore.ErrUnavailable], [keystore.ErrLimit].
func (a *Authority) RevokeToken(ctx context.Context, by keystore.Caller, raw string) error {
	verified, refused := a.revocable(ctx, raw)
	switch {
	case refused != nil:
		return refused.Cause
	case verified == nil:
		return ErrNotOurs
	}
	return a.revokeToken(ctx, by, verified)
}
