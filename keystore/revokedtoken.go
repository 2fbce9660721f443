package keystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// This file ends tokens one at a time, by their jti. A revocation is kept until the token would have
// expired, and then removed; nothing else of it stays.

// A RevokedToken is a token that was revoked before it expired. It is of a key or of a user.
type RevokedToken struct {
	ID           string    `json:"id"` // jti: 1 to 64 characters of base64url (RFC 4648 section 5)
	KeyID        string    `json:"key_id,omitempty"`
	User         string    `json:"user,omitempty"`
	DeploymentID string    `json:"deployment_id,omitempty"` // of a key's token that of the key
	ExpiresAt    time.Time `json:"expires_at"`
}

// MaxRevokedTokens is how many single tokens of a key or a user may be revoked that have not expired;
// of a key, since all its tokens were revoked. Each is some 400 bytes.
const MaxRevokedTokens = 5_000

const (
	maxTokenIDLength = 64

	// purgeDelay is how long after its expiry a revocation stays: a node whose clock is behind still
	// takes the token.
	purgeDelay = ClockTolerance

	purgedInPassing = 8   // with each revocation
	purgedAtOnce    = 200 // in one atomic step of PurgeRevokedTokens
)

// revokedIndex has all revocations in the order in which they may be removed; its members are
// "<expiry, seconds of Unix time as 16 hexadecimal digits>/<owner>/<jti>". The index of an owner has
// the jti alone.
const (
	revokedIndex = "revoked"
	userPrefix   = "user:" // of an owner; no key ID has it
)

func revokedRecord(id string) string         { return "revoked/" + id }
func revokedIndexOf(owner string) string     { return "revoked/" + owner }
func userOwner(user string) string           { return userPrefix + memberName(user) }
func revokedExpiry(expires time.Time) string { return fmt.Sprintf("%016x", expires.Unix()) }

// RevokeToken ends one token. It does nothing for a token that has expired, that is revoked already,
// or whose key is gone: none of them is good for anything. Errors: [ErrInvalid]; [ErrLimit] when the
// token's key or user has [MaxRevokedTokens] already; [ErrAltered].
func (k *Keystore) RevokeToken(ctx context.Context, by Caller, t RevokedToken) error {
	if err := t.validate(); err != nil {
		return err
	}
	// Of a part of a second nothing is known to the index. It must not expire too early.
	t.ExpiresAt = t.ExpiresAt.UTC().Add(time.Second - 1).Truncate(time.Second)
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return retry(revokedRecord(t.ID), func() error { return k.revokeToken(ctx, v, by, t) })
}

func (k *Keystore) revokeToken(ctx context.Context, v *vault, by Caller, t RevokedToken) error {
	now, err := k.earlierTime(ctx)
	if err != nil || revocationOver(t.ExpiresAt, now) {
		return err
	}
	steps, _, err := k.purge(ctx, now, purgedInPassing)
	if err != nil {
		return err
	}
	owner := t.owner()
	conditions := []Condition{
		{Kind: RecordAbsent, Name: revokedRecord(t.ID)},
		{Kind: SizeBelow, Name: revokedIndexOf(owner), Limit: MaxRevokedTokens},
	}
	if t.KeyID != "" {
		// The key says until when its tokens have to be looked up: those of a key that says nothing
		// cost nothing. On the condition that it is unchanged, so that of two revocations at once
		// neither takes the other one's time away.
		name := keyRecord(t.KeyID)
		key, before, err := getRecord[Key](ctx, k, v, name, notFound("key", t.KeyID))
		switch {
		case errors.Is(err, ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		t.DeploymentID = key.DeploymentID
		if key.RevokedUntil.Before(t.ExpiresAt) {
			key.RevokedUntil = t.ExpiresAt
		}
		after, err := encodeRecord(v, name, key)
		if err != nil {
			return err
		}
		conditions = append(conditions, unchanged(name, before))
		steps = append(steps, Step{Kind: PutRecord, Name: name, Value: after})
	}
	record, err := encodeRecord(v, revokedRecord(t.ID), t)
	if err != nil {
		return err
	}
	err = k.apply(ctx, v, Change{
		Conditions: conditions,
		Steps: append(steps,
			Step{Kind: PutRecord, Name: revokedRecord(t.ID), Value: record},
			Step{Kind: AddMember, Name: revokedIndex, Member: revokedExpiry(t.ExpiresAt) + "/" + owner + "/" + t.ID},
			Step{Kind: AddMember, Name: revokedIndexOf(owner), Member: t.ID}),
	}, by, Event{Kind: TokenRevoked, Deployment: t.DeploymentID, Key: t.KeyID, User: t.User, Token: t.ID})
	switch failedCondition(err) {
	case 0:
		return nil
	case 1:
		// The index has the expired too, until they are removed.
		removed, purgeErr := k.purgeOnce(ctx)
		if purgeErr != nil {
			return purgeErr
		}
		if removed == 0 {
			return t.limit()
		}
	}
	return err
}

// TokenRevoked reports whether a token was revoked by [Keystore.RevokeToken]. What cannot be the ID
// of a token is of none. Errors: [ErrAltered].
func (k *Keystore) TokenRevoked(ctx context.Context, id string) (bool, error) {
	_, err := k.revokedToken(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// revokedToken reads one revocation. Errors: [ErrNotFound], [ErrAltered].
func (k *Keystore) revokedToken(ctx context.Context, id string) (RevokedToken, error) {
	absent := notFound("revoked token", clip(id))
	if !isTokenID(id) {
		return RevokedToken{}, absent
	}
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return RevokedToken{}, err
	}
	defer cancel()
	t, _, err := getRecord[RevokedToken](ctx, k, v, revokedRecord(id), absent)
	return t, err
}

// PurgeRevokedTokens removes what is kept of revoked tokens that have expired since, some hundred at
// a time, until none is left or ctx ends. It says how many that were; those that several nodes remove
// at once are counted by each.
func (k *Keystore) PurgeRevokedTokens(ctx context.Context) (removed int, err error) {
	for {
		batch, err := k.purgeOnce(ctx)
		removed += batch
		if err != nil || batch == 0 {
			return removed, err
		}
	}
}

// purgeOnce removes one batch. No event is left: of a token that has expired nobody has to hear.
func (k *Keystore) purgeOnce(ctx context.Context) (removed int, err error) {
	ctx, cancel, _, err := k.change(ctx)
	if err != nil {
		return 0, err
	}
	defer cancel()
	now, err := k.earlierTime(ctx)
	if err != nil {
		return 0, err
	}
	steps, removed, err := k.purge(ctx, now, purgedAtOnce)
	if err != nil || removed == 0 {
		return 0, err
	}
	if err := k.store.Apply(ctx, Change{Steps: steps}); err != nil {
		return 0, err
	}
	return removed, nil
}

// purge finds revocations that are over, at most limit, and how to remove them: what a node has
// removed already does no harm a second time.
func (k *Keystore) purge(ctx context.Context, now time.Time, limit int) (steps []Step, found int, err error) {
	members, err := k.store.Members(ctx, revokedIndex, "", limit)
	if err != nil {
		return nil, 0, err
	}
	// '0' is the character after '/': all members with this expiry come before.
	end := revokedExpiry(now.Add(-purgeDelay)) + "0"
	for _, member := range members {
		if member >= end {
			break
		}
		found++
		steps = append(steps, Step{Kind: RemoveMember, Name: revokedIndex, Member: member})
		// An index has no authentication code, so a member may be anything.
		parts := strings.Split(member, "/")
		if len(parts) != 3 || !isOwner(parts[1]) || !isTokenID(parts[2]) {
			continue
		}
		steps = append(steps,
			Step{Kind: DeleteRecord, Name: revokedRecord(parts[2])},
			Step{Kind: RemoveMember, Name: revokedIndexOf(parts[1]), Member: parts[2]})
	}
	return steps, found, nil
}

// forgetRevokedOf empties the index of an owner, and leaves the records, which are removed when the
// tokens have expired: a node that has not heard of the new epoch still has to find them, or it would
// take a token that was revoked long ago. No record has the names that the step removes.
func forgetRevokedOf(owner string) Step {
	return Step{Kind: DropIndex, Name: revokedIndexOf(owner), Prefix: revokedIndexOf(owner) + "/"}
}

func revocationOver(expires, now time.Time) bool { return !now.Before(expires.Add(purgeDelay)) }

func (t *RevokedToken) owner() string {
	if t.KeyID != "" {
		return t.KeyID
	}
	return userOwner(t.User)
}

// limit is the error of an owner that has the most revocations, with the way out of it.
func (t *RevokedToken) limit() error {
	if t.KeyID != "" {
		return &detailError{ErrLimit, "the key has the most single tokens revoked that it may have: revoke all tokens of the key instead"}
	}
	return &detailError{ErrLimit, "the user has the most single tokens revoked that they may have: wait until some have expired, or revoke all tokens"}
}

func (t *RevokedToken) validate() error {
	if !isTokenID(t.ID) {
		return invalid("jti %q is not one of this product: it has 1 to %d characters of A-Z, a-z, 0-9, - and _", clip(t.ID), maxTokenIDLength)
	}
	switch {
	case t.KeyID != "" && t.User != "":
		return invalid("a token is of a key or of a user, not of both")
	case t.KeyID != "":
		if !IsKeyID(t.KeyID) {
			return invalid("key ID %q is not one", clip(t.KeyID))
		}
	default:
		if err := ValidateUser(t.User); err != nil {
			return err
		}
	}
	if t.DeploymentID != "" {
		return ValidateDeploymentID(t.DeploymentID)
	}
	return nil
}

// isTokenID accepts what may be a jti. It is part of names in the store.
func isTokenID(id string) bool {
	return id != "" && len(id) <= maxTokenIDLength && isBase64URL(id)
}

func isOwner(owner string) bool {
	if user, ok := strings.CutPrefix(owner, userPrefix); ok {
		return user != "" && isBase64URL(user)
	}
	return IsKeyID(owner)
}

func isBase64URL(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
