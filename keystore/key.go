package keystore

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"time"
)

// A Key is an API key of a Deployment, without its secret.
type Key struct {
	ID           string    `json:"id"` // the OAuth client_id, see [IsKeyID]
	DeploymentID string    `json:"deployment_id"`
	Name         string    `json:"name"`
	Description  string    `json:"description,omitempty"`
	Scopes       Scopes    `json:"scopes"`
	CreatedAt    time.Time `json:"created_at"`
	CreatedBy    string    `json:"created_by"`

	// TokenEpoch counts how often all tokens of the key were revoked: a token with a lower one is dead.
	// TokensRevokedAt is when that was last, by a node's clock, for people to read.
	TokenEpoch      uint64    `json:"token_epoch,omitempty"`
	TokensRevokedAt time.Time `json:"tokens_revoked_at,omitzero"`

	// RevokedUntil is when the last of the single tokens expires that were revoked. Later than that,
	// and when it is zero, no token of the key needs to be looked up. Whoever accepts a token for a
	// while after it has expired has to add that while.
	RevokedUntil time.Time `json:"revoked_until,omitzero"`

	// ExpiresAt is when the key and its tokens end, by the clock of each node, in whole seconds; zero is
	// never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`

	// AllowedIPs are the addresses from which the key, its secret and its tokens may be used.
	AllowedIPs AllowedIPs `json:"allowed_ips,omitempty"`

	// SecretHash is the keyed hash of the secret. It stays in the store and in this package's
	// records: no answer shows it.
	SecretHash []byte `json:"secret_hash"`

	// PreviousSecretHash is that of the secret of before the last rotation, which works until
	// PreviousSecretExpiresAt; nil when there is none. See [Key.HasPreviousSecret].
	PreviousSecretHash      []byte    `json:"previous_secret_hash,omitempty"`
	PreviousSecretExpiresAt time.Time `json:"previous_secret_expires_at,omitzero"`
}

// MaxKeys is how many keys a Deployment may have. It bounds how long the one atomic step takes
// that ends them all.
const MaxKeys = 100_000

// ErrCredentials says that a key ID and a secret do not belong together: there is no such key,
// or the secret is another. It does not say which.
var ErrCredentials = errors.New("the key ID or the secret is not right")

func keyRecord(id string) string           { return "key/" + id }
func keysIndex(deploymentID string) string { return "keys/" + deploymentID }

// CreateKey makes a key of a Deployment from DeploymentID, Name, Description, Scopes, ExpiresAt and
// AllowedIPs, and its secret, which can't be had again. No Scopes are all scopes; ExpiresAt has to be
// in the future. Errors: [ErrInvalid], [ErrNotFound] without the Deployment, [ErrLimit] when it has
// [MaxKeys].
func (k *Keystore) CreateKey(ctx context.Context, by Caller, key Key) (Key, Secret, error) {
	if ValidateDeploymentID(key.DeploymentID) != nil {
		return Key{}, Secret{}, notFound("Deployment", key.DeploymentID)
	}
	if key.Scopes == 0 {
		key.Scopes = AllScopes
	}
	key.ExpiresAt = wholeSecond(key.ExpiresAt)
	if err := key.validate(); err != nil {
		return Key{}, Secret{}, err
	}
	if key.Expired(k.now()) {
		return Key{}, Secret{}, invalid("expires_at: %s is not in the future", key.ExpiresAt.Format(time.RFC3339))
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return Key{}, Secret{}, err
	}
	defer cancel()

	secret := NewSecret()
	key.ID, key.CreatedAt, key.CreatedBy = v.newKeyID(k.now()), k.timestamp(), by.Name
	key.SecretHash = v.hashSecret(key.ID, secret)
	key.TokenEpoch, key.TokensRevokedAt, key.RevokedUntil = 0, time.Time{}, time.Time{}
	key.endPreviousSecret()
	name := keyRecord(key.ID)
	record, err := encodeRecord(v, name, key)
	if err != nil {
		return Key{}, Secret{}, err
	}
	event := Event{Kind: KeyCreated, Deployment: key.DeploymentID, Key: key.ID}
	key.tell(&event, &Key{})
	err = k.apply(ctx, v, Change{
		Conditions: []Condition{
			{Kind: RecordExists, Name: deploymentRecord(key.DeploymentID)},
			{Kind: SizeBelow, Name: keysIndex(key.DeploymentID), Limit: MaxKeys},
			{Kind: RecordAbsent, Name: name},
		},
		Steps: []Step{
			{Kind: PutRecord, Name: name, Value: record},
			{Kind: AddMember, Name: keysIndex(key.DeploymentID), Member: key.ID},
			key.expiring(),
		},
	}, by, event)
	switch failedCondition(err) {
	case 0:
		return Key{}, Secret{}, notFound("Deployment", key.DeploymentID)
	case 1:
		return Key{}, Secret{}, &detailError{ErrLimit, "the Deployment has the most keys it may have: delete some first"}
	case 2:
		return Key{}, Secret{}, exists("key", key.ID)
	}
	if err != nil {
		return Key{}, Secret{}, err
	}
	return key, secret, nil
}

// Key reads a key by its ID alone: what a token's claims have to be held against. Errors:
// [ErrNotFound], [ErrAltered].
func (k *Keystore) Key(ctx context.Context, id string) (Key, error) {
	if !IsKeyID(id) {
		return Key{}, notFound("key", id)
	}
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return Key{}, err
	}
	defer cancel()
	key, _, err := getRecord[Key](ctx, k, v, keyRecord(id), notFound("key", id))
	return key, err
}

// MadeKeyID reports whether a text is a key ID that this store has made; the key may be deleted. It asks
// nothing of the store, and says no until the store was opened.
func (k *Keystore) MadeKeyID(id string) bool {
	v := k.opened.Load()
	return v != nil && v.madeKeyID(id)
}

// DeploymentKey reads a key of a Deployment. A key of another Deployment is not found.
func (k *Keystore) DeploymentKey(ctx context.Context, deploymentID, id string) (Key, error) {
	key, err := k.Key(ctx, id)
	if err == nil && key.DeploymentID != deploymentID {
		return Key{}, notFound("key", id)
	}
	return key, err
}

// Authenticate returns the key that a key ID and the text of a secret are of, or
// [ErrCredentials], or [ErrExpired]. The secret of before the last rotation is one too, as long as
// [Key.HasPreviousSecret].
//
// Whatever is wrong with them, the time of the answer does not tell: a key that does not exist
// takes the lookup, the hash and the comparison of one that does. Only a secret that is not of the
// right form is refused before all that, whatever the key ID; and of a key ID that the store has not
// made, it is never asked, while of any other it is when nothing of that is remembered.
func (k *Keystore) Authenticate(ctx context.Context, id, secretText string) (Key, error) {
	key, _, err := k.authenticate(ctx, id, secretText, func(ctx context.Context, id string) (*Key, error) {
		key, err := k.Key(ctx, id)
		return &key, err
	})
	if err != nil {
		return Key{}, err
	}
	return *key, nil
}

// noKeyID is the name of no key: [Keystore.Key] says so without asking the store.
const noKeyID = ""

// noKey is in the place of a key that does not exist. No secret has this hash.
var noKey = &Key{SecretHash: make([]byte, codeSize)}

// authenticate also says whether it was the previous secret.
func (k *Keystore) authenticate(ctx context.Context, id, secretText string, read func(ctx context.Context, id string) (*Key, error)) (_ *Key, isPrevious bool, _ error) {
	secret, err := ParseSecret(secretText)
	if err != nil {
		return nil, false, ErrCredentials
	}
	v, err := k.open(ctx)
	if err != nil {
		return nil, false, err
	}
	// What was not made is looked for under the name of no key, which takes the time of any other name and,
	// like a deleted key, is remembered as one that does not exist. The store is not asked: see madeKeyID.
	name := id
	if !v.madeKeyID(id) {
		name = noKeyID
	}
	key, err := read(ctx, name)
	switch {
	case errors.Is(err, ErrNotFound):
		key = noKey
	case err != nil:
		return nil, false, err
	}
	now, hash := k.now(), v.hashSecret(id, secret)
	// Both are always compared, so that the time tells neither which one it was nor whether there are two.
	current := subtle.ConstantTimeCompare(key.SecretHash, hash)
	previous := subtle.ConstantTimeCompare(key.previousSecretHash(now), hash)
	switch {
	case current|previous != 1 || key == noKey:
		return nil, false, ErrCredentials
	case key.Expired(now):
		return nil, false, key.ExpiryError()
	}
	return key, previous == 1, nil
}

// previousSecretHash is that of the previous secret, or, when none works, one that no secret has.
func (key *Key) previousSecretHash(at time.Time) []byte {
	if key.HasPreviousSecret(at) {
		return key.PreviousSecretHash
	}
	return noKey.SecretHash
}

// UpdateKey changes Name, Description, Scopes, ExpiresAt and AllowedIPs as edit does. An ExpiresAt that
// has passed ends the key at once; a later one revives it. Errors: [ErrNotFound], [ErrInvalid], and
// what edit returns.
func (k *Keystore) UpdateKey(ctx context.Context, by Caller, deploymentID, id string, edit func(*Key) error) (Key, error) {
	return k.changeKey(ctx, by, KeyUpdated, deploymentID, id, func(_ *vault, key *Key, event *Event) ([]Step, error) {
		before, edited := *key, *key
		if err := edit(&edited); err != nil {
			return nil, err
		}
		key.Name, key.Description, key.Scopes = edited.Name, edited.Description, edited.Scopes
		key.ExpiresAt, key.AllowedIPs = wholeSecond(edited.ExpiresAt), edited.AllowedIPs
		key.tell(event, &before)
		return []Step{key.expiring()}, key.validate()
	})
}

// changeKey changes the record of a key as edit does, with the steps that it returns, and leaves an event
// of that kind. A key of another Deployment is not found.
func (k *Keystore) changeKey(ctx context.Context, by Caller, kind EventKind, deploymentID, id string, edit func(*vault, *Key, *Event) ([]Step, error)) (Key, error) {
	absent := notFound("key", id)
	if !IsKeyID(id) {
		return Key{}, absent
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return Key{}, err
	}
	defer cancel()
	return update(ctx, k, v, by, keyRecord(id), absent,
		Event{Kind: kind, Deployment: deploymentID, Key: id}, func(key *Key, event *Event) ([]Step, error) {
			if key.DeploymentID != deploymentID {
				return nil, absent
			}
			return edit(v, key, event)
		})
}

// DeleteKey ends a key. It asks the Deployment's index, not the record, so that an altered key can be
// deleted too; and the record of a key that the index does not have, which somebody has put back or
// hidden who can write the store. Errors: [ErrNotFound].
func (k *Keystore) DeleteKey(ctx context.Context, by Caller, deploymentID, id string) error {
	absent := notFound("key", id)
	if !IsKeyID(id) || ValidateDeploymentID(deploymentID) != nil {
		return absent
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	event, name := Event{Kind: KeyDeleted, Deployment: deploymentID, Key: id}, keyRecord(id)
	return retry(name, func() error {
		err := k.apply(ctx, v, Change{
			Conditions: []Condition{{Kind: IsMember, Name: keysIndex(deploymentID), Member: id}},
			Steps:      deleteKey(deploymentID, id),
		}, by, event)
		if failedCondition(err) < 0 {
			return err
		}
		key, record, err := getRecord[Key](ctx, k, v, name, absent)
		switch {
		case errors.Is(err, ErrAltered):
			return absent // whose it is cannot be told, and it grants nothing
		case err != nil:
			return err
		case key.DeploymentID != deploymentID:
			return absent
		}
		return k.apply(ctx, v, Change{
			Conditions: []Condition{{Kind: RecordEquals, Name: name, Value: record}},
			Steps:      deleteKey(deploymentID, id),
		}, by, event)
	})
}

// deleteKey is what is removed of a key.
func deleteKey(deploymentID, id string) []Step {
	return []Step{
		{Kind: DeleteRecord, Name: keyRecord(id)},
		{Kind: RemoveMember, Name: keysIndex(deploymentID), Member: id},
		{Kind: RemoveMember, Name: expiringIndex(deploymentID), Member: id},
		{Kind: DeleteRecord, Name: usedRecord(id)},
		{Kind: RemoveMember, Name: usedIndex(deploymentID), Member: id},
	}
}

// Keys lists the keys of a Deployment in the order in which they were made. Errors:
// [ErrNotFound] without the Deployment.
func (k *Keystore) Keys(ctx context.Context, deploymentID string, page Page) (List[Key], error) {
	if _, err := k.Deployment(ctx, deploymentID); err != nil {
		return List[Key]{}, err
	}
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return List[Key]{}, err
	}
	defer cancel()
	list, err := listRecords[Key](ctx, k, v, keysIndex(deploymentID), keyRecord, page)
	// An index has no authentication code: the record says whose key it is.
	list.Items = slices.DeleteFunc(list.Items, func(key Key) bool { return key.DeploymentID != deploymentID })
	return list, err
}

// tell says in an event what the key has that it did not have before.
func (key *Key) tell(event *Event, before *Key) {
	event.setIfOther("name", before.Name, key.Name)
	event.setIfOther("description", before.Description, key.Description)
	event.setIfOther("scopes", before.Scopes.String(), key.Scopes.String())
	event.setIfOther("expires_at", expiryText(before.ExpiresAt), expiryText(key.ExpiresAt))
	event.setIfOther("allowed_ips", before.AllowedIPs.String(), key.AllowedIPs.String())
}

func (key *Key) validate() error {
	if key.Scopes == 0 {
		return invalid("scopes: a key needs at least one of %s", AllScopes)
	}
	if !key.ExpiresAt.IsZero() {
		if err := validateExpiry(key.ExpiresAt); err != nil {
			return err
		}
	}
	if err := key.AllowedIPs.validate(); err != nil {
		return err
	}
	if err := validateName(key.Name); err != nil {
		return err
	}
	return validateDescription(key.Description)
}
