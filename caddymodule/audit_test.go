package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

// refusalsOf has an audit log written until it has so many refusals, and returns them, newest first.
func refusalsOf(t *testing.T, keys *keystore.Keystore, want int) []keystore.AuditEntry {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		list, err := keys.Audit(t.Context(), keystore.Page{Limit: keystore.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		var refusals []keystore.AuditEntry
		for _, entry := range list.Items {
			if entry.Kind == keystore.RequestRefused {
				refusals = append(refusals, entry)
			}
		}
		if len(refusals) >= want {
			return refusals
		}
		if time.Now().After(deadline) {
			for _, entry := range list.Items {
				t.Logf("%s", entry.Line)
			}
			t.Fatalf("the audit log has %d refusals, want %d", len(refusals), want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestRefusalsAreInTheAuditLog(t *testing.T) {
	app := newTestApp(t, nil)
	tokens := &TokenHandler{app: app.App}
	raw := app.token(t, app.key)
	refuse := map[string]func(){
		// The token of another Deployment belongs to the log of the one that it was tried on.
		"auth insufficient_scope dep2 " + app.key.ID: func() { app.get(t, "/dep2/x", raw) },
		// A wrong secret of a key that there is: the key's Deployment.
		"token invalid_client dep1 " + app.key.ID: func() {
			serve(t, tokens, tokenRequestBody(app.key.ID, keystore.NewSecret().Reveal()))
		},
		// What is nobody's is of no Deployment, whatever it was tried on, and has no key.
		"auth invalid_token": func() { app.get(t, "/dep1/x", "nonsense") },
	}
	for _, do := range refuse {
		do()
	}
	// A made-up key ID is no key.
	serve(t, tokens, tokenRequestBody(strings.Repeat("0", 24), app.secret))
	refuse["token invalid_client"] = nil

	got := map[string]bool{}
	for _, entry := range refusalsOf(t, app.keys, len(refuse)) {
		got[strings.TrimSpace(fmt.Sprintf("%s %s %s %s", entry.Handler, entry.Error, entry.Deployment, entry.Key))] = true
	}
	for want := range refuse {
		if !got[strings.TrimSpace(want)] {
			t.Errorf("%q is not among %v", want, got)
		}
	}
}

func TestRequestsWithoutCredentialsAreNoRefusals(t *testing.T) {
	app := newTestApp(t, nil)
	h := newAuth(app, nil)
	if w := serve(t, h, httptest.NewRequest(http.MethodGet, "/dep1/x", nil)); w.Code != http.StatusUnauthorized {
		t.Fatalf("status %d", w.Code)
	}
	app.get(t, "/dep1/x", "nonsense")
	if got := refusalsOf(t, app.keys, 1); len(got) != 1 || got[0].Error != string(access.CodeInvalidToken) {
		t.Errorf("refusals %+v", got)
	}
}
