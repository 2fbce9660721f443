// Package redact knows what the credentials of this product look like in a text: the secret of a key, and a token in
// the form of a JWT. It knows nothing of where texts come from, and checks no credential: what looks like one is
// taken for one.
//
// It is for texts that may repeat what somebody sent: people paste a secret where an ID belongs, and programs put a
// token into a URL. A password has no form of its own and is not found.
package redact

import (
	"bytes"
	"regexp"
	"strings"
)

// In the place of a credential stands what it begins with, so that it can be told what it was, and mark.
const (
	secretPrefix = "dks_" // keystore.SecretPrefix
	tokenPrefix  = "eyJ"  // {" in base64, with which the header and the claims of a JWT begin
	mark         = "[redacted]"
)

// Of a secret that was cut off or mistyped, and of a token without its signature, not enough may be left to find the
// rest: eight characters are 40 bits of a secret, and a token needs all of its parts. A secret that follows right after
// what looks like the beginning of another is part of the match: its "dks" could be read as characters of that one, and
// what comes after the "_" would be left.
var credential = regexp.MustCompile(`(dks_)(?:[A-Za-z0-9]*dks_)*[A-Za-z0-9]{8,}|(eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*`)

// Text puts "[redacted]" in the place of every credential in a text, but for the first characters that all of its kind
// have.
func Text(s string) string {
	if !Found(s) {
		return s
	}
	return credential.ReplaceAllString(s, "${1}${2}"+mark)
}

// Bytes is [Text] for bytes. It returns b itself when there is no credential in it, and never writes to b.
func Bytes(b []byte) []byte {
	if !bytes.Contains(b, []byte(secretPrefix)) && !bytes.Contains(b, []byte(tokenPrefix)) {
		return b
	}
	if !credential.Match(b) {
		return b
	}
	return credential.ReplaceAll(b, []byte("${1}${2}"+mark))
}

// Found reports whether there is a credential in a text.
func Found(s string) bool {
	// Nearly no text has one, and to look for a few characters is a hundred times faster than the expression.
	return (strings.Contains(s, secretPrefix) || strings.Contains(s, tokenPrefix)) && credential.MatchString(s)
}
