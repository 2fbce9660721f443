package token

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"
)

// NewID returns a jti: 128 random bits in base64url, 22 characters. It is unique without asking
// anybody (RFC 7519 section 4.1.7), and cannot be guessed.
func NewID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// Sign returns the claims as an access token in the compact form (RFC 9068 section 2, RFC 7515
// section 7.1), signed by the ring's [Ring.Signer].
//
// It returns [ErrClaims] for claims that [Verifier.Verify] would refuse under any options: a
// required one is missing, a string is not UTF-8, or the token would be over 8 KiB.
func (r *Ring) Sign(c Claims) (string, error) {
	if err := c.complete(); err != nil {
		return "", err
	}
	if err := c.validText(); err != nil {
		return "", err
	}
	if c.ExpiresAt.Unix() <= c.IssuedAt.Unix() {
		return "", fmt.Errorf("%w: exp is not after iat", ErrClaims)
	}

	payload, err := c.MarshalJSON()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return r.signer.compact(r.signer.header, payload)
}

// compact returns a token in the compact form. golang-jwt's Token would encode the header, which is the same in every
// token of a key, for each token.
func (k *SigningKey) compact(header string, payload []byte) (string, error) {
	signed := header + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := k.method.Sign(signed, k.private())
	if err != nil {
		return "", fmt.Errorf("signing with %s: %w", k.id, err)
	}
	raw := signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	if len(raw) > maxTokenSize {
		return "", fmt.Errorf("%w: the token would have %d bytes, at most %d are accepted", ErrClaims, len(raw), maxTokenSize)
	}
	return raw, nil
}

// Issue returns the claims as an access token, as [Ring.Sign] does, and caches it, so that this node need not check
// the signature of a token that it has made itself. It does not cache a token that [Verifier.Verify] would refuse.
func (v *Verifier) Issue(ring *Ring, c Claims) (string, error) {
	raw, err := ring.Sign(c)
	if err != nil || v.cache == nil {
		return raw, err
	}
	token := &Verified{Claims: c, KeyID: ring.signer.id}
	token.IssuedAt, token.ExpiresAt = wholeSeconds(c.IssuedAt), wholeSeconds(c.ExpiresAt)
	token.Permissions = append([]string(nil), c.Permissions...) // the caller may change theirs
	if v.check(token) == nil {
		v.cache.put(raw, token)
	}
	return raw, nil
}

// wholeSeconds returns a time as it is read from a token.
func wholeSeconds(t time.Time) time.Time { return time.Unix(t.Unix(), 0).UTC() }
