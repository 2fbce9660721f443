package token

import "crypto"

// MaxTokenSize is the bound on a token's text.
const MaxTokenSize = maxTokenSize

// VerifySignature is Verify up to the signature, with one rule less: typ may be anything. It is for
// test vectors, which are no access tokens.
func VerifySignature(ring *Ring, raw string) error {
	c, header, err := decodeCompact(raw)
	if err != nil {
		return err
	}
	if c.header, err = readHeader(header); err != nil {
		return err
	}
	return c.verify(ring)
}

// VerifyBytes is what Verify does with a signature.
func VerifyBytes(alg Algorithm, public crypto.PublicKey, signed string, signature []byte) error {
	c := &compact{
		header:    joseHeader{Algorithm: string(alg), KeyID: "key", Type: mediaType},
		signed:    signed,
		signature: signature,
	}
	return c.verify(&Ring{keys: map[string]*SigningKey{"key": {id: "key", algorithm: alg, method: alg.method(), public: public}}})
}

// PublicOnly is a ring of the public parts of another's keys.
func PublicOnly(ring *Ring) *Ring {
	r := &Ring{keys: make(map[string]*SigningKey)}
	for id, key := range ring.keys {
		public := *key
		public.private = nil
		r.keys[id] = &public
	}
	return r
}

// WithID is the key under an ID that is not its thumbprint.
func WithID(key *SigningKey, id string) *SigningKey {
	renamed := *key
	renamed.id = id
	return &renamed
}

// Remembers reports whether a token is cached.
func (v *Verifier) Remembers(raw string) bool {
	_, ok := v.cache.get(raw)
	return ok
}

// Reserve returns the size of the cache's reserve.
func (v *Verifier) Reserve() int { return len(v.cache.reserve) }
