package keystore

import (
	"context"
	"time"
)

// A SigningKey is a key with which access tokens are signed, as this package keeps it: sealed
// in the store, for all nodes of the store. What is in it is package token's business.
type SigningKey struct {
	ID        string // kid
	Algorithm string
	CreatedAt time.Time
	Private   PrivateKey
}

// PrivateKey is an encoded private key. It does not show itself when printed.
type PrivateKey []byte

// String is "[redacted]".
func (PrivateKey) String() string { return redacted }

// GoString is "[redacted]".
func (PrivateKey) GoString() string { return redacted }

// MarshalText is "[redacted]".
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// signingKeysRecord holds all signing keys in one record, oldest first: there are few, and
// every node wants all of them.
const signingKeysRecord = "signing_keys"

// sealedKey is the JSON of one of them.
type sealedKey struct {
	ID        string    `json:"id"`
	Algorithm string    `json:"algorithm"`
	CreatedAt time.Time `json:"created_at"`
	Sealed    []byte    `json:"sealed"`
}

// SigningKeys reads the signing keys, oldest first. A store that has none yet has an empty list.
func (k *Keystore) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	keys, _, err := k.signingKeys(ctx, v)
	return keys, err
}

// EnsureSigningKey reads the signing keys, and adds the one that generate makes when none of
// them is of the algorithm. Of several nodes that do so at once, one adds its key and the
// others get that one.
func (k *Keystore) EnsureSigningKey(ctx context.Context, algorithm string, generate func() (SigningKey, error)) ([]SigningKey, error) {
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	var keys []SigningKey
	err = retry(signingKeysRecord, func() error {
		var before []byte
		var err error
		keys, before, err = k.signingKeys(ctx, v)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if key.Algorithm == algorithm {
				return nil
			}
		}
		key, err := generate()
		if err != nil {
			return err
		}
		keys = append(keys, key)
		record, err := encodeRecord(v, signingKeysRecord, sealKeys(v, keys))
		if err != nil {
			return err
		}
		unchanged := Condition{Kind: RecordAbsent, Name: signingKeysRecord}
		if before != nil {
			unchanged = Condition{Kind: RecordEquals, Name: signingKeysRecord, Value: before}
		}
		return k.apply(ctx, Change{
			Conditions: []Condition{unchanged},
			Steps:      []Step{{Kind: PutRecord, Name: signingKeysRecord, Value: record}},
		}, gatewayCaller, Event{Kind: SigningKeyAdded, Key: key.ID})
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

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
		keys[i] = SigningKey{ID: s.ID, Algorithm: s.Algorithm, CreatedAt: s.CreatedAt, Private: private}
	}
	return keys, records[0], nil
}

func sealKeys(v *vault, keys []SigningKey) []sealedKey {
	sealed := make([]sealedKey, len(keys))
	for i, key := range keys {
		sealed[i] = sealedKey{ID: key.ID, Algorithm: key.Algorithm, CreatedAt: key.CreatedAt, Sealed: v.seal(key.ID, key.Private)}
	}
	return sealed
}
