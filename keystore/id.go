package keystore

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/deploymentkeys/gateway/internal/redact"
)

// Bounds on what people may store.
const (
	MaxNameLength        = 128  // characters of a Deployment's or key's name
	MaxDescriptionLength = 1024 // characters
	MaxUserLength        = 256  // bytes of a member's user ID
)

// A key ID is 15 bytes: 6 of time in milliseconds, 5 random, and 4 of a code under a key of the
// store. In base32 these are 24 characters without padding.
const (
	keyIDBody     = 6 + 5
	keyIDSize     = keyIDBody + 4
	keyIDTextSize = 24
)

// idEncoding is base32hex of RFC 4648 section 7 in lower case: it keeps the order of the bytes,
// so key IDs sort by the time at which they were made and a page of keys is in that order.
var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newKeyID makes a key ID. It is not secret: 40 random bits only keep nodes from making the same
// one in the same millisecond, and the code lets them tell IDs that were made from made-up ones.
func (v *vault) newKeyID(now time.Time) string {
	var raw [keyIDSize]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(raw[6:keyIDBody]) // never fails: it ends the process instead
	copy(raw[keyIDBody:], v.code(v.idKey, "", raw[:keyIDBody]))
	return idEncoding.EncodeToString(raw[:])
}

// madeKeyID reports whether a key ID was made by this store, at any time: the key may be deleted.
// What was not made is of no key, and the store need not be asked, which would be an easy way to
// keep it busy. Guessing one takes four thousand million attempts.
func (v *vault) madeKeyID(id string) bool {
	var raw [keyIDSize]byte
	if !IsKeyID(id) {
		return false
	}
	if _, err := idEncoding.Decode(raw[:], []byte(id)); err != nil {
		return false
	}
	return subtle.ConstantTimeCompare(raw[keyIDBody:], v.code(v.idKey, "", raw[:keyIDBody])[:keyIDSize-keyIDBody]) == 1
}

// IsKeyID reports whether id has the form of a key ID: 24 characters of 0-9 and a-v.
func IsKeyID(id string) bool {
	if len(id) != keyIDTextSize {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'v') {
			return false
		}
	}
	return true
}

// newDeploymentID makes an ID for a Deployment that was given none: a letter, so that it is a
// valid name everywhere, and 75 random bits.
func newDeploymentID() string {
	var raw [10]byte
	_, _ = rand.Read(raw[:])
	return "d" + idEncoding.EncodeToString(raw[:])[:15]
}

var deploymentID = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// ValidateDeploymentID accepts DNS labels of RFC 1123 section 2.1 in lower case, so that an ID
// fits a path, a host name and an image name as it is. The error wraps [ErrInvalid].
func ValidateDeploymentID(id string) error {
	if !deploymentID.MatchString(id) {
		return invalid("id %q is not a DNS label: use 1 to 63 characters of a-z, 0-9 and -, with no - at either end", clip(id))
	}
	return nil
}

// ValidateUser accepts what an identity provider may call a user: 1 to 256 bytes of UTF-8
// without control characters, and no secret. The error wraps [ErrInvalid].
func ValidateUser(user string) error {
	if redact.Found(user) {
		return holdsSecret("user")
	}
	if user == "" || len(user) > MaxUserLength || !isText(user, false) {
		return invalid("user %q is not acceptable: use 1 to %d bytes of text without control characters", clip(user), MaxUserLength)
	}
	return nil
}

func validateName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return invalid("name is missing: say what it is for")
	case utf8.RuneCountInString(name) > MaxNameLength:
		return invalid("name is longer than %d characters", MaxNameLength)
	case !isText(name, false):
		return invalid("name has control characters or is not UTF-8")
	case redact.Found(name):
		return holdsSecret("name")
	}
	return nil
}

func validateDescription(description string) error {
	switch {
	case utf8.RuneCountInString(description) > MaxDescriptionLength:
		return invalid("description is longer than %d characters", MaxDescriptionLength)
	case !isText(description, true):
		return invalid("description has control characters or is not UTF-8")
	case redact.Found(description):
		return holdsSecret("description")
	}
	return nil
}

// holdsSecret is the error for a text in which somebody has pasted a secret or a token: whoever may see lists and the
// audit log would have it, and the store, for as long as there is an entry of it.
func holdsSecret(field string) error {
	return invalid("%s has the secret of a key or a token in it, which would be shown to others: leave it out", field)
}

// isText refuses what could play tricks on a terminal, a log or a table: control characters,
// characters that turn the direction of the text around them, and invalid UTF-8.
func isText(s string, lines bool) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		if lines && (r == '\n' || r == '\t') {
			return false
		}
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	})
}

// clip keeps an error message short when the value that it names is not.
func clip(s string) string { return clipTo(s, 80) }

// clipTo cuts a text off after so many bytes, at the beginning of a character.
func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
