package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/deploymentkeys/gateway/internal/strictjson"
)

// parseClaims reads a JWT Claims Set (RFC 7519 section 4). Claims that are not known are ignored, as
// the RFC demands; a known one of a wrong type, null included, is an [ErrClaims].
func parseClaims(payload []byte) (*Verified, error) {
	members, err := strictjson.MembersOf("payload", payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	v := new(Verified)
	for _, claim := range [...]struct {
		name string
		read func([]byte) error
	}{
		{"iss", into(&v.Issuer, stringValue)},
		{"sub", into(&v.Subject, stringValue)},
		{"aud", into(&v.Audience, audienceValue)},
		{"exp", into(&v.ExpiresAt, timeValue)},
		{"iat", into(&v.IssuedAt, timeValue)},
		{"nbf", into(&v.notBefore, timeValue)},
		{"jti", into(&v.ID, stringValue)},
		{"client_id", into(&v.ClientID, stringValue)},
		{"scope", into(&v.Scope, stringValue)},
		{"deployment_id", into(&v.DeploymentID, stringValue)},
		{"permissions", into(&v.Permissions, stringsValue)},
		{"epochs", into(&v.Epochs, epochsValue)},
	} {
		value, ok := members[claim.name]
		if !ok {
			continue
		}
		if err := claim.read(value); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrClaims, claim.name, err)
		}
	}
	return v, nil
}

// into returns a function that reads a value into field.
func into[T any](field *T, read func([]byte) (T, error)) func([]byte) error {
	return func(value []byte) (err error) {
		*field, err = read(value)
		return err
	}
}

func stringValue(value []byte) (string, error) {
	text, ok := strictjson.String(value)
	if !ok {
		return "", errors.New("not a string")
	}
	return text, nil
}

// stringsValue returns the texts of a JSON array of strings, none of which may be empty.
func stringsValue(value []byte) ([]string, error) {
	var texts []string
	if err := json.Unmarshal(value, &texts); err != nil || texts == nil {
		return nil, errors.New("not an array of strings")
	}
	if slices.Contains(texts, "") { // as null is read, too
		return nil, errors.New("an empty string in the array")
	}
	if len(texts) == 0 {
		return nil, nil
	}
	return texts, nil
}

// timeValue reads a NumericDate (RFC 7519 section 2). The RFC allows fractions and, with them,
// exponents; no token of this issuer has them, and to read them needs rounding, on which two
// readers may differ by a second. So only whole seconds after 1970 and up to the year 9999 pass.
func timeValue(value []byte) (time.Time, error) {
	seconds, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return time.Time{}, errors.New("not whole seconds")
	}
	if seconds <= 0 || seconds > maxNumericDate {
		return time.Time{}, errors.New("out of range")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// audienceValue accepts both forms of RFC 7519 section 4.1.3, but one audience only: whom a token
// with several was meant for cannot be told, and each of them could use it against the others.
func audienceValue(value []byte) (string, error) {
	if value[0] != '[' {
		return stringValue(value)
	}
	audiences, err := stringsValue(value)
	if err != nil {
		return "", err
	}
	if len(audiences) != 1 {
		return "", fmt.Errorf("%d audiences, not 1", len(audiences))
	}
	return audiences[0], nil
}
