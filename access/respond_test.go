package access

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// The name of a parameter is repeated in the error, and may be a secret in the wrong place.
func TestRefusalRepeatsNoSecret(t *testing.T) {
	t.Parallel()
	secret := keystore.NewSecret().Reveal()
	_, err := parseForm([]byte(secret + "=a&" + secret + "=b"))
	if err == nil || !strings.Contains(err.Error(), secret) {
		t.Fatalf("%v: the test looks at the wrong thing", err)
	}
	refused, w := Refuse(CodeInvalidRequest, err.Error()), httptest.NewRecorder()
	if err := refused.Write(w); err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{w.Body.String(), refused.BearerChallenge("realm")} {
		if strings.Contains(said, secret[4:]) || !strings.Contains(said, "dks_[redacted]") {
			t.Errorf("the refusal is %s", said)
		}
	}
}

// Caddy's directive header changes the values of an answer's headers where they are. That must not get into other answers, nor into
// other headers.
func TestAnswersShareNoHeaders(t *testing.T) {
	t.Parallel()
	answer := func() http.Header {
		w := httptest.NewRecorder()
		if err := WriteJSON(w, http.StatusOK, struct{}{}); err != nil {
			t.Fatal(err)
		}
		return w.Header()
	}
	want := [][2]string{ // in the order in which they are written
		{"Content-Type", "application/json"}, {"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "no-store"}, {"Pragma", "no-cache"},
	}
	first := answer()
	for _, header := range want {
		first[header[0]] = append(first[header[0]], "appended")
	}
	for _, header := range want {
		if got := first[header[0]]; len(got) != 2 || got[0] != header[1] || got[1] != "appended" {
			t.Errorf("after something was appended to each, %s is %q", header[0], got)
		}
	}
	second := answer()
	for _, values := range second {
		values[0] = "replaced"
	}
	third := answer()
	for _, header := range want {
		if got := third[header[0]]; len(got) != 1 || got[0] != header[1] {
			t.Errorf("after another answer was changed, %s is %q, want %q", header[0], got, header[1])
		}
	}
}
