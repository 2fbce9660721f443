package keystore

import (
	"context"
	"time"
)

// EarlierSigningKeys puts signing keys into the store as versions did that knew no states.
func (k *Keystore) EarlierSigningKeys(ctx context.Context, keys ...SigningKey) error {
	type earlier struct {
		ID        string    `json:"id"`
		Algorithm string    `json:"algorithm"`
		CreatedAt time.Time `json:"created_at"`
		Sealed    []byte    `json:"sealed"`
	}
	v, err := k.open(ctx)
	if err != nil {
		return err
	}
	sealed := make([]earlier, len(keys))
	for i, key := range keys {
		sealed[i] = earlier{key.ID, key.Algorithm, key.CreatedAt, v.seal(key.ID, key.Private)}
	}
	record, err := encodeRecord(v, signingKeysRecord, sealed)
	if err != nil {
		return err
	}
	return k.store.Apply(ctx, Change{Steps: []Step{{Kind: PutRecord, Name: signingKeysRecord, Value: record}}})
}
