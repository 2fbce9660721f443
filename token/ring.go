package token

import (
	"fmt"
	"slices"
	"strings"
)

// Ring is the set of signing keys that a node holds at one moment. All of them verify and are
// published, one of them signs. It is immutable and safe for concurrent use: when the keys change,
// the caller makes another and swaps them.
type Ring struct {
	keys   map[string]*SigningKey
	signer *SigningKey
	jwks   []byte
}

// NewRing makes a ring of the keys, of which the newest of the algorithm sign is the one that
// signs. Of two keys made in the same millisecond it is the one with the greater ID, so that all
// nodes with the same keys choose the same.
//
// It returns [ErrNoSigningKey] if there is none of that algorithm, and [ErrKey] if a key is given
// twice or cannot be published.
func NewRing(keys []*SigningKey, sign Algorithm) (*Ring, error) {
	sorted := slices.SortedFunc(slices.Values(keys), newestFirst)

	r := &Ring{keys: make(map[string]*SigningKey, len(sorted))}
	for _, key := range sorted {
		if r.Has(key.id) {
			return nil, fmt.Errorf("%w: %s is there twice", ErrKey, key.id)
		}
		r.keys[key.id] = key
		if r.signer == nil && key.algorithm == sign {
			r.signer = key
		}
	}
	if r.signer == nil {
		return nil, fmt.Errorf("%w for %q among %d keys", ErrNoSigningKey, sign, len(keys))
	}

	var err error
	if r.jwks, err = encodeJWKS(sorted); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return r, nil
}

func newestFirst(a, b *SigningKey) int {
	if byTime := b.createdAt.Compare(a.createdAt); byTime != 0 {
		return byTime
	}
	return strings.Compare(b.id, a.id)
}

// Signer is the key that signs new tokens.
func (r *Ring) Signer() *SigningKey { return r.signer }

// Key returns the key of that ID, if the ring holds it. The ID may come from an unproven token: it
// is only ever compared, never used as a path or a query (RFC 8725 section 3.10).
func (r *Ring) Key(id string) (*SigningKey, bool) {
	key, ok := r.keys[id]
	return key, ok
}

// Has says whether the ring holds the key of that ID.
func (r *Ring) Has(id string) bool {
	_, ok := r.keys[id]
	return ok
}
