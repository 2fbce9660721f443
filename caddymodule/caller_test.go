package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/internal/scrapetest"
)

// What the handlers for Airflow refuse to somebody whom deployment_auth has let pass is counted as theirs, and recorded
// in the audit log. The test is not parallel: it counts in what all have in common.
func TestRefusalsAtAirflowAreInTheAuditLog(t *testing.T) {
	app := newTestApp(t, nil)
	r := withReplacer(httptest.NewRequest(http.MethodGet, "/dep1/api/v2/dags", nil))
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "192.0.2.7")
	before := scrapetest.Of(t, metrics.register)
	for _, code := range []access.Code{access.CodeInsufficientScope, access.CodeInvalidRequest} {
		refused := access.Refuse(code, "x")
		refused.Key, refused.KeyDeployment, refused.Deployment = app.key.ID, "dep1", "dep1"
		app.RefusedAtAirflow(r, refused)
	}
	app.PassedAtAirflow()
	app.NoAirflow("dep1", errors.New("x"))
	after := scrapetest.Of(t, metrics.register)
	for _, outcome := range []string{outcomePassed, "insufficient_scope", "invalid_request", "temporarily_unavailable"} {
		for handler, want := range map[string]float64{"airflow": 1, "auth": 0} {
			series := fmt.Sprintf("requests_total{handler=%q,outcome=%q}", handler, outcome)
			if got := after.Get(t, series) - before.Get(t, series); got != want {
				t.Errorf("%s has grown by %v, want %v", series, got, want)
			}
		}
	}
	for _, entry := range refusalsOf(t, app.keys, 2) {
		if entry.Handler != "airflow" || entry.Deployment != "dep1" || entry.Key != app.key.ID || entry.Address != "192.0.2.7" {
			t.Errorf("the entry is %+v", entry)
		}
	}
}
