package keystore

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"go.uber.org/zap/zapcore"
)

// SecretPrefix begins the text form of every secret, so that secret scanners can be told what a
// leaked one looks like: dks_ and 58 characters of a-z and 2-7.
const SecretPrefix = "dks_"

const (
	secretSize     = 32 // random bytes
	secretTextSize = len(SecretPrefix) + 58
)

// secretEncoding is base32 of RFC 4648 section 6 in lower case: safe in a shell, a URL, a form
// and HTTP Basic without any escaping, and found whole by a double click.
var secretEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

var prefixChecksum = crc32.ChecksumIEEE([]byte(SecretPrefix))

// redacted stands wherever a secret would have been printed.
const redacted = "[redacted]"

// A Secret is the secret half of a key: 256 random bits. Every way of printing it shows
// "[redacted]"; the one way to its text is [Secret.Reveal]. The zero Secret is no secret.
type Secret struct {
	random [secretSize]byte
	valid  bool
}

// NewSecret makes a secret.
func NewSecret() Secret {
	s := Secret{valid: true}
	rand.Read(s.random[:]) // never fails: crypto/rand ends the process rather than return an error
	return s
}

// ParseSecret reads the text form. Prefix, length, alphabet and checksum have to be right, so a
// mistyped secret is refused without asking the store. The error wraps [ErrInvalid] and never
// shows the text.
func ParseSecret(text string) (Secret, error) {
	s := Secret{valid: true}
	if len(text) != secretTextSize || !strings.HasPrefix(text, SecretPrefix) {
		return Secret{}, errSecretForm
	}
	var (
		raw   [secretSize + crc32.Size]byte
		coded [secretTextSize - len(SecretPrefix)]byte
	)
	copy(coded[:], text[len(SecretPrefix):])
	n, err := secretEncoding.Decode(raw[:], coded[:])
	if err != nil || n != len(raw) {
		return Secret{}, errSecretForm
	}
	copy(s.random[:], raw[:secretSize])
	// The last character has spare bits, which the decoder ignores: only the form that this
	// package writes is accepted, so that one secret has one text.
	var again [len(coded)]byte
	secretEncoding.Encode(again[:], raw[:])
	if binary.BigEndian.Uint32(raw[secretSize:]) != s.checksum() || again != coded {
		return Secret{}, errSecretForm
	}
	return s, nil
}

var errSecretForm = invalid("not the secret of a key: a secret is %s and 58 characters of a-z and 2-7", SecretPrefix)

// Reveal is the text form, for the one answer that shows it and for the person who types it.
func (s Secret) Reveal() string {
	if !s.valid {
		return ""
	}
	raw := make([]byte, 0, secretSize+crc32.Size)
	raw = append(raw, s.random[:]...)
	raw = binary.BigEndian.AppendUint32(raw, s.checksum())
	return SecretPrefix + secretEncoding.EncodeToString(raw)
}

// checksum covers the prefix, so that it also tells this product's secrets from others that
// happen to have the same shape.
func (s Secret) checksum() uint32 {
	return crc32.Update(prefixChecksum, crc32.IEEETable, s.random[:])
}

// String is "[redacted]".
func (Secret) String() string { return redacted }

// GoString is "[redacted]".
func (Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText is "[redacted]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalLogObject shows nothing of the secret to zap.
func (Secret) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("secret", redacted)
	return nil
}
