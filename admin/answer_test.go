package admin

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// What was pasted in the wrong place is named in the error, and answers are logged by whoever calls.
func TestErrorRepeatsNoSecret(t *testing.T) {
	t.Parallel()
	secret := keystore.NewSecret().Reveal()
	for _, err := range []error{keystore.ValidateDeploymentID(secret), badRequest("unknown field \"" + secret + "\"")} {
		w := httptest.NewRecorder()
		writeError(w, err)
		if body := w.Body.String(); w.Code != 400 || strings.Contains(body, secret[4:]) || !strings.Contains(body, "dks_[redacted]") {
			t.Errorf("status %d, %s", w.Code, body)
		}
	}
}
