package token

import (
	"fmt"

	"github.com/deploymentkeys/gateway/internal/strictjson"
)

// Unproven is what the text of a token claims. Anybody can have written it: nothing in it is a fact,
// and nothing may be decided on it. Only [Verifier.Verify] proves a token.
type Unproven struct {
	// The header parameters alg, kid and typ; empty if they are missing or not strings.
	Algorithm, KeyID, Type string

	// Claims is what the payload says; zero if that cannot be read in one way only.
	Claims Claims
}

// Peek reads a token without proving anything about it. It is there to explain to a person who holds
// a token why it is refused, where Verify, which answers the sender, must not say: a key that is not
// there any more, another product's token, a wrong signature.
//
// The text is read as strictly as by Verify. The error is the first reason that is seen without a
// key for which Verify would refuse the token: [ErrMalformed], [ErrAlgorithm], then [ErrClaims].
// What could be read even so is returned along with it. No error says nothing in the token's favour.
func Peek(raw string) (Unproven, error) {
	c, header, err := decodeCompact(raw)
	if err != nil {
		return Unproven{}, err
	}
	u, err := peekHeader(header)

	token, claimsErr := parseClaims(c.payload)
	if claimsErr == nil {
		u.Claims = token.Claims
		claimsErr = token.complete()
	}
	if err == nil {
		err = claimsErr
	}
	return u, err
}

// peekHeader reads the three parameters also beside others, and returns what there is against the
// header.
func peekHeader(data []byte) (Unproven, error) {
	var u Unproven
	if members, err := strictjson.MembersOf("header", data); err == nil {
		u.Algorithm, _ = stringValue(members["alg"])
		u.KeyID, _ = stringValue(members["kid"])
		u.Type, _ = stringValue(members["typ"])
	}
	h, err := parseHeader(data)
	if err == nil && Algorithm(h.Algorithm).method() == nil {
		err = fmt.Errorf("%w: %.64q", ErrAlgorithm, h.Algorithm)
	}
	return u, err
}
