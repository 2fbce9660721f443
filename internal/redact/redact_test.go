package redact_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/deploymentkeys/gateway/internal/redact"
	"github.com/deploymentkeys/gateway/keystore"
)

const token = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIwNmgwMGI0bGkxc3NyMjlpZWk0OTN0YXAifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"

func TestCredentialsAreTakenOut(t *testing.T) {
	t.Parallel()
	secret := keystore.NewSecret().Reveal()
	for text, want := range map[string]string{
		secret:                                "dks_[redacted]",
		"/" + secret + "/api/x":               "/dks_[redacted]/api/x",
		`{"` + secret + `":"` + secret + `"}`: `{"dks_[redacted]":"dks_[redacted]"}`,
		secret[:len(secret)-1]:                "dks_[redacted]",
		secret[:20]:                           "dks_[redacted]",
		strings.ToUpper(secret):               strings.ToUpper(secret), // no form of a secret
		token:                                 "eyJ[redacted]",
		"?access_token=" + token + "&a=b":     "?access_token=eyJ[redacted]&a=b",
		"Bearer " + token + ", and more":      "Bearer eyJ[redacted], and more",
		token[:strings.LastIndex(token, ".")]: "eyJ[redacted]",
		token + ".x.y":                        "eyJ[redacted]",
		"dks_00000" + secret + "0":            "dks_[redacted]", // its "dks" is no part of the first
		"dks_0dks_00" + secret:                "dks_[redacted]",
		"dks_00000000000" + "dks_short":       "dks_[redacted]_short",
		"":                                    "",
		"the prefix is dks_ and base64 eyJ.":  "the prefix is dks_ and base64 eyJ.",
		"id \"dks_short\" is none":            "id \"dks_short\" is none",
		"06h00b4li1ssr29iei493tap":            "06h00b4li1ssr29iei493tap",
	} {
		got := redact.Text(text)
		if string(redact.Bytes([]byte(text))) != got {
			t.Errorf("%q: the bytes are another text than %q", text, got)
		}
		if redact.Found(text) != (got != text) {
			t.Errorf("%q: it is found or not, and the text is %q", text, got)
		}
		if got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestBytesAreNotWrittenTo(t *testing.T) {
	t.Parallel()
	before := []byte("token " + token + " end")
	if got := redact.Bytes(before); string(before) != "token "+token+" end" || string(got) != "token eyJ[redacted] end" {
		t.Errorf("%q, and it became %q", got, before)
	}
}

// Whatever is around a credential, it is taken out, and what is left is text.
func FuzzNothingOfACredentialIsLeft(f *testing.F) {
	secret := keystore.NewSecret().Reveal()
	for _, around := range []string{"", "/", "\"", "dks_", "dks_00000", "eyJ", "eyJ00000000.", "x", "%2F", ".", "=", "ä"} {
		f.Add(around, around)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, credential := range []string{secret, token} {
			got := redact.Text(before + credential + after)
			if strings.Contains(got, credential) || strings.Contains(got, credential[len(credential)/2:]) && !strings.Contains(before+after, credential[len(credential)/2:]) {
				t.Errorf("%q and %q around a credential: %q", before, after, got)
			}
			if utf8.ValidString(before) && utf8.ValidString(after) && !utf8.ValidString(got) {
				t.Errorf("%q and %q: %q is no text", before, after, got)
			}
		}
	})
}
