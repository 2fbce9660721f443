package token

import (
	"crypto"
	"fmt"
)

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

// VerifyBytes is what whoever has only the public key does with a signature. Of RS256 it is what Verify does.
func VerifyBytes(alg Algorithm, public crypto.PublicKey, signed string, signature []byte) error {
	if err := alg.method().Verify(signed, signature, public); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// ProveBytes is what Verify does with a signature.
func ProveBytes(key *SigningKey, signed string, signature []byte) error {
	c := &compact{
		header:    joseHeader{Algorithm: string(key.algorithm), KeyID: key.id, Type: mediaType},
		signed:    signed,
		signature: signature,
	}
	return c.verify(&Ring{keys: map[string]*SigningKey{key.id: key}})
}

// WithID is the key under an ID that is not its thumbprint.
func WithID(key *SigningKey, id string) *SigningKey {
	renamed := *key
	renamed.id = id
	return &renamed
}

// Remembers says whether a token is among those that are remembered.
func (v *Verifier) Remembers(raw string) bool {
	_, ok := v.memory.get(v.memory.digest(raw))
	return ok
}

// SignText is what [Ring.Sign] does with the first two parts of a token.
func SignText(key *SigningKey, text string) ([]byte, error) { return key.sign(text) }

// Room is for how many tokens there is room that was taken.
func (v *Verifier) Room() int {
	room := 0
	for i := range v.memory.held.Load().shards {
		room += cap(v.memory.held.Load().shards[i].slots)
	}
	return room
}
