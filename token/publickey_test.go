package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func publicPEM(t *testing.T, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func newRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newEC(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestPublicKeysOfOthersArePublished(t *testing.T) {
	t.Parallel()
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := newUpstreamRing(t, ES256)
	var others []PublicKey
	for id, public := range map[string]crypto.PublicKey{
		string(RS256): newRSA(t, 2048).Public(), string(EdDSA): edwards, string(ES256): newEC(t, elliptic.P256()).Public(),
	} {
		key, err := ParsePublicKey(id, publicPEM(t, public))
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, key)
	}
	document, err := ring.JWKSWith(others...)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 4 || set.Keys[0]["kid"] != ring.Signer().ID() {
		t.Fatalf("the set is %s", document)
	}
	for _, key := range set.Keys[1:] {
		if key["alg"] != key["kid"] || key["use"] != "sig" || key["d"] != nil {
			t.Errorf("a key is %v", key)
		}
	}
	if _, err := ring.JWKSWith(others[0], others[0]); !errors.Is(err, ErrKey) {
		t.Errorf("two keys of one ID: %v", err)
	}
	same, err := ParsePublicKey(ring.Signer().ID(), publicPEM(t, edwards))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.JWKSWith(same); !errors.Is(err, ErrKey) {
		t.Errorf("a key with the ID of one of the ring: %v", err)
	}
}

func TestPublicKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	good := publicPEM(t, newEC(t, elliptic.P256()).Public())
	private, err := x509.MarshalPKCS8PrivateKey(newEC(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"not in PEM":         "ssh-ed25519 AAAA",
		"private key":        string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"not one PUBLIC KEY": good + good,
		"1024 bits":          publicPEM(t, newWeakRSA(t)),
		"P-384":              publicPEM(t, newEC(t, elliptic.P384()).Public()),
		"asn1":               string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})),
	} {
		if _, err := ParsePublicKey("etl", text); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
	if _, err := ParsePublicKey("", good); !errors.Is(err, ErrKey) {
		t.Errorf("no ID: %v", err)
	}
}

// newWeakRSA is the public part of a key that crypto/rsa would not make: a number of 1024 bits.
func newWeakRSA(t *testing.T) *rsa.PublicKey {
	t.Helper()
	public := newRSA(t, 2048).PublicKey
	public.N.Rsh(public.N, 1024)
	return &public
}
