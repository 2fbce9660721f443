package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// This file is how a key signs a text, and how it tells whether a signature is its own.

// sign makes the signature of the key over the first two parts of a token.
func (k *SigningKey) sign(text string) ([]byte, error) {
	signature, err := k.method.Sign(text, k.private())
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %w", k.id, err)
	}
	return signature, nil
}

// prove says whether a signature over a text is the key's own. Of ES256 and EdDSA the key makes it once more:
// of each text there is one signature (RFC 6979, RFC 8032 section 5.1.6), every node has the private
// keys, and to sign takes half of the time that it takes to verify, about. So what is accepted is a part of
// what a verifier with the public key accepts, and without the second form that each ECDSA signature
// has. With RS256 to verify is what is quick.
//
// The signature that is made here is a secret: it would be good for a text that somebody else has
// chosen. It goes nowhere, and is compared in constant time, as the code of an HMAC is: whoever learned how much
// of theirs is right could find the rest.
func (k *SigningKey) prove(text string, signature []byte) error {
	if k.algorithm == RS256 {
		return k.method.Verify(text, signature, k.public)
	}
	own, err := k.sign(text)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(own, signature) != 1 {
		return errors.New("the key makes another one")
	}
	return nil
}

// deterministicES256 is golang-jwt's ES256 but for the number that each signature is blinded with: it is
// computed from the key and the text (RFC 6979, as RFC 8725 section 3.2 would have it), not drawn at
// random. To whoever verifies it is the same.
type deterministicES256 struct{ *jwt.SigningMethodECDSA }

// Sign returns r and s, 32 bytes each (RFC 7518 section 3.4).
func (deterministicES256) Sign(text string, key any) ([]byte, error) {
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, jwt.ErrInvalidKeyType
	}
	digest := sha256.Sum256([]byte(text))
	der, err := private.Sign(nil, digest[:], crypto.SHA256) // nil: RFC 6979
	if err != nil {
		return nil, err
	}
	const size = 32
	var (
		whole = cryptobyte.String(der)
		pair  cryptobyte.String
		r, s  []byte
	)
	if !whole.ReadASN1(&pair, asn1.SEQUENCE) || !pair.ReadASN1Integer(&r) || !pair.ReadASN1Integer(&s) ||
		!whole.Empty() || !pair.Empty() || len(r) > size || len(s) > size {
		return nil, errors.New("ES256: the signature is no pair of 256-bit numbers")
	}
	signature := make([]byte, 2*size)
	copy(signature[size-len(r):], r)
	copy(signature[2*size-len(s):], s)
	return signature, nil
}
