package keystore

import (
	"context"
	"time"
)

// This file gives API keys new secrets. Which secrets a key has, and until when, is in its record, so that
// each node ends the previous one by its own clock, without being told.

// MaxOverlap is how long the previous secret of a key may go on after a rotation.
const MaxOverlap = 7 * 24 * time.Hour

// A KeyRotation says how a key gets a new secret.
type KeyRotation struct {
	// Overlap is for how long the secret of until now goes on working, to the next whole second; 0 ends
	// it at once. At most MaxOverlap.
	Overlap time.Duration

	// RevokeTokens ends the tokens that were issued until now, as [Keystore.RevokeKeyTokens] does, in
	// the same atomic step.
	RevokeTokens bool
}

// RotateKey gives a key a new secret, which can't be had again. All else of the key stays. A key has
// two secrets at most: the one that was the previous one until now ends at once. Errors:
// [ErrInvalid], [ErrNotFound], [ErrAltered].
//
// When the error is [ErrUnavailable], the key may have the new secret, which nobody knows.
func (k *Keystore) RotateKey(ctx context.Context, by Caller, deploymentID, id string, r KeyRotation) (Key, Secret, error) {
	if r.Overlap < 0 || r.Overlap > MaxOverlap {
		return Key{}, Secret{}, invalid("overlap: want a duration from 0s to %dh", int(MaxOverlap.Hours()))
	}
	secret := NewSecret()
	key, err := k.changeKey(ctx, by, KeyRotated, deploymentID, id, func(v *vault, key *Key, event *Event) ([]Step, error) {
		key.endPreviousSecret()
		if r.Overlap > 0 {
			event.set("overlap", r.Overlap.String())
			key.PreviousSecretHash = key.SecretHash
			key.PreviousSecretExpiresAt = k.now().UTC().Add(r.Overlap + time.Second - 1).Truncate(time.Second)
		}
		key.SecretHash = v.hashSecret(id, secret)
		if r.RevokeTokens {
			event.set("revoke_tokens", "true")
			return k.endTokens(key), nil
		}
		return nil, nil
	})
	if err != nil {
		return Key{}, Secret{}, err
	}
	return key, secret, nil
}

// EndPreviousSecret ends the previous secret of a key before its time. Errors: [ErrNotFound], also
// when the key has none; [ErrAltered].
func (k *Keystore) EndPreviousSecret(ctx context.Context, by Caller, deploymentID, id string) error {
	_, err := k.changeKey(ctx, by, KeyPreviousSecretEnded, deploymentID, id, func(_ *vault, key *Key, _ *Event) ([]Step, error) {
		if len(key.PreviousSecretHash) == 0 {
			return nil, &detailError{ErrNotFound, "the key has no previous secret"}
		}
		// Also one whose time is over by the clock of this node: it may not be by that of another.
		key.endPreviousSecret()
		return nil, nil
	})
	return err
}

// HasPreviousSecret reports whether the secret of before the last rotation works at a moment.
func (key *Key) HasPreviousSecret(at time.Time) bool {
	return len(key.PreviousSecretHash) != 0 && at.Before(key.PreviousSecretExpiresAt)
}

func (key *Key) endPreviousSecret() {
	key.PreviousSecretHash, key.PreviousSecretExpiresAt = nil, time.Time{}
}
