package caddymodule

import (
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
	refused, w := refuse(codeInvalidRequest, err.Error()), httptest.NewRecorder()
	if err := refused.write(w); err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{w.Body.String(), refused.bearerChallenge("realm")} {
		if strings.Contains(said, secret[4:]) || !strings.Contains(said, "dks_[redacted]") {
			t.Errorf("the refusal is %s", said)
		}
	}
}
