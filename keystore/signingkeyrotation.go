package keystore

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// This file is what becomes of the signing keys with time. [maintenance.due] says which step is next; each
// step is one compare and swap of the one record, so that of nodes that do the same thing at once one does
// it, and the others find it done.

// A SigningPolicy is what a node wants of the signing keys.
type SigningPolicy struct {
	Algorithm     string
	TokenLifetime time.Duration // the longest lifetime that the node gives tokens
	RotateEvery   time.Duration // a key signs for so long; 0: no automatic rotation

	// Generate makes ID, Algorithm and Private of a new key. It may be slow, and it is called only
	// for a key that is needed now.
	Generate func(algorithm string) (SigningKey, error)
}

// Bounds on one call. What is not done then is done by the next.
const (
	mostKeySteps    = 64 // with those that other nodes were faster in
	mostKeyRemovals = 8
)

// MaintainSigningKeys does what is due with the signing keys by the store's clock, and gives them
// back as they are then, oldest first. Any number of nodes may call it at any time. Where nothing
// is due it reads the record, and the clock if anything can become due.
//
//   - A store without keys gets one that signs at once: nobody knows of another.
//   - A signing or announced key that does not allow for policy.TokenLifetime is made to, before the
//     caller can sign with it.
//   - A key that was announced [SigningKeyNotice] ago signs, and the one before is retired.
//   - A new key is announced when the one that signs is of another algorithm than the policy's, or
//     when its time is over but for the notice; unless one is announced already, whatever its
//     algorithm: that one comes first.
//   - A retired key is removed when the last of its tokens has expired.
//
// Nodes that are configured with different algorithms take turns in that: each finds the key of the
// other signing and announces one of its own. As only one key can be announced, and stays so for the
// notice, that is one rotation per notice and no more.
//
// While the clocks of the store and of the node do not agree, see [Keystore.CheckClock], only the first
// two are done.
//
// Errors: [ErrAltered], [ErrUnavailable], and what policy.Generate returns.
func (k *Keystore) MaintainSigningKeys(ctx context.Context, policy SigningPolicy) ([]SigningKey, error) {
	m := &maintenance{keystore: k, policy: policy}
	return m.run(ctx)
}

// RotateSigningKey announces a new key now; it signs after [SigningKeyNotice]. Errors: [ErrExists]
// when one is announced already, [ErrClock], and those of [Keystore.MaintainSigningKeys].
func (k *Keystore) RotateSigningKey(ctx context.Context, by Caller, policy SigningPolicy) (SigningKey, error) {
	m := &maintenance{keystore: k, policy: policy, announces: true}
	// First what is due, so that a key whose notice is over is not in the way.
	if _, err := m.run(ctx); err != nil {
		return SigningKey{}, err
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return SigningKey{}, err
	}
	defer cancel()
	var key SigningKey
	err = retry(signingKeysRecord, func() error {
		keys, before, err := k.signingKeys(ctx, v)
		if err != nil {
			return err
		}
		now, err := k.storeTime(ctx)
		if err != nil {
			return err
		}
		if err := k.agree(now); err != nil {
			return err
		}
		if i := inState(keys, SigningKeyAnnounced); i >= 0 {
			if keys[i].CreatedAt.Sub(now) <= SigningKeyNotice {
				return &detailError{ErrExists, fmt.Sprintf("signing key %q is announced already: it signs from %s",
					keys[i].ID, keys[i].EarliestSigning().Format(time.RFC3339))}
			}
			// It was announced by a clock that has been set back since, and could be in the way for
			// years. It never signed, so it can go.
			keys = slices.Delete(keys, i, i+1)
		}
		step, err := m.announce(keys, now)
		if err != nil {
			return err
		}
		key = step.keys[len(step.keys)-1]
		return k.putSigningKeys(ctx, v, by, before, step.keys, step.event)
	})
	if err != nil {
		return SigningKey{}, err
	}
	return key, nil
}

// ReplaceSigningKeys is for a signing key that leaked: a new key signs at once, and all others are
// removed at once, so every token that was issued so far is dead. Resource servers that read the key
// set themselves refuse new tokens until they have read it again, and accept old ones as long.
//
// It needs nothing of the present keys, and does not mind that their record was altered.
func (k *Keystore) ReplaceSigningKeys(ctx context.Context, by Caller, policy SigningPolicy) (SigningKey, error) {
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return SigningKey{}, err
	}
	defer cancel()
	m := &maintenance{keystore: k, policy: policy}
	var key SigningKey
	err = retry(signingKeysRecord, func() error {
		records, err := k.store.Get(ctx, signingKeysRecord)
		if err != nil {
			return err
		}
		now, err := k.storeTime(ctx)
		if err != nil {
			return err
		}
		if key, err = m.newKey(nil, now); err != nil {
			return err
		}
		key.SignsFrom = now
		return k.putSigningKeys(ctx, v, by, records[0], []SigningKey{key}, Event{Kind: SigningKeysReplaced, Key: key.ID})
	})
	if err != nil {
		return SigningKey{}, err
	}
	return key, nil
}

// A keyStep is one change of the signing keys.
type keyStep struct {
	keys  []SigningKey // after it
	event Event        // no kind: nobody has to hear of it
}

// storeTime is the store's clock in whole seconds.
func (k *Keystore) storeTime(ctx context.Context) (time.Time, error) {
	now, err := k.store.Time(ctx)
	return now.UTC().Truncate(time.Second), err
}

// maintenance is one call that maintains the keys.
type maintenance struct {
	keystore  *Keystore
	policy    SigningPolicy
	announces bool        // the caller does that: it is not due here
	made      *SigningKey // and not used yet: another node was faster
	removals  int
}

// run makes one step after the other until none is due, and gives the keys back.
func (m *maintenance) run(ctx context.Context) ([]SigningKey, error) {
	ctx, cancel, v, err := m.keystore.change(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	for range mostKeySteps {
		keys, before, err := m.keystore.signingKeys(ctx, v)
		if err != nil {
			return nil, err
		}
		step, err := m.due(ctx, keys)
		if err != nil {
			return nil, err
		}
		if step == nil {
			return keys, nil
		}
		err = m.keystore.putSigningKeys(ctx, v, gatewayCaller, before, step.keys, step.event)
		switch {
		case err == nil:
			m.made = nil
		case failedCondition(err) < 0:
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: record %q is being changed by too many at once", ErrUnavailable, signingKeysRecord)
}

// due is the next step that is due, nil for none, in the order of how much depends on it. It may
// change the keys that it is given.
func (m *maintenance) due(ctx context.Context, keys []SigningKey) (*keyStep, error) {
	if m.nothingScheduled(keys) {
		return nil, nil
	}
	now, err := m.keystore.storeTime(ctx)
	if err != nil {
		return nil, err
	}
	signing := inState(keys, SigningKeySigning)
	if signing < 0 {
		return m.first(keys, now)
	}
	if m.raise(keys) {
		return &keyStep{keys: keys}, nil
	}
	if m.keystore.agree(now) != nil {
		return nil, nil // nothing goes by a clock that may be wrong; CheckClock says so
	}
	announced := inState(keys, SigningKeyAnnounced)
	if announced >= 0 {
		if now.Before(keys[announced].EarliestSigning()) {
			return m.remove(keys, now), nil
		}
		return promote(keys, signing, announced, now), nil
	}
	if m.wantsAnother(&keys[signing], now) && !m.announces {
		return m.announce(keys, now)
	}
	return m.remove(keys, now), nil
}

// nothingScheduled is the common case without rotation, in which no clock is needed.
func (m *maintenance) nothingScheduled(keys []SigningKey) bool {
	return len(keys) == 1 && m.policy.RotateEvery <= 0 && keys[0].State() == SigningKeySigning &&
		keys[0].Algorithm == m.policy.Algorithm && keys[0].MaxLifetime >= m.policy.TokenLifetime
}

func (m *maintenance) first(keys []SigningKey, now time.Time) (*keyStep, error) {
	key, err := m.newKey(keys, now)
	if err != nil {
		return nil, err
	}
	key.SignsFrom = now
	return &keyStep{append(keys, key), Event{Kind: SigningKeyAdded, Key: key.ID}}, nil
}

// raise makes the keys that sign, or will, allow for the lifetime of the caller's tokens.
func (m *maintenance) raise(keys []SigningKey) (raised bool) {
	for i := range keys {
		if keys[i].State() != SigningKeyRetired && keys[i].MaxLifetime < m.policy.TokenLifetime {
			keys[i].MaxLifetime, raised = m.policy.TokenLifetime, true
		}
	}
	return raised
}

// promote has the announced key sign in place of the one that does. A node that gives longer tokens
// than others has raised the old one, and may sign with the new one before it comes here again.
func promote(keys []SigningKey, signing, announced int, now time.Time) *keyStep {
	before, after := &keys[signing], &keys[announced]
	after.SignsFrom, before.RetiredAt = now, now
	after.MaxLifetime = max(after.MaxLifetime, before.MaxLifetime)
	return &keyStep{keys, Event{Kind: SigningKeyActivated, Key: after.ID}}
}

// wantsAnother says whether the key that signs is to be followed by another one.
func (m *maintenance) wantsAnother(signing *SigningKey, now time.Time) bool {
	if signing.Algorithm != m.policy.Algorithm {
		return true
	}
	return m.policy.RotateEvery > 0 && !now.Before(signing.SignsFrom.Add(m.policy.RotateEvery-SigningKeyNotice))
}

func (m *maintenance) announce(keys []SigningKey, now time.Time) (*keyStep, error) {
	key, err := m.newKey(keys, now)
	if err != nil {
		return nil, err
	}
	return &keyStep{append(keys, key), Event{Kind: SigningKeyAdded, Key: key.ID}}, nil
}

// remove removes one retired key that nobody needs any more.
func (m *maintenance) remove(keys []SigningKey, now time.Time) *keyStep {
	if m.removals == mostKeyRemovals {
		return nil
	}
	for i := range keys {
		if key := &keys[i]; key.State() == SigningKeyRetired && !now.Before(key.RemovedFrom()) {
			m.removals++
			event := Event{Kind: SigningKeyRemoved, Key: key.ID}
			return &keyStep{slices.Delete(keys, i, i+1), event}
		}
	}
	return nil
}

// newKey makes an announced key, or takes the one that was made for a try before.
func (m *maintenance) newKey(keys []SigningKey, now time.Time) (SigningKey, error) {
	if m.made == nil {
		made, err := m.policy.Generate(m.policy.Algorithm)
		if err != nil {
			return SigningKey{}, fmt.Errorf("making a signing key: %w", err)
		}
		m.made = &made
	}
	key := SigningKey{
		ID: m.made.ID, Algorithm: m.made.Algorithm, Private: m.made.Private,
		CreatedAt: now, MaxLifetime: m.policy.TokenLifetime,
	}
	if key.ID == "" || key.Algorithm != m.policy.Algorithm || slices.ContainsFunc(keys, isKey(key.ID)) {
		return SigningKey{}, fmt.Errorf("the signing key %q for %q that was made for %q is not a new one of it", key.ID, key.Algorithm, m.policy.Algorithm)
	}
	return key, nil
}

// inState is the newest key in a state, or -1.
func inState(keys []SigningKey, state SigningKeyState) int {
	for i := len(keys) - 1; i >= 0; i-- {
		if keys[i].State() == state {
			return i
		}
	}
	return -1
}

func isKey(id string) func(SigningKey) bool {
	return func(key SigningKey) bool { return key.ID == id }
}
