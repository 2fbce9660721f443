package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// PublicKey is a key of somebody else, that is to be published beside a ring's own. It verifies
// nothing here. It is immutable.
type PublicKey struct {
	jwk jose.JSONWebKey
}

// ParsePublicKey reads a public key in PEM (RFC 7468 section 13), as `openssl pkey -pubout` writes
// it: RSA of 2048 bits or more, Ed25519, or on P-256. id is the kid by which tokens name it.
//
// It returns [ErrKey] for anything else, a private key in particular.
func ParsePublicKey(id, text string) (PublicKey, error) {
	if id == "" {
		return PublicKey{}, fmt.Errorf("%w: it has no ID", ErrKey)
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return PublicKey{}, fmt.Errorf("%w: %s is not in PEM", ErrKey, id)
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return PublicKey{}, fmt.Errorf("%w: %s is a private key, which is not to leave its owner: give the public one, as openssl pkey -pubout writes it", ErrKey, id)
	case block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "":
		return PublicKey{}, fmt.Errorf("%w: %s is not one PUBLIC KEY in PEM", ErrKey, id)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: %s: %w", ErrKey, id, err)
	}
	jwk := jose.JSONWebKey{Key: public, KeyID: id, Use: "sig"}
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < rsaBits {
			return PublicKey{}, fmt.Errorf("%w: %s is RSA of %d bits, at least %d are needed", ErrKey, id, bits, rsaBits)
		}
		jwk.Algorithm = string(RS256)
	case ed25519.PublicKey:
		jwk.Algorithm = string(EdDSA)
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return PublicKey{}, fmt.Errorf("%w: %s is on %s, P-256 is accepted", ErrKey, id, key.Curve.Params().Name)
		}
		jwk.Algorithm = string(ES256)
	default:
		return PublicKey{}, fmt.Errorf("%w: %s is a %T", ErrKey, id, public)
	}
	return PublicKey{jwk}, nil
}

// JWKSWith is [Ring.JWKS] with keys of others after the ring's own. It is for the one reader who is to
// trust them too, and never for all: whoever trusts a set trusts each key in it for everything.
//
// It returns [ErrKey] if two keys have the same ID.
func (r *Ring) JWKSWith(others ...PublicKey) ([]byte, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(r.jwks, &set); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	for _, other := range others {
		if len(set.Key(other.jwk.KeyID)) > 0 {
			return nil, fmt.Errorf("%w: %s is there twice", ErrKey, other.jwk.KeyID)
		}
		set.Keys = append(set.Keys, other.jwk)
	}
	return json.Marshal(set)
}
