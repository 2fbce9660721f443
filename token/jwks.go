package token

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/go-jose/go-jose/v4"
)

// JWKS returns the ring's public keys as a JWK Set (RFC 7517 section 5), newest first, each with
// kid, alg and use. The bytes are made once, so the same ring always returns the same; the caller
// owns its copy.
func (r *Ring) JWKS() []byte { return bytes.Clone(r.jwks) }

// ETag is the entity tag of [Ring.JWKS], with its quotes (RFC 9110 section 8.8.3). It is a strong
// one: two rings have the same exactly if their documents are the same, byte for byte, on whatever
// node they were made.
func (r *Ring) ETag() string { return r.etag }

func entityTag(document []byte) string {
	sum := sha256.Sum256(document)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
}

func encodeJWKS(keys []*SigningKey) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, 0, len(keys))}
	for _, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{
			Key:       key.public,
			KeyID:     key.id,
			Algorithm: string(key.algorithm),
			Use:       "sig",
		})
	}
	return json.Marshal(set)
}

// thumbprint is the JWK thumbprint (RFC 7638, for Ed25519 RFC 8037 section 2) by SHA-256, in
// base64url.
func thumbprint(public crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
