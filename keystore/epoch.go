package keystore

import (
	"context"
	"errors"
	"time"
)

// This file ends tokens many at a time. A token carries the epochs that were current when it was
// issued: of its key, of the Deployment, of all tokens. To end what was issued until now, the epoch
// goes up, and what carries a lower one is dead. No clock is compared with another.

// A Cutoff is the epoch of all tokens of the store, whoever has them.
type Cutoff struct {
	TokenEpoch      uint64    `json:"token_epoch"`       // a token with a lower one is dead
	TokensRevokedAt time.Time `json:"tokens_revoked_at"` // by a node's clock, for people to read
}

const cutoffRecord = "cutoff"

// RevokeKeyTokens ends all tokens that were issued to a key until now. The key lives. Errors:
// [ErrNotFound], [ErrAltered].
func (k *Keystore) RevokeKeyTokens(ctx context.Context, by Caller, deploymentID, id string) error {
	_, err := k.changeKey(ctx, by, KeyTokensRevoked, deploymentID, id, func(_ *vault, key *Key, _ *Event) ([]Step, error) {
		return k.endTokens(key), nil
	})
	return err
}

// endTokens ends what was issued until now, and returns the step that goes with it: the single tokens
// that were revoked are among those that end here. Nobody who knows the new epoch needs to look for them,
// and they do not count for the limit any more.
func (k *Keystore) endTokens(key *Key) []Step {
	key.TokenEpoch, key.TokensRevokedAt = k.nextEpoch(key.TokenEpoch), k.timestamp()
	key.RevokedUntil = time.Time{}
	return []Step{forgetRevokedOf(key.ID)}
}

// RevokeDeploymentTokens ends all tokens that were issued to keys of a Deployment until now. Errors:
// [ErrNotFound], [ErrAltered].
func (k *Keystore) RevokeDeploymentTokens(ctx context.Context, by Caller, deploymentID string) error {
	absent := notFound("Deployment", deploymentID)
	if ValidateDeploymentID(deploymentID) != nil {
		return absent
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = update(ctx, k, v, by, deploymentRecord(deploymentID), absent,
		Event{Kind: DeploymentTokensRevoked, Deployment: deploymentID}, func(d *Deployment, _ *Event) ([]Step, error) {
			d.TokenEpoch = k.nextEpoch(d.TokenEpoch)
			// Users' tokens are held against this time. It must not go back, or a second revocation, by a node whose
			// clock is behind, would bring back what the first has ended.
			if now := k.timestamp(); now.After(d.TokensRevokedAt) {
				d.TokensRevokedAt = now
			}
			return nil, nil
		})
	return err
}

// RevokeAllTokens ends all tokens that were issued until now, to whomever. It also mends a record of
// the cutoff that was altered, as long as which no token is of any use.
func (k *Keystore) RevokeAllTokens(ctx context.Context, by Caller) error {
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return retry(cutoffRecord, func() error {
		cutoff, before, err := k.cutoff(ctx, v)
		if err != nil && !errors.Is(err, ErrAltered) {
			return err
		}
		cutoff.TokenEpoch, cutoff.TokensRevokedAt = k.nextEpoch(cutoff.TokenEpoch), k.timestamp()
		after, err := encodeRecord(v, cutoffRecord, cutoff)
		if err != nil {
			return err
		}
		return k.apply(ctx, v, Change{
			Conditions: []Condition{unchanged(cutoffRecord, before)},
			Steps:      []Step{{Kind: PutRecord, Name: cutoffRecord, Value: after}},
		}, by, Event{Kind: TokensRevoked})
	})
}

// Cutoff reads the epoch of all tokens; it is the zero Cutoff until they are first revoked. Errors:
// [ErrAltered].
func (k *Keystore) Cutoff(ctx context.Context) (Cutoff, error) {
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return Cutoff{}, err
	}
	defer cancel()
	cutoff, _, err := k.cutoff(ctx, v)
	return cutoff, err
}

func (k *Keystore) cutoff(ctx context.Context, v *vault) (Cutoff, []byte, error) {
	records, err := k.store.Get(ctx, cutoffRecord)
	if err != nil || records[0] == nil {
		return Cutoff{}, nil, err
	}
	cutoff, err := decodeRecord[Cutoff](v, cutoffRecord, records[0])
	return cutoff, records[0], err // the record also when it was altered
}
