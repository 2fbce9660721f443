package keystore

import (
	"context"
	"fmt"
	"time"
)

// A SigningKey is a key with which access tokens are signed, as this package keeps it: sealed
// in the store, for all nodes of the store. What is in it is package token's business.
//
// Its life: it is announced, which is that all who verify tokens may fetch its public part; it
// signs, in place of the one before; it is retired, and verifies the tokens that it signed until
// the last of them has expired; it is removed. All times are of the store's clock.
type SigningKey struct {
	ID        string // kid
	Algorithm string
	CreatedAt time.Time // announced: published
	SignsFrom time.Time // zero: announced, does not sign yet
	RetiredAt time.Time // zero: not retired; then it only verifies

	// MaxLifetime is the longest that a token lives which it signs or has signed.
	MaxLifetime time.Duration

	Private PrivateKey
}

// PrivateKey is an encoded private key. It does not show itself when printed.
type PrivateKey []byte

// String is "[redacted]".
func (PrivateKey) String() string { return redacted }

// GoString is "[redacted]".
func (PrivateKey) GoString() string { return redacted }

// Format writes "[redacted]" for every verb, also for %d, which would print the bytes.
func (PrivateKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText is "[redacted]".
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// A SigningKeyState is where in its life a signing key is.
type SigningKeyState string

// The states of a signing key. Once a store has signing keys, exactly one of them is signing.
const (
	SigningKeyAnnounced SigningKeyState = "announced"
	SigningKeySigning   SigningKeyState = "signing"
	SigningKeyRetired   SigningKeyState = "retired"
)

// SigningKeyNotice is how long a signing key is announced before it signs. Resource servers that
// check tokens themselves, such as Airflow, read the key set once an hour and not again for a key
// that they do not know, so a key that signed earlier would be refused by some of them. The
// other ten minutes are for a node that publishes what it knew, and for a read that failed.
const SigningKeyNotice = 70 * time.Minute

// removalMargin is how much longer a retired key stays than its last token should live. A node that
// is cut off from the store goes on signing with the key that it knows, for as long as its
// max_staleness allows, an hour at most. The minutes are for clocks that differ: how long a token
// lives is counted by the nodes.
const removalMargin = time.Hour + 5*time.Minute

// State is where in its life the key is.
func (k *SigningKey) State() SigningKeyState {
	switch {
	case !k.RetiredAt.IsZero():
		return SigningKeyRetired
	case !k.SignsFrom.IsZero():
		return SigningKeySigning
	}
	return SigningKeyAnnounced
}

// EarliestSigning is when an announced key may sign; zero for another one.
func (k *SigningKey) EarliestSigning() time.Time {
	if k.State() != SigningKeyAnnounced {
		return time.Time{}
	}
	return k.CreatedAt.Add(SigningKeyNotice)
}

// RemovedFrom is when a retired key may be removed: its last token has then expired. Zero for
// another one.
func (k *SigningKey) RemovedFrom() time.Time {
	if k.State() != SigningKeyRetired {
		return time.Time{}
	}
	return k.RetiredAt.Add(k.MaxLifetime + removalMargin)
}

// signingKeysRecord holds all signing keys in one record, oldest first: there are few, and
// every node wants all of them.
const signingKeysRecord = "signing_keys"

// sealedKey is the JSON of one of them.
type sealedKey struct {
	ID          string        `json:"id"`
	Algorithm   string        `json:"algorithm"`
	CreatedAt   time.Time     `json:"created_at"`
	SignsFrom   time.Time     `json:"signs_from,omitzero"`
	RetiredAt   time.Time     `json:"retired_at,omitzero"`
	MaxLifetime time.Duration `json:"max_lifetime,omitempty"` // nanoseconds
	Sealed      []byte        `json:"sealed"`
}

// SigningKeys reads the signing keys, oldest first. A store that has none yet has an empty list.
// Errors: [ErrAltered].
func (k *Keystore) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	keys, _, err := k.signingKeys(ctx, v)
	return keys, err
}

// signingKeys reads the keys, and the record for a change on the condition that it is the same.
func (k *Keystore) signingKeys(ctx context.Context, v *vault) ([]SigningKey, []byte, error) {
	records, err := k.store.Get(ctx, signingKeysRecord)
	if err != nil || records[0] == nil {
		return nil, nil, err
	}
	sealed, err := decodeRecord[[]sealedKey](v, signingKeysRecord, records[0])
	if err != nil {
		return nil, nil, err
	}
	keys := make([]SigningKey, len(sealed))
	for i, s := range sealed {
		private, err := v.unseal(s.ID, s.Sealed)
		if err != nil {
			return nil, nil, err
		}
		keys[i] = SigningKey{
			ID: s.ID, Algorithm: s.Algorithm,
			CreatedAt: s.CreatedAt, SignsFrom: s.SignsFrom, RetiredAt: s.RetiredAt,
			MaxLifetime: s.MaxLifetime, Private: private,
		}
	}
	return keys, records[0], nil
}

// putSigningKeys writes the keys in place of a record, nil for none. Without a kind of event nobody
// hears of it. A record that is another one meanwhile fails condition 0.
func (k *Keystore) putSigningKeys(ctx context.Context, v *vault, by Caller, before []byte, keys []SigningKey, event Event) error {
	sealed := make([]sealedKey, len(keys))
	for i, key := range keys {
		sealed[i] = sealedKey{
			ID: key.ID, Algorithm: key.Algorithm,
			CreatedAt: key.CreatedAt, SignsFrom: key.SignsFrom, RetiredAt: key.RetiredAt,
			MaxLifetime: key.MaxLifetime, Sealed: v.seal(key.ID, key.Private),
		}
	}
	record, err := encodeRecord(v, signingKeysRecord, sealed)
	if err != nil {
		return err
	}
	change := Change{
		Conditions: []Condition{unchanged(signingKeysRecord, before)},
		Steps:      []Step{{Kind: PutRecord, Name: signingKeysRecord, Value: record}},
	}
	if event.Kind == "" {
		return k.store.Apply(ctx, change)
	}
	return k.apply(ctx, v, change, by, event)
}
