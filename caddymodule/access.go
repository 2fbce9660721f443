package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// This file is what the handlers ask of the app: to whom a credential belongs, and a token for it.
// It brings together what a token says (package token) and what is known of its key or user (package
// keystore), and knows nothing of requests.

// userClient is the client_id of a token that a user has asked for: the client is this product, in
// the user's name. It is no key ID, and nobody of that name gets a token, so it never is the sub of
// a token (RFC 9068 section 5).
const userClient = "deployment-keys-user"

// authenticate is the key that a key ID and a secret are of, wherever from: see [identity.comeFrom]. It
// also says whether it was the previous secret. A key whose Deployment is gone, or was altered, is none:
// who can write the store may have kept its record from ending with the Deployment.
func (a *App) authenticate(ctx context.Context, id, secret string) (key *keystore.Key, isPrevious bool, err error) {
	n, err := a.node.Node(ctx)
	if err != nil {
		return nil, false, err
	}
	if key, isPrevious, err = n.View.Authenticate(ctx, id, secret, a.maxStaleness); err != nil {
		return nil, false, err
	}
	if _, err = a.deploymentOf(ctx, n, key); err != nil {
		return nil, false, err
	}
	return key, isPrevious, nil
}

// deploymentOf is the Deployment of a key that has authenticated itself. The error is
// [keystore.ErrCredentials] when it was deleted.
func (a *App) deploymentOf(ctx context.Context, n *node.Node, key *keystore.Key) (*keystore.Deployment, error) {
	deployment, err := n.View.Deployment(ctx, key.DeploymentID, a.maxStaleness)
	if errors.Is(err, keystore.ErrNotFound) {
		return nil, keystore.ErrCredentials
	}
	return deployment, err
}

// used notes for what a key was used, by a request that was accepted, in a second of Unix time.
func (a *App) used(key *keystore.Key, kind node.Use, second int64, r *http.Request) {
	if n, err := a.node.Now(); err == nil && !n.Used(key, kind, second) {
		n.RecordUse(key, kind, second, clientIP(r))
	}
}

// ring is the signing keys, as far as this node knows them.
func (a *App) ring(ctx context.Context) (*token.Ring, error) {
	n, err := a.node.Node(ctx)
	if err != nil {
		return nil, err
	}
	return n.Ring(ctx, a.maxStaleness)
}

// audienceFor is the audience of a token for which that one was asked, or none.
func (a *App) audienceFor(asked string) (string, bool) {
	if asked == "" {
		return a.Audiences[0], true
	}
	return asked, slices.Contains(a.Audiences, asked)
}

// issue makes the access token of a key that has authenticated itself, and says for how long it is
// valid: never longer than the key. The error is [keystore.ErrCredentials] when the key was deleted
// since, with its Deployment, and [keystore.ErrExpired] when its time came since.
func (a *App) issue(ctx context.Context, key *keystore.Key, audience string, scopes keystore.Scopes) (string, time.Duration, error) {
	n, err := a.node.Node(ctx)
	if err != nil {
		return "", 0, err
	}
	cutoff, err := n.View.Cutoff(ctx, a.maxStaleness)
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
	expires := now.Add(a.tokenLifetime)
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

// issueForUser makes the access token of a user. It names no Deployment and no scope: what it may do
// is the user's role in the Deployment of each request.
func (a *App) issueForUser(ctx context.Context, user string) (string, error) {
	n, err := a.node.Node(ctx)
	if err != nil {
		return "", err
	}
	cutoff, err := n.View.Cutoff(ctx, a.maxStaleness)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return a.sign(ctx, token.Claims{
		Subject:   user,
		Audience:  a.Audiences[0],
		ClientID:  userClient,
		Epochs:    token.Epochs{All: cutoff.TokenEpoch},
		IssuedAt:  now,
		ExpiresAt: now.Add(a.userTokenLifetime),
	})
}

// sign completes the claims of a new token.
func (a *App) sign(ctx context.Context, claims token.Claims) (string, error) {
	ring, err := a.ring(ctx)
	if err != nil {
		return "", err
	}
	claims.Issuer, claims.ID = a.issuer, token.NewID()
	return ring.Sign(claims)
}

// identify says who a credential is of, and what they may do at this moment. deployment is the one
// that the request is for; a user may do in it what their role there allows. Where the request comes
// from is held against what is found here by [identity.comeFrom].
func (a *App) identify(ctx context.Context, cred credential, deployment string) (identity, *refusal) {
	if cred.secret != "" {
		key, isPrevious, err := a.authenticate(ctx, cred.keyID, cred.secret)
		if err != nil {
			return identity{}, basicRefusal(err, cred.keyID)
		}
		id := identityOf(key, key.Scopes)
		id.checkedAt, id.previousSecret = time.Now().Unix(), isPrevious
		return id, nil
	}
	verified, refused := a.prove(ctx, cred.bearer)
	if refused != nil {
		if malformed := cred.malformedBearer(); malformed != nil && refused.code == codeInvalidToken {
			return identity{}, malformed
		}
		return identity{}, refused
	}
	return a.holder(ctx, &verified, deployment)
}

// prove is what the token itself says. A token that names a signing key which this node does not
// know may be from another node that has made one. The cause of an invalid_token is an error of
// [token.Verifier.Verify].
func (a *App) prove(ctx context.Context, raw string) (token.Verified, *refusal) {
	n, err := a.node.Node(ctx)
	if err != nil {
		return token.Verified{}, unavailable(err)
	}
	ring, err := n.Ring(ctx, a.maxStaleness)
	if err != nil {
		return token.Verified{}, unavailable(err)
	}
	verified, err := a.verifier.Verify(ring, raw)
	if errors.Is(err, token.ErrUnknownKey) {
		if unread := n.ReloadRing(ctx); unread != nil {
			return token.Verified{}, unavailable(unread)
		}
		if ring, err = n.Ring(ctx, a.maxStaleness); err != nil {
			return token.Verified{}, unavailable(err)
		}
		verified, err = a.verifier.Verify(ring, raw)
	}
	if err != nil {
		return token.Verified{}, tokenRefusal(err)
	}
	return verified, nil
}

// holder is who a proven token is of, and what they may do at this moment in a Deployment, if it
// was not revoked in any way. Of a key's token the answer is for the key's Deployment, whichever was
// asked for.
func (a *App) holder(ctx context.Context, verified *token.Verified, deployment string) (id identity, refused *refusal) {
	n, err := a.node.Node(ctx)
	if err != nil {
		return identity{}, unavailable(err)
	}
	if verified.ClientID == userClient {
		if refused = a.userAlive(ctx, n, verified); refused == nil {
			id, refused = a.userIn(ctx, n, verified, deployment)
		}
		if refused != nil {
			refused.user = verified.Subject
		}
		return id, refused
	}
	if id, refused = a.keyHolder(ctx, n, verified); refused != nil {
		refused.keyID, refused.keyDeploymentID = verified.ClientID, verified.DeploymentID
	}
	return id, refused
}

// keyHolder is the key that a token is of, and what it may do with the token.
func (a *App) keyHolder(ctx context.Context, n *node.Node, verified *token.Verified) (identity, *refusal) {
	key, err := n.View.Key(ctx, verified.ClientID, a.maxStaleness)
	if err != nil {
		return identity{}, keyRefusal(err, errors.Is(err, keystore.ErrNotFound) && a.deploymentGone(ctx, n, verified.DeploymentID))
	}
	if key.DeploymentID != verified.DeploymentID {
		return identity{}, invalidHolder("the access token and its key are not of the same Deployment")
	}
	now := time.Now()
	if key.Expired(now) {
		return identity{}, expiredKey(key)
	}
	deployment, err := n.View.Deployment(ctx, key.DeploymentID, a.maxStaleness)
	if err != nil {
		return identity{}, deploymentRefusal(err)
	}
	cutoff, err := n.View.Cutoff(ctx, a.maxStaleness)
	if err != nil {
		return identity{}, unavailable(err)
	}
	id, refused := merge(verified, key, deployment, cutoff)
	id.checkedAt = now.Unix()
	// Most keys never have a token revoked: for theirs nothing more is asked.
	if refused == nil && !key.RevokedUntil.IsZero() && time.Now().Before(key.RevokedUntil) {
		refused = a.revoked(ctx, n, verified)
	}
	return id, refused
}

// merge is who a token is of and what they may do: what the token says, as far as its key still has
// it, unless it is of before a revocation. Of several revocations the latest counts: a token has to
// be of after each.
func merge(verified *token.Verified, key *keystore.Key, deployment *keystore.Deployment, cutoff *keystore.Cutoff) (identity, *refusal) {
	switch {
	case verified.Epochs.All < cutoff.TokenEpoch:
		return identity{}, revokedRefusal("all access tokens were revoked", cutoff.TokensRevokedAt)
	case verified.Epochs.Deployment < deployment.TokenEpoch:
		return identity{}, revokedRefusal("all access tokens of the Deployment were revoked", deployment.TokensRevokedAt)
	case verified.Epochs.Key < key.TokenEpoch:
		return identity{}, revokedRefusal("all access tokens of its key were revoked", key.TokensRevokedAt)
	}
	scopes, err := keystore.ParseScopeText(verified.Scope)
	if err != nil {
		return identity{}, invalidHolder("the access token is refused: " + err.Error())
	}
	return identityOf(key, scopes&key.Scopes), nil
}

// deploymentGone says why a key is gone. It must not be asked in an outage, where it would only wait
// for the store once more.
func (a *App) deploymentGone(ctx context.Context, n *node.Node, id string) bool {
	_, err := n.View.Deployment(ctx, id, a.maxStaleness)
	return errors.Is(err, keystore.ErrNotFound)
}

// userAlive says whether a user's token was revoked, wherever it is to be used.
func (a *App) userAlive(ctx context.Context, n *node.Node, verified *token.Verified) *refusal {
	cutoff, err := n.View.Cutoff(ctx, a.maxStaleness)
	if err != nil {
		return unavailable(err)
	}
	if verified.Epochs.All < cutoff.TokenEpoch {
		return revokedRefusal("all access tokens were revoked", cutoff.TokensRevokedAt)
	}
	return a.revoked(ctx, n, verified)
}

// userIn is what the user of a token may do in a Deployment: what their role there allows.
func (a *App) userIn(ctx context.Context, n *node.Node, verified *token.Verified, deploymentID string) (identity, *refusal) {
	if deploymentID == "" {
		return identity{}, refuse(codeInsufficientScope, "a user's access token is not accepted here, where a request is of no one Deployment; use that of a key")
	}
	user := verified.Subject
	// What is no ID comes from the request as it is: it must not become the name of a remembered fact.
	if keystore.ValidateDeploymentID(deploymentID) != nil {
		return identity{}, notMember(user, "this Deployment")
	}
	member, err := n.View.Member(ctx, deploymentID, user, a.maxStaleness)
	switch {
	case errors.Is(err, keystore.ErrNotFound):
		return identity{}, notMember(user, "Deployment "+deploymentID)
	case errors.Is(err, keystore.ErrAltered):
		return identity{}, alteredRefusal("the record of this member was altered; put the member anew", err)
	case err != nil:
		return identity{}, unavailable(err)
	}
	deployment, err := n.View.Deployment(ctx, deploymentID, a.maxStaleness)
	if err != nil {
		return identity{}, deploymentRefusal(err)
	}
	// The token was not issued for this Deployment, so it cannot have its epoch, and the clocks of two
	// nodes are compared: one that may have been issued before counts as issued before.
	if at := deployment.TokensRevokedAt; !at.IsZero() && !verified.IssuedAt.After(at.Add(token.DefaultLeeway)) {
		return identity{}, revokedRefusal("all access tokens of the Deployment were revoked", at)
	}
	return identity{user: user, deploymentID: deploymentID, scopes: member.Role.Scopes()}, nil
}

// revoked says whether this one token was revoked.
func (a *App) revoked(ctx context.Context, n *node.Node, verified *token.Verified) *refusal {
	revoked, err := n.View.TokenRevoked(ctx, verified.ID, a.maxStaleness)
	switch {
	case err != nil:
		return unavailable(err)
	case revoked:
		return revokedRefusal("it was revoked", time.Time{})
	}
	return nil
}
