package token

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// maxNumericDate is the last second of the year 9999, the last one that RFC 3339 can write. Times
// up to there also cannot overflow in anything that is computed with them.
const maxNumericDate = 253402300799

// Claims is what an access token says (RFC 9068 section 2.2). All but Scope, DeploymentID,
// Permissions and Epochs are required.
//
// ClientID is required for every kind of token, as the RFC has it: it names the client that asked
// for the token. For the token of an API key that is the key, and Subject is the same. A token that
// a user asks for names in it the client that served the user; since that is never equal to a
// Subject, no user name can be chosen that reads as a key (RFC 9068 section 5).
type Claims struct {
	Issuer   string // iss
	Subject  string // sub
	Audience string // aud: exactly one, since a token for two can be passed on by either
	ID       string // jti, see [NewID]
	ClientID string // client_id

	Scope        string   // scope: the values separated by spaces (RFC 6749 section 3.3)
	DeploymentID string   // deployment_id: empty if the token is not bound to one Deployment
	Permissions  []string // permissions, as "deploymentId:<id>"
	Epochs       Epochs   // epochs

	IssuedAt  time.Time // iat, in whole seconds
	ExpiresAt time.Time // exp, in whole seconds: from that second on the token is dead
}

// wireClaims is the JWT Claims Set, in the order that a person who decodes a token wants to see.
type wireClaims struct {
	Issuer       string    `json:"iss"`
	Subject      string    `json:"sub"`
	Audience     string    `json:"aud"`
	ExpiresAt    int64     `json:"exp"`
	IssuedAt     int64     `json:"iat"`
	ID           string    `json:"jti"`
	ClientID     string    `json:"client_id"`
	Scope        string    `json:"scope,omitempty"`
	DeploymentID string    `json:"deployment_id,omitempty"`
	Permissions  []string  `json:"permissions,omitempty"`
	Epochs       [3]uint64 `json:"epochs,omitzero"`
}

// MarshalJSON writes the JWT Claims Set. Fractions of a second are cut off; claims that are not
// required are left out when they are empty.
func (c Claims) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireClaims{
		c.Issuer, c.Subject, c.Audience, c.ExpiresAt.Unix(), c.IssuedAt.Unix(), c.ID, c.ClientID, c.Scope, c.DeploymentID,
		c.Permissions,
		[3]uint64{c.Epochs.Key, c.Epochs.Deployment, c.Epochs.All},
	})
}

// complete returns an [ErrClaims] that names what is missing or out of range. Signing and verifying share it, so
// that no token can be issued that would not be accepted.
func (c *Claims) complete() error {
	for _, required := range [...]struct{ name, value string }{
		{"iss", c.Issuer}, {"sub", c.Subject}, {"aud", c.Audience}, {"jti", c.ID}, {"client_id", c.ClientID},
	} {
		if required.value == "" {
			return fmt.Errorf("%w: %s is missing or empty", ErrClaims, required.name)
		}
	}
	for _, required := range [...]struct {
		name  string
		value time.Time
	}{
		{"exp", c.ExpiresAt}, {"iat", c.IssuedAt},
	} {
		if seconds := required.value.Unix(); seconds <= 0 || seconds > maxNumericDate {
			return fmt.Errorf("%w: %s is missing or out of range", ErrClaims, required.name)
		}
	}
	if !c.Epochs.inRange() {
		return fmt.Errorf("%w: epochs is out of range", ErrClaims)
	}
	return nil
}

// validText returns an [ErrClaims] if a string is not UTF-8, or a permission is empty. The JSON encoder would put
// U+FFFD in the place of each wrong byte, and two different subjects could become one.
func (c *Claims) validText() error {
	for _, text := range [...]string{
		c.Issuer, c.Subject, c.Audience, c.ID, c.ClientID, c.Scope, c.DeploymentID,
	} {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%w: %q is not UTF-8", ErrClaims, text)
		}
	}
	for _, text := range c.Permissions {
		if text == "" || !utf8.ValidString(text) {
			return fmt.Errorf("%w: permission %q is empty or not UTF-8", ErrClaims, text)
		}
	}
	return nil
}
