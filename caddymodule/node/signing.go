package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// This file brings the signing keys from the keystore, where all nodes share them, to package token. To read
// them and to change them are two functions: [Node.Ring] and [Node.Maintain]. No request calls the second.

// signing is the signing keys as this node has read them.
type signing struct {
	keys *keystore.Keystore
	view *keystore.View
	now  func() time.Time

	loading singleflight.Group
	loaded  atomic.Pointer[loadedRing]
	last    atomic.Pointer[reloaded] // nil: not yet
}

// loadedRing is a ring, which version of the signing keys it holds at least, and when it was read.
type loadedRing struct {
	*token.Ring
	version uint64
	at      time.Time
}

// reloadInterval is how often a token with an unknown key may make a node read the signing keys
// again, since anybody can send such a token; how often that is tried while it fails; and how often it
// is done while the node hears nothing of changes.
const reloadInterval = time.Second

// A reloaded is the outcome of reading the signing keys again.
type reloaded struct {
	at  time.Time
	err error
}

// Ring returns the signing keys as this node knows them. They are read from the store the first time, and again
// when they have changed, or when the node may have missed that they have, for longer than maxStaleness: one that
// was replaced must not be trusted any more. The error wraps [keystore.ErrUnavailable] where the store cannot be
// asked, or has no signing keys yet.
func (n *Node) Ring(ctx context.Context, maxStaleness time.Duration) (*token.Ring, error) {
	s := &n.signing
	loaded := s.loaded.Load()
	if loaded == nil {
		return s.load(ctx)
	}
	changed := s.view.SigningKeysVersion() != loaded.version
	age, heard := s.view.Age()
	switch {
	case !changed && heard && age <= maxStaleness:
		return loaded.Ring, nil
	case !changed && s.now().Sub(loaded.at) <= min(maxStaleness, reloadInterval):
		return loaded.Ring, nil
	}
	if last := s.recent(); last != nil && last.err != nil {
		return nil, last.err
	}
	if err := s.readAgain(ctx); err != nil {
		return nil, err
	}
	return s.loaded.Load().Ring, nil
}

// ReloadRing reads the signing keys again for a token that names one which this node does not know: another node may
// have made it. At most once a second it asks the store; in between the last outcome is returned. Its error says that
// nothing is known of such keys.
func (n *Node) ReloadRing(ctx context.Context) error {
	s := &n.signing
	if last := s.recent(); last != nil {
		return last.err
	}
	return s.readAgain(ctx)
}

// recent is how it ended when the keys were read again within reloadInterval, or nil.
func (s *signing) recent() *reloaded {
	if last := s.last.Load(); last != nil && s.now().Sub(last.at) < reloadInterval {
		return last
	}
	return nil
}

func (s *signing) readAgain(ctx context.Context) error {
	_, err := s.load(ctx)
	s.last.Store(&reloaded{s.now(), err})
	return err
}

// load reads the signing keys. Of callers that come together, one does it for all.
func (s *signing) load(ctx context.Context) (*token.Ring, error) {
	attempt := s.loading.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keystore.ReadTimeout)
		defer cancel()
		return s.readOrWait(ctx)
	})
	// The caller's patience is that of a read: the attempt goes on for those who come later.
	timeout := time.NewTimer(keystore.ReadTimeout)
	defer timeout.Stop()
	select {
	case result := <-attempt:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*token.Ring), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", keystore.ErrUnavailable, context.Cause(ctx))
	case <-timeout.C:
		return nil, fmt.Errorf("%w: reading the signing keys takes longer than %s", keystore.ErrUnavailable, keystore.ReadTimeout)
	}
}

// errNoSigningKeys says that nobody has made the first signing key yet.
var errNoSigningKeys = fmt.Errorf("%w: the store has no signing keys yet", keystore.ErrUnavailable)

// firstKeyInterval is how often a new store is asked for its first signing key.
const firstKeyInterval = 50 * time.Millisecond

// readOrWait reads the signing keys. In a new store it waits, until ctx ends, for start or upkeep to make the first.
func (s *signing) readOrWait(ctx context.Context) (*token.Ring, error) {
	for {
		ring, err := s.read(ctx)
		if !errors.Is(err, errNoSigningKeys) {
			return ring, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(firstKeyInterval):
		}
	}
}

// read reads the signing keys. It changes nothing: see [Node.Maintain].
func (s *signing) read(ctx context.Context) (*token.Ring, error) {
	at := s.now()
	version := s.view.SigningKeysVersion() // before the read: what changes meanwhile is read again
	stored, err := s.keys.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the signing keys: %w", err)
	}
	if len(stored) == 0 {
		return nil, errNoSigningKeys
	}
	signer, usable := "", make([]*token.SigningKey, len(stored))
	for i, key := range stored {
		algorithm, err := token.ParseAlgorithm(key.Algorithm)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", key.ID, err)
		}
		if usable[i], err = token.ParseKey(algorithm, key.CreatedAt, key.Private); err != nil {
			return nil, fmt.Errorf("signing key %s: %w", key.ID, err)
		}
		if key.State() == keystore.SigningKeySigning {
			signer = key.ID
		}
	}
	ring, err := token.NewRing(usable, signer)
	if err != nil {
		return nil, err
	}
	s.loaded.Store(&loadedRing{ring, version, at})
	return ring, nil
}

// Maintain does what is due with the signing keys of the store: it makes the first one, announces the next, lets it
// sign, removes what has expired. Every node may do so at any time: the store says which key signs, and since when.
// Only start and upkeep call it. Errors: those of [keystore.Keystore.MaintainSigningKeys].
func (n *Node) Maintain(ctx context.Context, policy keystore.SigningPolicy) error {
	_, err := n.Keys.MaintainSigningKeys(ctx, complete(policy))
	return err
}

// RotateSigningKey announces a new signing key, which signs after [keystore.SigningKeyNotice].
// Errors: [keystore.ErrExists] when one is announced already, [keystore.ErrUnavailable].
func (n *Node) RotateSigningKey(ctx context.Context, by keystore.Caller, policy keystore.SigningPolicy) (keystore.SigningKey, error) {
	return n.Keys.RotateSigningKey(ctx, by, complete(policy))
}

// ReplaceSigningKeys is for a signing key that leaked: a new one signs at once, and all others are removed, with all
// tokens that were issued so far. Errors: [keystore.ErrUnavailable].
func (n *Node) ReplaceSigningKeys(ctx context.Context, by keystore.Caller, policy keystore.SigningPolicy) (keystore.SigningKey, error) {
	return n.Keys.ReplaceSigningKeys(ctx, by, complete(policy))
}

// complete adds to a policy how keys are made, which a configuration does not say.
func complete(policy keystore.SigningPolicy) keystore.SigningPolicy {
	policy.Generate = generateSigningKey
	return policy
}

// generateSigningKey makes a signing key as the keystore keeps it.
func generateSigningKey(name string) (keystore.SigningKey, error) {
	algorithm, err := token.ParseAlgorithm(name)
	if err != nil {
		return keystore.SigningKey{}, err
	}
	key, err := token.GenerateKey(algorithm, time.Now())
	if err != nil {
		return keystore.SigningKey{}, err
	}
	private, err := key.Marshal()
	if err != nil {
		return keystore.SigningKey{}, err
	}
	return keystore.SigningKey{ID: key.ID(), Algorithm: name, Private: private}, nil
}
