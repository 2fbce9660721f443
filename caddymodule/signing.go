package caddymodule

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// signing brings the signing keys from the keystore, where all nodes share them, to package
// token, which knows what to do with them.
type signing struct {
	node         func(context.Context) (*node, error)
	policy       keystore.SigningPolicy
	maxStaleness time.Duration
	now          func() time.Time

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

// ring is the signing keys as this node knows them. They are read from the store the first time,
// which can be before the store was ever reached, and again when they have changed, or may have
// without this node hearing of it: one that was replaced must not be trusted any more.
func (s *signing) ring(ctx context.Context) (*token.Ring, error) {
	loaded := s.loaded.Load()
	if loaded == nil {
		return s.load(ctx)
	}
	n, err := s.node(ctx)
	if err != nil {
		return nil, err
	}
	changed := n.view.SigningKeysVersion() != loaded.version
	age, heard := n.view.Age()
	switch {
	case !changed && heard && age <= s.maxStaleness:
		return loaded.Ring, nil
	case !changed && s.now().Sub(loaded.at) <= min(s.maxStaleness, reloadInterval):
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

// reload reads the signing keys again for a token that names one which this node does not know:
// another node may have made it. Done within reloadInterval, it is as that ended. Its error says
// that nothing is known of such keys.
func (s *signing) reload(ctx context.Context) error {
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

// load reads the signing keys, and makes the first one. Of
// callers that come together, one does it for all.
func (s *signing) load(ctx context.Context) (*token.Ring, error) {
	attempt := s.loading.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keystore.ChangeTimeout)
		defer cancel()
		return s.read(ctx)
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

// read reads the signing keys, and does what is due with them. Every node may do so at any time: the
// store says which key signs, and since when.
func (s *signing) read(ctx context.Context) (*token.Ring, error) {
	n, err := s.node(ctx)
	if err != nil {
		return nil, err
	}
	at := s.now()
	version := n.view.SigningKeysVersion() // before the read: what changes meanwhile is read again
	stored, err := n.keys.MaintainSigningKeys(ctx, s.policy)
	if now := n.view.SigningKeysVersion(); err == nil && now != version {
		version = now // most likely by this very call
		stored, err = n.keys.MaintainSigningKeys(ctx, s.policy)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the signing keys: %w", err)
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
