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
	etag   string
}

// NewRing makes a ring of the keys, of which the one whose ID is signer is the one that signs. That
// need not be the newest: a new key can be published for a while before it signs, so that whoever
// verifies by a copy of the JWK Set has it by then.
//
// It returns [ErrNoSigningKey] if signer is not among the keys, and [ErrKey] if a key is given
// twice or cannot be published.
func NewRing(keys []*SigningKey, signer string) (*Ring, error) {
	sorted := slices.SortedFunc(slices.Values(keys), newestFirst)

	r := &Ring{keys: make(map[string]*SigningKey, len(sorted))}
	for _, key := range sorted {
		if r.Has(key.id) {
			return nil, fmt.Errorf("%w: %s is there twice", ErrKey, key.id)
		}
		r.keys[key.id] = key
	}
	var ok bool
	if r.signer, ok = r.Key(signer); !ok {
		return nil, fmt.Errorf("%w: %q is not among the %d keys", ErrNoSigningKey, signer, len(keys))
	}

	var err error
	if r.jwks, err = encodeJWKS(sorted); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	r.etag = entityTag(r.jwks)
	return r, nil
}

// newestFirst puts of two keys made in the same millisecond the one with the greater ID first, so
// that all nodes with the same keys publish the same document.
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
