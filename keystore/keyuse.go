package keystore

import (
	"bytes"
	"context"
	"net/netip"
	"time"
)

// This file is when API keys were last used. That is a record of its own for each key that was: the key's
// record is what every node has in memory, and must not change with every use.

// A KeyUse is when a key was last used, and from which address. Times are in whole seconds of UTC, by the
// clock of the node that was asked; zero is never. An address may be unknown where its time is not.
type KeyUse struct {
	ID string `json:"id"` // of the key

	// The last access token that the key got.
	TokenAt      time.Time  `json:"token_at,omitzero"`
	TokenAddress netip.Addr `json:"token_address,omitzero"`

	// The last request that was accepted with a token of the key, or with its secret.
	RequestAt      time.Time  `json:"request_at,omitzero"`
	RequestAddress netip.Addr `json:"request_address,omitzero"`

	// When the previous secret was last used, and which one that was: a rotation makes another one the
	// previous. See [KeyUse.PreviousSecretOf].
	PreviousSecretAt   time.Time `json:"previous_secret_at,omitzero"`
	PreviousSecretHash []byte    `json:"previous_secret_hash,omitempty"` // [Key].PreviousSecretHash
}

// usesAtOnce is how many keys one atomic step of [Keystore.RecordKeyUses] is for.
const usesAtOnce = 100

// usedIndex has the keys of a Deployment that have a record of their use, so that the record ends with
// the Deployment.
func usedRecord(keyID string) string       { return "used/" + keyID }
func usedIndex(deploymentID string) string { return "used/" + deploymentID }

// LastAt is when the key was last used in either way.
func (u *KeyUse) LastAt() time.Time {
	if u.TokenAt.After(u.RequestAt) {
		return u.TokenAt
	}
	return u.RequestAt
}

// PreviousSecretOf is when the secret was last used that is the previous one of the key now; zero is that
// it was not since it became the previous one, or that the key has none.
func (u *KeyUse) PreviousSecretOf(key *Key) time.Time {
	if len(key.PreviousSecretHash) == 0 || !bytes.Equal(u.PreviousSecretHash, key.PreviousSecretHash) {
		return time.Time{}
	}
	return u.PreviousSecretAt
}

// RecordKeyUses keeps when keys were used, some hundred keys in an atomic step. Each is named once. It goes
// only forward: of what is there and what comes, the later stays, whichever node writes first. What is no
// later than what is there costs no write. A key that is gone, or whose record was altered, is passed over.
// No event is left: there is nothing that anybody has to hear of.
//
// With an error, which wraps [ErrUnavailable], come the uses that may not be recorded; to record one twice
// does no harm.
func (k *Keystore) RecordKeyUses(ctx context.Context, uses []KeyUse) (rest []KeyUse, err error) {
	for len(uses) > 0 {
		batch := uses[:min(len(uses), usesAtOnce)]
		if err := k.recordUses(ctx, batch); err != nil {
			return uses, err
		}
		uses = uses[len(batch):]
	}
	return nil, nil
}

func (k *Keystore) recordUses(ctx context.Context, uses []KeyUse) error {
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return retry(usedRecord(uses[0].ID), func() error {
		change, err := k.changeOfUses(ctx, v, uses)
		if err != nil || len(change.Steps) == 0 {
			return err
		}
		return k.store.Apply(ctx, change)
	})
}

// changeOfUses reads what is there, and makes of it what is to be. It is made only if each key still exists:
// a key that is deleted meanwhile must not leave this behind.
func (k *Keystore) changeOfUses(ctx context.Context, v *vault, uses []KeyUse) (Change, error) {
	names := make([]string, 0, 2*len(uses))
	for i := range uses {
		names = append(names, keyRecord(uses[i].ID), usedRecord(uses[i].ID))
	}
	records, err := k.store.Get(ctx, names...)
	if err != nil {
		return Change{}, err
	}
	var change Change
	for i := range uses {
		keyName, keyBefore := names[2*i], records[2*i]
		name, before := names[2*i+1], records[2*i+1]
		if keyBefore == nil {
			continue
		}
		key, err := decodeRecord[Key](v, keyName, keyBefore)
		if err != nil {
			continue // nothing can have been done with it
		}
		var use KeyUse
		if before != nil {
			// One that was altered is written anew: nothing is lost by that but a time.
			use, _ = decodeRecord[KeyUse](v, name, before)
		}
		use.ID = key.ID
		use.forward(&uses[i], &key)
		after, err := encodeRecord(v, name, use)
		if err != nil {
			return Change{}, err
		}
		if use.LastAt().IsZero() && use.PreviousSecretAt.IsZero() || bytes.Equal(before, after) {
			continue
		}
		change.Conditions = append(change.Conditions, Condition{Kind: RecordExists, Name: keyName}, unchanged(name, before))
		change.Steps = append(change.Steps,
			Step{Kind: PutRecord, Name: name, Value: after},
			Step{Kind: AddMember, Name: usedIndex(key.DeploymentID), Member: key.ID})
	}
	return change, nil
}

// forward takes over what is later in another use of the same key. Of previous secrets only that counts
// which is the previous one now: a node that has not heard of a rotation may tell of an older one.
func (u *KeyUse) forward(other *KeyUse, key *Key) {
	later := func(at *time.Time, address *netip.Addr, otherAt time.Time, otherAddress netip.Addr) {
		if otherAt = otherAt.UTC().Truncate(time.Second); otherAt.After(*at) {
			*at, *address = otherAt, otherAddress
		}
	}
	later(&u.TokenAt, &u.TokenAddress, other.TokenAt, other.TokenAddress)
	later(&u.RequestAt, &u.RequestAddress, other.RequestAt, other.RequestAddress)

	at := u.PreviousSecretOf(key)
	if otherAt := other.PreviousSecretOf(key).UTC().Truncate(time.Second); otherAt.After(at) {
		at = otherAt
	}
	u.PreviousSecretAt, u.PreviousSecretHash = at, nil
	if !at.IsZero() {
		u.PreviousSecretHash = key.PreviousSecretHash
	}
}

// KeyUses reads when keys were last used, at most [MaxPage], in the order of their IDs as given: one that
// never was, or is none, has only its ID. altered names the records that are not as this product wrote
// them; they say nothing, and the next use writes them anew.
func (k *Keystore) KeyUses(ctx context.Context, ids ...string) (uses []KeyUse, altered []string, err error) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer cancel()
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = usedRecord(id)
	}
	records, err := k.store.Get(ctx, names...)
	if err != nil {
		return nil, nil, err
	}
	uses = make([]KeyUse, len(ids))
	for i, record := range records {
		if record != nil {
			use, err := decodeRecord[KeyUse](v, names[i], record)
			if err != nil {
				altered = append(altered, names[i])
			}
			uses[i] = use
		}
		uses[i].ID = ids[i]
	}
	return uses, altered, nil
}
