package token

import (
	"encoding/json"
	"fmt"
	"time"
)

// upstreamMediaType is the typ of a token for an upstream. Since it is not that of an access token,
// [Verifier.Verify] refuses such a token, whatever its claims are.
const upstreamMediaType = "JWT"

// UpstreamClaims is what a token says by which the gateway, not a client, authenticates itself to an
// upstream that trusts its JWK Set. All are required.
type UpstreamClaims struct {
	Issuer   string // iss
	Subject  string // sub: for whom the gateway acts
	Audience string // aud: the one upstream that is to accept it
	Role     string // role: what they may do there, in the upstream's words

	IssuedAt  time.Time // iat and nbf, in whole seconds
	ExpiresAt time.Time // exp, in whole seconds
}

// wireUpstreamClaims is the JSON form.
type wireUpstreamClaims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	ExpiresAt int64  `json:"exp"`
	NotBefore int64  `json:"nbf"`
	IssuedAt  int64  `json:"iat"`
	ID        string `json:"jti"`
	Role      string `json:"role"`
}

// SignUpstream returns the claims as a JWT in the compact form, with a jti of its own, signed by the
// ring's [Ring.Signer]. It is no access token: its typ is JWT (RFC 7519 section 5.1), and not at+jwt.
//
// It returns [ErrClaims] if a claim is missing, or the token would be over 8 KiB.
func (r *Ring) SignUpstream(c UpstreamClaims) (string, error) {
	for _, required := range [...]struct{ name, value string }{
		{"iss", c.Issuer}, {"sub", c.Subject}, {"aud", c.Audience}, {"role", c.Role},
	} {
		if required.value == "" {
			return "", fmt.Errorf("%w: %s is missing or empty", ErrClaims, required.name)
		}
	}
	if c.IssuedAt.Unix() <= 0 || c.ExpiresAt.Unix() <= c.IssuedAt.Unix() {
		return "", fmt.Errorf("%w: exp is not after iat", ErrClaims)
	}
	key := r.signer
	header, err := encodeHeader(key.algorithm, key.id, upstreamMediaType)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrClaims, err)
	}
	payload, err := json.Marshal(wireUpstreamClaims{
		Issuer:    c.Issuer,
		Subject:   c.Subject,
		Audience:  c.Audience,
		ExpiresAt: c.ExpiresAt.Unix(),
		NotBefore: c.IssuedAt.Unix(),
		IssuedAt:  c.IssuedAt.Unix(),
		ID:        NewID(),
		Role:      c.Role,
	})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return key.compact(header, payload)
}
