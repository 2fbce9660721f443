package token

import (
	"errors"
	"fmt"
	"time"
)

// The reasons for which a token is refused. Every error of [Verifier.Verify] wraps one of them.
//
// The first four arise before the signature is verified: whoever sent the token has proven
// nothing, and must not learn which of them it was. The others arise after; [Proven] tells.
var (
	// ErrMalformed says that the text is not a signed JWT in compact form, or has a header that
	// no token of this product has.
	ErrMalformed = errors.New("malformed token")

	// ErrAlgorithm says that the header names an algorithm that is not that of the key.
	ErrAlgorithm = errors.New("wrong signature algorithm")

	// ErrUnknownKey says that the ring holds no key of that ID. Another node may have made one
	// in the meantime, so the caller may load the keys again and try once more; anyone can
	// provoke that without a credential, so it has to be limited in rate.
	ErrUnknownKey = errors.New("unknown signing key")

	// ErrSignature says that the signature does not fit.
	ErrSignature = errors.New("wrong signature")

	// ErrClaims says that a required claim is missing, or that one is not of its type, is out of
	// range or names more than one audience. [Ring.Sign] also returns it for claims that could not be verified again.
	ErrClaims = errors.New("unacceptable claims")

	// ErrIssuer says that the token is of another issuer.
	ErrIssuer = errors.New("token of another issuer")

	// ErrAudience says that the token is for none of the configured audiences.
	ErrAudience = errors.New("token for another audience")

	// ErrNotYetValid says that the token was issued in the future, or is not to be used yet.
	ErrNotYetValid = errors.New("token not yet valid")

	// ErrExpired says that the token's time is over. The error is an [*ExpiredError].
	ErrExpired = errors.New("token expired")
)

// The reasons for which a key is not usable.
var (
	// ErrKey says that a private key cannot be read, is too weak, or is not one for its algorithm.
	ErrKey = errors.New("unusable signing key")

	// ErrNoSigningKey says that the key that is to sign is not among those of a ring.
	ErrNoSigningKey = errors.New("no signing key")
)

// ExpiredError is an [ErrExpired] that says since when.
type ExpiredError struct {
	// ExpiredAt is the token's exp claim, in UTC.
	ExpiredAt time.Time
}

// Error says since when the token is expired, as RFC 3339 writes times.
func (e *ExpiredError) Error() string {
	return fmt.Sprintf("%v at %s", ErrExpired, e.ExpiredAt.Format(time.RFC3339))
}

// Unwrap makes it an [ErrExpired].
func (e *ExpiredError) Unwrap() error { return ErrExpired }

// Proven says whether the error arose after the token's signature was verified. The sender then
// holds a token that this issuer signed and may be told why it is refused; in any other case the
// reason would only help somebody who is trying tokens out.
func Proven(err error) bool {
	var proven *provenError
	return errors.As(err, &proven)
}

// ProvenToken returns what the token says that an error of [Verifier.Verify] is about, when its
// signature was verified and its claims could be read: a token that is expired, not yet valid, for
// another audience, or of another issuer. It is for explaining a refusal and no reason to admit the
// token.
//
// There is none when nothing was proven, nor when the claims are unacceptable ([ErrClaims]): what
// cannot be read in one way only says nothing.
func ProvenToken(err error) (*Verified, bool) {
	var proven *provenError
	if !errors.As(err, &proven) || proven.token == nil {
		return nil, false
	}
	return proven.token, true
}

// ProvenClient is the client_id of the [ProvenToken] of an error, and "" if there is none.
func ProvenClient(err error) string {
	token, ok := ProvenToken(err)
	if !ok {
		return ""
	}
	return token.ClientID
}

// provenError marks a reason that may be told.
type provenError struct {
	reason error
	token  *Verified // nil when the claims are unacceptable
}

func (e *provenError) Error() string { return e.reason.Error() }
func (e *provenError) Unwrap() error { return e.reason }
