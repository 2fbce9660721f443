package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// rsaBits is the size of new RSA keys, and the least that is accepted (RFC 7518 section 3.3).
const rsaBits = 2048

// SigningKey is a private key that signs access tokens, with what is known about it. It is
// immutable, and safe for concurrent use.
//
// However it is printed, logged or encoded, it shows its ID and algorithm and nothing else. Only
// [SigningKey.Marshal] gives out the private part.
type SigningKey struct {
	id        string
	algorithm Algorithm
	createdAt time.Time

	method jwt.SigningMethod
	header string // the JOSE header in base64url, the same in every token of this key
	public crypto.PublicKey

	// private is a function because fmt does not call the methods below for a SigningKey in an
	// unexported field of something else. Of a pointer it may then print what is behind it (with
	// %s); of a function, never more than the address.
	private func() crypto.Signer
}

// GenerateKey makes a key for the algorithm: on P-256, for Ed25519, or of 2048 bits for RSA, which
// takes up to a second.
//
// The time is kept in UTC and whole milliseconds, so that it is the same again when it was stored.
func GenerateKey(alg Algorithm, now time.Time) (*SigningKey, error) {
	var (
		signer crypto.Signer
		err    error
	)
	switch alg {
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case RS256:
		signer, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		_, err = ParseAlgorithm(string(alg))
	}
	if err != nil {
		return nil, fmt.Errorf("generating a signing key: %w", err)
	}
	return newKey(alg, now, signer)
}

// ParseKey reads what [SigningKey.Marshal] wrote. The algorithm and the time of creation are not
// in it; whoever stores the key stores them beside it. The ID is computed again from the key
// itself, so a stored one can be compared with it.
//
// It returns [ErrKey] for a key that is not one for the algorithm: another kind, a curve other than
// P-256, RSA of fewer than 2048 bits.
func ParseKey(alg Algorithm, createdAt time.Time, der []byte) (*SigningKey, error) {
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The parser's own words may name a structure, never a value of the key.
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: a %T cannot sign", ErrKey, private)
	}
	return newKey(alg, createdAt, signer)
}

// newKey refuses a key that does not fit the algorithm. That the two fit is what later makes it
// safe to verify by the algorithm of the key (RFC 8725 section 3.1).
func newKey(alg Algorithm, createdAt time.Time, signer crypto.Signer) (*SigningKey, error) {
	if err := fits(alg, signer); err != nil {
		return nil, err
	}
	id, err := thumbprint(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	header, err := encodeHeader(alg, id, mediaType)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &SigningKey{
		id:        id,
		algorithm: alg,
		createdAt: createdAt.UTC().Truncate(time.Millisecond),
		method:    alg.method(),
		header:    header,
		public:    signer.Public(),
		private:   func() crypto.Signer { return signer },
	}, nil
}

func fits(alg Algorithm, signer crypto.Signer) error {
	if alg.method() == nil {
		_, err := ParseAlgorithm(string(alg))
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	switch key := signer.(type) {
	case *ecdsa.PrivateKey:
		if alg == ES256 && key.Curve == elliptic.P256() {
			return nil
		}
		return fmt.Errorf("%w: a key on %s is not one for %s", ErrKey, key.Curve.Params().Name, alg)
	case ed25519.PrivateKey:
		if alg == EdDSA {
			return nil
		}
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < rsaBits {
			return fmt.Errorf("%w: RSA of %d bits, at least %d are needed", ErrKey, bits, rsaBits)
		}
		if alg == RS256 {
			return nil
		}
	}
	return fmt.Errorf("%w: a %T is not one for %s", ErrKey, signer, alg)
}

// ID is the key ID, kid: the key's thumbprint (RFC 7638) by SHA-256 in base64url, 43 characters.
// Two keys never share one, and nodes that hold the same key agree on it without storing it.
func (k *SigningKey) ID() string { return k.id }

// Algorithm is the one that the key signs with, and the only one that it verifies.
func (k *SigningKey) Algorithm() Algorithm { return k.algorithm }

// CreatedAt is when the key was made, in UTC and whole milliseconds.
func (k *SigningKey) CreatedAt() time.Time { return k.createdAt }

// Marshal returns the private key as PKCS #8 in DER (RFC 5958). Whoever has it can make tokens: it
// is to be sealed before it leaves the process.
func (k *SigningKey) Marshal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private())
	if err != nil {
		return nil, fmt.Errorf("encoding signing key %s: %w", k.id, err)
	}
	return der, nil
}

// The methods below have value receivers so that they also hold for a copy of a key.

// String names the key without its private part.
func (k SigningKey) String() string {
	return fmt.Sprintf("signing key %s (%s)", k.id, k.algorithm)
}

// GoString is what %#v prints: the same as [SigningKey.String].
func (k SigningKey) GoString() string { return k.String() }

// Format prints the same for every verb, also for %x, which would otherwise print the fields.
func (k SigningKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText is what JSON, slog and zap write.
func (k SigningKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Interface guards
var (
	_ fmt.Formatter  = SigningKey{}
	_ fmt.Stringer   = SigningKey{}
	_ fmt.GoStringer = SigningKey{}
)
