package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// maxEpoch is the greatest integer on which all readers of JSON agree, also those that keep every
// number as a double (RFC 8259 section 6).
const maxEpoch = 1<<53 - 1

// Epochs say which of the revocations of all tokens at once a token was issued after. "Every token
// that was issued until now" can be revoked for one API key, for one Deployment or for all; each
// such revocation begins a new epoch there, and tokens of the earlier ones are no longer valid. A
// count does what a time cannot: iat has whole seconds, and the clocks of two nodes differ.
//
// In the token they are the private claim epochs (RFC 7519 section 4.3), an array of three integers
// in the order of the fields, which nobody but this product has to understand. It is left out when
// all are 0, as they are until the first revocation.
//
// Which epochs are current this package does not know.
type Epochs struct {
	Key        uint64 // of the API key
	Deployment uint64 // of the Deployment
	All        uint64 // of all tokens of this issuer
}

// Reaches says whether each of e is at least that of current: whether a token that says e was
// issued after each revocation that current counts.
func (e Epochs) Reaches(current Epochs) bool {
	return e.Key >= current.Key && e.Deployment >= current.Deployment && e.All >= current.All
}

func (e Epochs) inRange() bool {
	return e.Key <= maxEpoch && e.Deployment <= maxEpoch && e.All <= maxEpoch
}

// epochsValue accepts exactly three integers in plain digits: no sign, fraction or exponent.
func epochsValue(value []byte) (Epochs, error) {
	var wire []*uint64 // pointers, since null would be 0
	if err := json.Unmarshal(value, &wire); err != nil || slices.Contains(wire, nil) {
		return Epochs{}, errors.New("not a list of integers from 0 to 2^53-1")
	}
	if len(wire) != 3 {
		return Epochs{}, fmt.Errorf("%d integers, not 3", len(wire))
	}
	e := Epochs{Key: *wire[0], Deployment: *wire[1], All: *wire[2]}
	if !e.inRange() {
		return Epochs{}, errors.New("not integers from 0 to 2^53-1")
	}
	return e, nil
}
