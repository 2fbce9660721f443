package caddymodule

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
)

// upkeepInterval is how often a node looks for what is due by the time: signing keys to announce, to
// sign with, to remove, revoked tokens that have expired, and keys, where that is configured. All nodes do,
// and the first does it.
const upkeepInterval = time.Minute

// firstUpkeepInterval is how often a store is tried that could not be asked at start: until it was, there may be no
// signing key.
const firstUpkeepInterval = 200 * time.Millisecond

// upkeep does what is due until the configuration ends. begun is whether it was done at start.
func (a *App) upkeep(ctx context.Context, n *node.Node, begun bool) {
	for {
		wait := upkeepInterval
		if !begun {
			wait = firstUpkeepInterval
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if begun {
			a.upkeepOnce(ctx, n)
		} else {
			begun = n.Maintain(ctx, a.signing) == nil
		}
	}
}

func (a *App) upkeepOnce(ctx context.Context, n *node.Node) {
	ctx, cancel := context.WithTimeout(ctx, upkeepInterval/2)
	defer cancel()
	err := n.Maintain(ctx, a.signing)
	_, revoked := n.Keys.PurgeRevokedTokens(ctx)
	_, audit := n.Keys.PurgeAudit(ctx, a.auditRetention)
	err = errors.Join(err, revoked, audit, a.purgeKeys(ctx, n.Keys), n.Keys.CheckClock(ctx))
	if err != nil && ctx.Err() == nil {
		a.faults.Warn("signing keys, revoked tokens and expired keys are not looked after as they should be; it is tried again", zap.Duration("in", upkeepInterval), zap.Error(err))
	}
}

// purgeKeys deletes keys that have been expired for as long as is configured, a part of them at a time.
func (a *App) purgeKeys(ctx context.Context, keys *keystore.Keystore) error {
	if a.PurgeExpiredKeys == nil {
		return nil
	}
	removed, next, err := keys.PurgeExpiredKeys(ctx, time.Duration(*a.PurgeExpiredKeys), a.purgedTo)
	a.purgedTo = next
	if removed > 0 {
		a.logger.Info("expired keys were deleted", zap.Int("keys", removed))
	}
	return err
}

// RotateSigningKey is [node.Node.RotateSigningKey] by this configuration.
func (a *App) RotateSigningKey(ctx context.Context, by keystore.Caller) (keystore.SigningKey, error) {
	n, err := a.node.Now()
	if err != nil {
		return keystore.SigningKey{}, err
	}
	return n.RotateSigningKey(ctx, by, a.signing)
}

// ReplaceSigningKeys is [node.Node.ReplaceSigningKeys] by this configuration.
func (a *App) ReplaceSigningKeys(ctx context.Context, by keystore.Caller) (keystore.SigningKey, error) {
	n, err := a.node.Now()
	if err != nil {
		return keystore.SigningKey{}, err
	}
	return n.ReplaceSigningKeys(ctx, by, a.signing)
}
