package caddymodule

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

// upkeepInterval is how often a node looks for what is due by the time: signing keys to announce, to
// sign with, to remove, revoked tokens that have expired, and keys, where that is configured. All nodes do,
// and the first does it.
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
		err = errors.Join(err, purged, a.purgeKeys(ctx, keys), keys.CheckClock(ctx))
	}
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
