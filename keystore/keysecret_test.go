package keystore

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestSecretText(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^dks_[a-z2-7]{58}$`)
	seen := make(map[string]bool)
	for range 100 {
		text := NewSecret().Reveal()
		if !form.MatchString(text) || seen[text] {
			t.Fatalf("made %q", text)
		}
		seen[text] = true
		parsed, err := ParseSecret(text)
		if err != nil || parsed.Reveal() != text {
			t.Fatalf("%q is read as %q, error %v", text, parsed.Reveal(), err)
		}
	}
}

// The text form of a known secret, so that a change of it does not go unseen: clients hold it.
func TestSecretTextStaysTheSame(t *testing.T) {
	t.Parallel()
	s := Secret{valid: true}
	for i := range s.random {
		s.random[i] = byte(i)
	}
	const want = "dks_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp3xhklii"
	if got := s.Reveal(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := ParseSecret(want); err != nil {
		t.Error(err)
	}
}

func TestParseSecretAcceptsOneTextOnly(t *testing.T) {
	t.Parallel()
	text := NewSecret().Reveal()
	last := text[len(text)-1]
	tests := map[string]string{
		"empty":            "",
		"prefix alone":     SecretPrefix,
		"no prefix":        text[len(SecretPrefix):],
		"other prefix":     "dkt_" + text[len(SecretPrefix):],
		"capitals":         strings.ToUpper(text),
		"cut off":          text[:len(text)-1],
		"extended":         text + "a",
		"padding":          text[:len(text)-1] + "=",
		"space before":     " " + text[:len(text)-1],
		"line feed inside": text[:20] + "\n" + text[21:],
		"other alphabet":   text[:20] + "1" + text[21:],
		"not ASCII":        text[:20] + "é" + text[22:],
	}
	// The last character has spare bits: each of those that decode to the same bytes is another text.
	for _, c := range "abcdefghijklmnopqrstuvwxyz234567" {
		if byte(c) != last {
			tests["last character "+string(c)] = text[:len(text)-1] + string(c)
		}
	}
	for i := len(SecretPrefix); i < len(text); i++ {
		other := byte('a')
		if text[i] == 'a' {
			other = 'b'
		}
		tests[fmt.Sprintf("mistyped at %d", i)] = text[:i] + string(other) + text[i+1:]
	}
	for name, mistyped := range tests {
		if _, err := ParseSecret(mistyped); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %q is read, error %v", name, mistyped, err)
		} else if len(mistyped) > len(SecretPrefix) && strings.Contains(err.Error(), mistyped) {
			t.Errorf("%s: the error shows the text: %v", name, err)
		}
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	s := NewSecret()
	encoded, err := json.Marshal(map[string]any{"a": s, "b": &s})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logged), zap.DebugLevel))
	logger.Info("x", zap.Any("any", s), zap.Stringer("stringer", s), zap.Object("object", s), zap.Reflect("reflect", struct{ S Secret }{s}))
	for _, shown := range []string{
		fmt.Sprint(s), fmt.Sprint(&s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v", struct{ S Secret }{s}, &struct{ S *Secret }{&s}, []Secret{s}),
		string(encoded), logged.String(),
	} {
		for _, part := range []string{s.Reveal()[4:], fmt.Sprintf("%x", s.random), fmt.Sprint(s.random[:])} {
			if strings.Contains(shown, part) {
				t.Errorf("%q shows the secret", shown)
			}
		}
	}
}

// A record of a key as this version writes it, opened with a data key that never changes: stores
// of today have to be readable by the versions to come.
func TestHashStaysTheSame(t *testing.T) {
	t.Parallel()
	v, err := newVault(make([]byte, vaultKeySize))
	if err != nil {
		t.Fatal(err)
	}
	s := Secret{valid: true}
	const want = "72928d8f56dc7a3d"
	if got := fmt.Sprintf("%x", v.hashSecret("06h00b4li1ssr29iei493tap", s)[:8]); got != want {
		t.Errorf("the hash begins with %s, want %s", got, want)
	}
	if got := fmt.Sprintf("%08x", crc32.ChecksumIEEE(v.sealRecord("key/x", []byte("{}")))); got != "b053e168" {
		t.Errorf("the sealed record has the checksum %s", got)
	}
}

// BenchmarkSecretCheck is what a request with a secret costs besides the store: the text is read,
// hashed and compared.
func BenchmarkSecretCheck(b *testing.B) {
	v, err := newVault(make([]byte, vaultKeySize))
	if err != nil {
		b.Fatal(err)
	}
	text, id := NewSecret().Reveal(), "06h00b4li1ssr29iei493tap"
	s, _ := ParseSecret(text)
	stored := v.hashSecret(id, s)
	b.ReportAllocs()
	for b.Loop() {
		s, err := ParseSecret(text)
		if err != nil || subtle.ConstantTimeCompare(stored, v.hashSecret(id, s)) != 1 {
			b.Fatal("refused")
		}
	}
}
