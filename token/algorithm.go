package token

import (
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is the name of a signature algorithm as the header parameter alg has it (RFC 7518
// section 3.1). Names are case-sensitive (RFC 7515 section 4.1.1).
type Algorithm string

// The algorithms that tokens can be signed with. All are asymmetric: whoever can verify a token
// cannot make one, so the keys that verify may be published.
const (
	// ES256 is ECDSA with P-256 and SHA-256 (RFC 7518 section 3.4).
	ES256 Algorithm = "ES256"

	// EdDSA is Ed25519 (RFC 8037 section 3.1). Not every client library knows it.
	EdDSA Algorithm = "EdDSA"

	// RS256 is RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3). RFC 9068 section 2.1
	// requires every authorization and resource server to support it.
	RS256 Algorithm = "RS256"
)

// DefaultAlgorithm is what a deployment that configures none signs with: known to every current
// library, short signatures, and the cheapest to sign with but one.
const DefaultAlgorithm = ES256

// ParseAlgorithm returns the algorithm of that name. The empty string is an error too: it is more
// likely an environment variable that is not set than a wish for [DefaultAlgorithm].
func ParseAlgorithm(name string) (Algorithm, error) {
	switch alg := Algorithm(name); alg {
	case ES256, EdDSA, RS256:
		return alg, nil
	default:
		return "", fmt.Errorf("unknown signature algorithm %q: use %s, %s or %s", name, ES256, EdDSA, RS256)
	}
}

// method returns what signs and verifies, golang-jwt's ways, nil for a name that is none of ours. It
// does not ask golang-jwt's registry by name, which also knows "none" and HMAC.
func (a Algorithm) method() jwt.SigningMethod {
	switch a {
	case ES256:
		return jwt.SigningMethodES256
	case EdDSA:
		return jwt.SigningMethodEdDSA
	case RS256:
		return jwt.SigningMethodRS256
	default:
		return nil
	}
}
