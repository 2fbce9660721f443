package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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
			t.Fatalf("the audit log has %d refusals, want %d: %+v", len(refusals), want, list.Items)
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
	if w := serve(t, newAuth(app, nil), httptest.NewRequest(http.MethodGet, "/dep1/x", nil)); w.Code != http.StatusUnauthorized {
		t.Fatalf("status %d", w.Code)
	}
	if events := app.node.Load().auditor.refusals.take(t.Context(), time.Now(), app.node.Load().view); len(events) != 0 {
		t.Errorf("refusals %+v", events)
	}
}

func TestRefusalsThatAreAlikeAreOneEntry(t *testing.T) {
	app := newTestApp(t, nil)
	view := app.node.Load().view
	a := newAuditRefusals()
	now := time.Now()
	kind := refusalKind{handler: "auth", code: codeInvalidToken, address: "192.0.2.1"}
	take := func(after time.Duration, want ...uint64) {
		t.Helper()
		events := a.take(t.Context(), now.Add(after), view)
		var got []uint64
		for _, event := range events {
			got = append(got, event.Count)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %s the counts are %v, want %v", after, got, want)
		}
	}
	if !a.note(now, kind) || a.note(now.Add(time.Second), kind) {
		t.Error("the first is not the first, or the second is")
	}
	take(time.Second, 2)
	for i := range 100 {
		a.note(now.Add(time.Duration(i)*time.Second), kind)
	}
	take(2 * time.Minute)
	take(auditRepeat+time.Second, 100)
	take(2*auditRepeat + time.Second)
	if len(a.alike) != 0 {
		t.Errorf("%d kinds are still told apart", len(a.alike))
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	app := newTestApp(t, nil)
	a := newAuditRefusals()
	now := time.Now()
	const flood = 5 * mostRefusalKinds
	for i := range flood {
		a.note(now, refusalKind{handler: "auth", code: codeInvalidToken, address: fmt.Sprintf("192.0.%d.%d", i/256, i%256)})
		a.note(now, refusalKind{handler: "token", code: codeInvalidClient, address: fmt.Sprintf("192.0.%d.%d", i/256, i%256)})
	}
	if len(a.alike) > mostRefusalKinds+2 {
		t.Errorf("%d kinds are told apart", len(a.alike))
	}
	var sum uint64
	events := a.take(t.Context(), now, app.node.Load().view)
	for _, event := range events {
		sum += event.Count
	}
	if sum != 2*flood {
		t.Errorf("%d are counted, want %d", sum, 2*flood)
	}
	// A store that cannot be asked loses none.
	a.giveBack(events)
	sum = 0
	for _, event := range a.take(t.Context(), now, app.node.Load().view) {
		sum += event.Count
	}
	if sum != 2*flood {
		t.Errorf("of what was given back %d are counted, want %d", sum, 2*flood)
	}
}

// A refused request must not become much dearer by being entered.
func BenchmarkRefusalNoted(b *testing.B) {
	app := newTestApp(b, nil)
	auditor := app.node.Load().auditor
	refused := refuse(codeInvalidToken, "this is not a valid access token of this gateway")
	refused.deploymentID = "dep1"
	b.ReportAllocs()
	for b.Loop() {
		auditor.refused("auth", refused, "192.0.2.1")
	}
}
