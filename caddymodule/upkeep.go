package caddymodule

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

// upkeepInterval is how often a node looks for what is due by the time: signing keys to announce, to
// sign with, to remove, and revoked tokens that have expired. All nodes do, and the first does it.
const upkeepInterval = time.Minute

// upkeep does what is due until the configuration ends.
func (a *App) upkeep(ctx context.Context) {
	ticks := time.NewTicker(upkeepInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			a.upkeepOnce(ctx)
		}
	}
}

func (a *App) upkeepOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, upkeepInterval/2)
	defer cancel()
	_, err := a.signing.read(ctx)
	if keys, absent := a.Keystore(); absent == nil {
		_, purged := keys.PurgeRevokedTokens(ctx)
		err = errors.Join(err, purged, keys.CheckClock(ctx))
	}
	if err != nil && ctx.Err() == nil {
		a.faults.Warn("signing keys and revoked tokens are not looked after as they should be; it is tried again", zap.Duration("in", upkeepInterval), zap.Error(err))
	}
}

// RotateSigningKey announces a new signing key, which signs after [keystore.SigningKeyNotice].
// Errors: [keystore.ErrExists] when one is announced already, [keystore.ErrUnavailable].
func (a *App) RotateSigningKey(ctx context.Context, by keystore.Caller) (keystore.SigningKey, error) {
	keys, err := a.Keystore()
	if err != nil {
		return keystore.SigningKey{}, err
	}
	return keys.RotateSigningKey(ctx, by, a.signing.policy)
}

// ReplaceSigningKeys is for a signing key that leaked: a new one signs at once, and all others are
// gone, with all tokens that were issued so far. Errors: [keystore.ErrUnavailable].
func (a *App) ReplaceSigningKeys(ctx context.Context, by keystore.Caller) (keystore.SigningKey, error) {
	keys, err := a.Keystore()
	if err != nil {
		return keystore.SigningKey{}, err
	}
	return keys.ReplaceSigningKeys(ctx, by, a.signing.policy)
}
