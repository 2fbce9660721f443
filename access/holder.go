package access

import (
	"context"
	"errors"
	"time"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// This file says what the holder of a token may do now: what the token says, as far as its key or user still has it.

// Verify is what the token itself says. A token that names a signing key which this node does not
// know may be from another node that has made one. The cause of an invalid_token is an error of
// [token.Verifier.Verify].
func (a *Authority) Verify(ctx context.Context, raw string) (token.Verified, *Refusal) {
	n, err := a.Node.Node(ctx)
	if err != nil {
		return token.Verified{}, Unavailable(err)
	}
	ring, err := n.Ring(ctx, a.MaxStaleness)
	if err != nil {
		return token.Verified{}, Unavailable(err)
	}
	verified, err := a.verifier.Verify(ring, raw)
	if errors.Is(err, token.ErrUnknownKey) {
		if unread := n.ReloadRing(ctx); unread != nil {
			return token.Verified{}, Unavailable(unread)
		}
		if ring, err = n.Ring(ctx, a.MaxStaleness); err != nil {
			return token.Verified{}, Unavailable(err)
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
func (a *Authority) holder(ctx context.Context, verified *token.Verified, deployment string) (id Identity, refused *Refusal) {
	n, err := a.Node.Node(ctx)
	if err != nil {
		return Identity{}, Unavailable(err)
	}
	if verified.ClientID == UserClient {
		if refused = a.userAlive(ctx, n, verified); refused == nil {
			id, refused = a.userIn(ctx, n, verified, deployment)
		}
		if refused != nil {
			refused.User = verified.Subject
		}
		return id, refused
	}
	if id, refused = a.keyHolder(ctx, n, verified); refused != nil {
		refused.Key, refused.KeyDeployment = verified.ClientID, verified.DeploymentID
	}
	return id, refused
}

// keyHolder is the key that a token is of, and what it may do with the token.
func (a *Authority) keyHolder(ctx context.Context, n *node.Node, verified *token.Verified) (Identity, *Refusal) {
	key, err := n.View.Key(ctx, verified.ClientID, a.MaxStaleness)
	if err != nil {
		return Identity{}, keyRefusal(err, errors.Is(err, keystore.ErrNotFound) && a.deploymentGone(ctx, n, verified.DeploymentID))
	}
	if key.DeploymentID != verified.DeploymentID {
		return Identity{}, invalidHolder("the access token and its key are not of the same Deployment")
	}
	now := time.Now()
	if key.Expired(now) {
		return Identity{}, expiredKey(key)
	}
	deployment, err := n.View.Deployment(ctx, key.DeploymentID, a.MaxStaleness)
	if err != nil {
		return Identity{}, deploymentRefusal(err)
	}
	cutoff, err := n.View.Cutoff(ctx, a.MaxStaleness)
	if err != nil {
		return Identity{}, Unavailable(err)
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
func merge(verified *token.Verified, key *keystore.Key, deployment *keystore.Deployment, cutoff *keystore.Cutoff) (Identity, *Refusal) {
	switch {
	case verified.Epochs.All < cutoff.TokenEpoch:
		return Identity{}, revokedRefusal("all access tokens were revoked", cutoff.TokensRevokedAt)
	case verified.Epochs.Deployment < deployment.TokenEpoch:
		return Identity{}, revokedRefusal("all access tokens of the Deployment were revoked", deployment.TokensRevokedAt)
	case verified.Epochs.Key < key.TokenEpoch:
		return Identity{}, revokedRefusal("all access tokens of its key were revoked", key.TokensRevokedAt)
	}
	scopes, err := keystore.ParseScopeText(verified.Scope)
	if err != nil {
		return Identity{}, invalidHolder("the access token is refused: " + err.Error())
	}
	return identityOf(key, scopes&key.Scopes), nil
}

// deploymentGone says why a key is gone. It must not be asked in an outage, where it would only wait
// for the store once more.
func (a *Authority) deploymentGone(ctx context.Context, n *node.Node, id string) bool {
	_, err := n.View.Deployment(ctx, id, a.MaxStaleness)
	return errors.Is(err, keystore.ErrNotFound)
}

// userAlive says whether a user's token was revoked, wherever it is to be used.
func (a *Authority) userAlive(ctx context.Context, n *node.Node, verified *token.Verified) *Refusal {
	cutoff, err := n.View.Cutoff(ctx, a.MaxStaleness)
	if err != nil {
		return Unavailable(err)
	}
	if verified.Epochs.All < cutoff.TokenEpoch {
		return revokedRefusal("all access tokens were revoked", cutoff.TokensRevokedAt)
	}
	return a.revoked(ctx, n, verified)
}

// userIn is what the user of a token may do in a Deployment: what their role there allows.
func (a *Authority) userIn(ctx context.Context, n *node.Node, verified *token.Verified, deploymentID string) (Identity, *Refusal) {
	if deploymentID == "" {
		return Identity{}, Refuse(CodeInsufficientScope, "a user's access token is not accepted here, where a request is of no one Deployment; use that of a key")
	}
	user := verified.Subject
	// What is no ID comes from the request as it is: it must not become the name of a remembered fact.
	if keystore.ValidateDeploymentID(deploymentID) != nil {
		return Identity{}, notMember(user, "this Deployment")
	}
	member, err := n.View.Member(ctx, deploymentID, user, a.MaxStaleness)
	switch {
	case errors.Is(err, keystore.ErrNotFound):
		return Identity{}, notMember(user, "Deployment "+deploymentID)
	case errors.Is(err, keystore.ErrAltered):
		return Identity{}, alteredRefusal("the record of this member was altered; put the member anew", err)
	case err != nil:
		return Identity{}, Unavailable(err)
	}
	deployment, err := n.View.Deployment(ctx, deploymentID, a.MaxStaleness)
	if err != nil {
		return Identity{}, deploymentRefusal(err)
	}
	// The token was not issued for this Deployment, so it cannot have its epoch, and the clocks of two
	// nodes are compared: one that may have been issued before counts as issued before.
	if at := deployment.TokensRevokedAt; !at.IsZero() && !verified.IssuedAt.After(at.Add(token.DefaultLeeway)) {
		return Identity{}, revokedRefusal("all access tokens of the Deployment were revoked", at)
	}
	return Identity{User: user, DeploymentID: deploymentID, Scopes: member.Role.Scopes()}, nil
}

// revoked says whether this one token was revoked.
func (a *Authority) revoked(ctx context.Context, n *node.Node, verified *token.Verified) *Refusal {
	revoked, err := n.View.TokenRevoked(ctx, verified.ID, a.MaxStaleness)
	switch {
	case err != nil:
		return Unavailable(err)
	case revoked:
		return revokedRefusal("it was revoked", time.Time{})
	}
	return nil
}
