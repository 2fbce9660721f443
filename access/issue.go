package access

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// This file issues access tokens.

// AudienceFor is the audience of a token for which that one was asked, or none.
func (a *Authority) AudienceFor(asked string) (string, bool) {
	if asked == "" {
		return a.Audiences[0], true
	}
	return asked, slices.Contains(a.Audiences, asked)
}

// Issue makes the access token of a key that has authenticated itself, and says for how long it is
// valid: never longer than the key.
func (a *Authority) Issue(ctx context.Context, key *keystore.Key, audience string, scopes keystore.Scopes) (string, time.Duration, *Refusal) {
	raw, lifetime, err := a.issue(ctx, key, audience, scopes)
	if err != nil {
		return "", 0, clientRefusal(err, key.ID)
	}
	return raw, lifetime, nil
}

// issue is Issue. The error is [keystore.ErrCredentials] when the key was deleted since, with its Deployment, and
// [keystore.ErrExpired] when its time came since.
func (a *Authority) issue(ctx context.Context, key *keystore.Key, audience string, scopes keystore.Scopes) (string, time.Duration, error) {
	n, err := a.Node.Node(ctx)
	if err != nil {
		return "", 0, err
	}
	cutoff, err := n.View.Cutoff(ctx, a.MaxStaleness)
	if err != nil {
		return "", 0, err
	}
	deployment, err := a.deploymentOf(ctx, n, key)
	if err != nil {
		return "", 0, err
	}
	now := time.Now()
	if key.Expired(now) {
		return "", 0, key.ExpiryError()
	}
	expires := now.Add(a.TokenLifetime)
	if !key.ExpiresAt.IsZero() && key.ExpiresAt.Before(expires) {
		expires = key.ExpiresAt
	}
	raw, err := a.sign(ctx, token.Claims{
		Subject:      key.ID,
		Audience:     audience,
		ClientID:     key.ID,
		Scope:        scopes.String(),
		DeploymentID: key.DeploymentID,
		Permissions:  []string{"deploymentId:" + key.DeploymentID}, // the Astro CLI reads it
		Epochs:       token.Epochs{Key: key.TokenEpoch, Deployment: deployment.TokenEpoch, All: cutoff.TokenEpoch},
		IssuedAt:     now,
		ExpiresAt:    expires,
	})
	return raw, expires.Sub(now), err
}

// AcceptableUser refuses names that could be taken for somebody else's: that of a key, in sub, or
// another user's, in a header whose ends are trimmed on the way.
func AcceptableUser(user string) error {
	switch {
	case keystore.IsKeyID(user), user == UserClient:
		return errors.New("the name of the user is one that keys and clients have")
	case strings.TrimSpace(user) != user:
		return errors.New("the name of the user begins or ends with a space")
	}
	return keystore.ValidateUser(user)
}

// IssueForUser makes the access token of a user. It names no Deployment and no scope: what it may do
// is the user's role in the Deployment of each request.
func (a *Authority) IssueForUser(ctx context.Context, user string) (string, error) {
	n, err := a.Node.Node(ctx)
	if err != nil {
		return "", err
	}
	cutoff, err := n.View.Cutoff(ctx, a.MaxStaleness)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return a.sign(ctx, token.Claims{
		Subject:   user,
		Audience:  a.Audiences[0],
		ClientID:  UserClient,
		Epochs:    token.Epochs{All: cutoff.TokenEpoch},
		IssuedAt:  now,
		ExpiresAt: now.Add(a.UserTokenLifetime),
	})
}

// sign completes the claims of a new token. This node caches it, so that the client that has just got it pays for no
// check of a signature here.
func (a *Authority) sign(ctx context.Context, claims token.Claims) (string, error) {
	ring, err := a.Ring(ctx)
	if err != nil {
		return "", err
	}
	claims.Issuer, claims.ID = a.Issuer, token.NewID()
	return a.verifier.Issue(ring, claims)
}

// IssueUpstream makes a token by which the gateway acts for somebody at an upstream.
func (a *Authority) IssueUpstream(ctx context.Context, id *Identity, audience, role string, lifetime time.Duration) (string, error) {
	ring, err := a.Ring(ctx)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return ring.SignUpstream(token.UpstreamClaims{
		Issuer: a.Issuer, Subject: id.Name(), Audience: audience, Role: role, IssuedAt: now, ExpiresAt: now.Add(lifetime),
	})
}

// Ring returns the signing keys, as far as this node knows them. The error wraps [keystore.ErrUnavailable].
func (a *Authority) Ring(ctx context.Context) (*token.Ring, error) {
	n, err := a.Node.Node(ctx)
	if err != nil {
		return nil, err
	}
	return n.Ring(ctx, a.MaxStaleness)
}
