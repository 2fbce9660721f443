package caddymodule

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// This file is what the handlers ask of the app: to whom a credential belongs, and a token for it.
// It brings together what a token says (package token) and what is known of its key (package
// keystore), and knows nothing of requests.

// authenticate is the key that a key ID and a secret are of.
func (a *App) authenticate(ctx context.Context, id, secret string) (*keystore.Key, error) {
	n, err := a.opened(ctx)
	if err != nil {
		return nil, err
	}
	return n.view.Authenticate(ctx, id, secret, a.maxStaleness)
}

// audienceFor is the audience of a token for which that one was asked, or none.
func (a *App) audienceFor(asked string) (string, bool) {
	if asked == "" {
		return a.Audiences[0], true
	}
	return asked, slices.Contains(a.Audiences, asked)
}

// issue makes the access token of a key that has authenticated itself.
func (a *App) issue(ctx context.Context, key *keystore.Key, audience string, scopes keystore.Scopes) (string, error) {
	ring, err := a.signing.ring(ctx)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return ring.Sign(token.Claims{
		Issuer:       a.issuer,
		Subject:      key.ID,
		Audience:     audience,
		ID:           token.NewID(),
		ClientID:     key.ID,
		Scope:        scopes.String(),
		DeploymentID: key.DeploymentID,
		Permissions:  []string{"deploymentId:" + key.DeploymentID}, // the Astro CLI reads it
		IssuedAt:     now,
		ExpiresAt:    now.Add(a.tokenLifetime),
	})
}

// identify says who a credential is of, and what they may do at this moment.
func (a *App) identify(ctx context.Context, cred credential) (identity, *refusal) {
	if cred.secret != "" {
		key, err := a.authenticate(ctx, cred.keyID, cred.secret)
		if err != nil {
			return identity{}, basicRefusal(err)
		}
		return identity{key.ID, key.DeploymentID, key.Scopes}, nil
	}
	claims, refused := a.verify(ctx, cred)
	if refused != nil {
		return identity{}, refused
	}
	n, err := a.opened(ctx)
	if err != nil {
		return identity{}, unavailable(err)
	}
	key, err := n.view.Key(ctx, claims.ClientID, a.maxStaleness)
	if err != nil {
		refused := keyRefusal(err, errors.Is(err, keystore.ErrNotFound) && a.deploymentGone(ctx, n, claims.DeploymentID))
		refused.keyID = claims.ClientID
		return identity{}, refused
	}
	id, refused := merge(claims, key)
	if refused != nil {
		refused.keyID = claims.ClientID
	}
	return id, refused
}

// deploymentGone says why a key is gone. It must not be asked in an outage, where it would only wait
// for the store once more.
func (a *App) deploymentGone(ctx context.Context, n *node, id string) bool {
	_, err := n.view.Deployment(ctx, id, a.maxStaleness)
	return errors.Is(err, keystore.ErrNotFound)
}

// merge is who a token is of and what they may do: what the token says, as far as its key still
// has it.
func merge(claims *token.Verified, key *keystore.Key) (identity, *refusal) {
	if key.DeploymentID != claims.DeploymentID {
		return identity{}, refuse(codeInvalidToken, "the access token and its key are not of the same Deployment")
	}
	scopes, err := keystore.ParseScopeText(claims.Scope)
	if err != nil {
		return identity{}, refuse(codeInvalidToken, "the access token is refused: "+err.Error())
	}
	return identity{key.ID, key.DeploymentID, scopes & key.Scopes}, nil
}

// verify is what the token itself says. A token that names a signing key which this node does
// not know may be from another node that has made one.
func (a *App) verify(ctx context.Context, cred credential) (*token.Verified, *refusal) {
	ring, err := a.signing.ring(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	verified, err := a.verifier.Verify(ring, cred.bearer)
	if errors.Is(err, token.ErrUnknownKey) {
		if unread := a.signing.reload(ctx); unread != nil {
			return nil, unavailable(unread)
		}
		if ring, err = a.signing.ring(ctx); err != nil {
			return nil, unavailable(err)
		}
		verified, err = a.verifier.Verify(ring, cred.bearer)
	}
	if err != nil {
		if malformed := cred.malformedBearer(); malformed != nil {
			return nil, malformed
		}
		return nil, tokenRefusal(err)
	}
	return verified, nil
}
