package token

import (
	"encoding/json"
	"strconv"
)

// appendJSON appends the JWT Claims Set to text. The order is what a person who decodes a token wants to
// see first. It is written by hand: reflection was what cost most in a token, besides its signature.
func (c *Claims) appendJSON(text []byte) []byte {
	text = appendString(append(text, `{"iss":`...), c.Issuer)
	text = appendString(append(text, `,"sub":`...), c.Subject)
	text = appendString(append(text, `,"aud":`...), c.Audience)
	text = strconv.AppendInt(append(text, `,"exp":`...), c.ExpiresAt.Unix(), 10)
	text = strconv.AppendInt(append(text, `,"iat":`...), c.IssuedAt.Unix(), 10)
	text = appendString(append(text, `,"jti":`...), c.ID)
	text = appendString(append(text, `,"client_id":`...), c.ClientID)
	if c.Scope != "" {
		text = appendString(append(text, `,"scope":`...), c.Scope)
	}
	if c.DeploymentID != "" {
		text = appendString(append(text, `,"deployment_id":`...), c.DeploymentID)
	}
	if len(c.Permissions) != 0 {
		text = append(text, `,"permissions":[`...)
		for i, permission := range c.Permissions {
			if i > 0 {
				text = append(text, ',')
			}
			text = appendString(text, permission)
		}
		text = append(text, ']')
	}
	if c.Epochs != (Epochs{}) {
		text = c.Epochs.appendJSON(append(text, `,"epochs":`...))
	}
	return append(text, '}')
}

// appendString appends a JSON string. What may need an escape is left to encoding/json.
func appendString(text []byte, s string) []byte {
	if !isPlain(s) {
		quoted, err := json.Marshal(s)
		if err != nil {
			panic(err) // a string has no value that cannot be written
		}
		return append(text, quoted...)
	}
	text = append(text, '"')
	text = append(text, s...)
	return append(text, '"')
}

// isPlain reports whether s is, between quotes, the JSON string that encoding/json makes of it.
func isPlain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
