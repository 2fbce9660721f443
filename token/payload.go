package token

import (
	"fmt"
	"time"
)

// parseClaims reads a JWT Claims Set (RFC 7519 section 4). Claims that are not known are ignored, as
// the RFC demands; a known one of a wrong type, null included, is an [ErrClaims].
func parseClaims(payload []byte) (*Verified, error) {
	v := new(Verified)
	err := members(payload, func(name, value []byte) error {
		if err := v.set(name, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return v, nil
}

func (v *Verified) set(name, value []byte) (err error) {
	switch string(name) {
	case "iss":
		v.Issuer, err = stringValue(value)
	case "sub":
		v.Subject, err = stringValue(value)
	case "aud":
		v.Audience, err = audienceValue(value)
	case "jti":
		v.ID, err = stringValue(value)
	case "client_id":
		v.ClientID, err = stringValue(value)
	case "scope":
		v.Scope, err = stringValue(value)
	case "deployment_id":
		v.DeploymentID, err = stringValue(value)
	case "permissions":
		v.Permissions, err = stringsValue(value)
	case "epochs":
		v.Epochs, err = epochsValue(value)
	case "exp":
		v.ExpiresAt, err = timeValue(value)
	case "iat":
		v.IssuedAt, err = timeValue(value)
	case "nbf":
		v.notBefore, err = timeValue(value)
	}
	return err
}

func timeValue(value []byte) (time.Time, error) {
	seconds, err := secondsValue(value)
	if err != nil {
		return time.Time{}, err
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
