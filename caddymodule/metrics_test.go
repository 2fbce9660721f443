package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/internal/scrapetest"
	"github.com/deploymentkeys/gateway/keystore"
)

func tokenRequestBody(clientID, secret string) *http.Request {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {secret}}
	r := httptest.NewRequest("POST", pathToken, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	return r
}

// Not parallel: the counters are of the process, and nothing else may count meanwhile.
func TestMetricsCountRequests(t *testing.T) {
	app := newTestApp(t, nil)
	auth, tokens := newAuth(app, nil), &TokenHandler{app: app.App}
	all, narrow := app.token(t, app.key), app.token(t, app.narrow)
	withBearer := func(method, path, token string) *http.Request {
		r := httptest.NewRequest(method, path, nil)
		r.Header = bearer(token)
		return r
	}
	before := scrapetest.Of(t, metrics.register)
	for range 3 {
		serve(t, auth, withBearer("GET", "/dep1/api", all))
	}
	serve(t, tokens, tokenRequestBody(app.key.ID, app.secret))
	// Before anything is refused: for the audit log, too, is looked up where that belongs.
	passed := scrapetest.Of(t, metrics.register)
	serve(t, auth, withBearer("GET", "/dep2/api", all))
	serve(t, auth, withBearer("POST", "/dep1/api", narrow))
	serve(t, auth, withBearer("GET", "/dep1/api", "x"))
	serve(t, auth, withBearer("GET", "/dep1/../dep2", all))
	serve(t, auth, httptest.NewRequest("GET", "/dep1/api", nil))
	serve(t, tokens, tokenRequestBody(app.key.ID, app.narrowSecret))
	serve(t, tokens, httptest.NewRequest("GET", pathToken, nil))
	serve(t, tokens, httptest.NewRequest("GET", pathJWKS, nil)) // of no outcome
	serve(t, tokens, httptest.NewRequest("GET", "/else", nil))
	after := scrapetest.Of(t, metrics.register)

	want := map[string]float64{
		`requests_total{handler="auth",outcome="passed"}`:             3,
		`requests_total{handler="auth",outcome="insufficient_scope"}`: 2,
		`requests_total{handler="auth",outcome="invalid_token"}`:      1,
		`requests_total{handler="auth",outcome="invalid_request"}`:    1,
		`requests_total{handler="auth",outcome="unauthorized"}`:       1,
		`requests_total{handler="token",outcome="passed"}`:            1,
		`requests_total{handler="token",outcome="invalid_client"}`:    1,
		`requests_total{handler="token",outcome="invalid_request"}`:   1,
	}
	for name := range after {
		if !strings.HasPrefix(name, "requests_total") {
			continue
		}
		if got := after.Get(t, name) - before.Get(t, name); got != want[name] {
			t.Errorf("%s: %v more, want %v", name, got, want[name])
		}
	}
	hits := passed.Get(t, `view_lookups_total{result="hit"}`) - before.Get(t, `view_lookups_total{result="hit"}`)
	misses := passed.Get(t, `view_lookups_total{result="miss"}`) - before.Get(t, `view_lookups_total{result="miss"}`)
	// Three for each token that is good (its key, its Deployment, the cutoff), one for the key ID and the
	// secret, one for their Deployment, two for the token that was issued.
	if all := float64(3*3 + 1 + 1 + 2); hits+misses != all || misses == 0 {
		t.Errorf("%v hits and %v misses", hits, misses)
	}
	if got := after.Get(t, `remembered{kind="tokens"}`); got != 3 {
		t.Errorf("%v tokens are cached, want the 3 that were issued", got)
	}
}

// Whatever clients send and however many keys there are, the series are the same.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	before := scrapetest.Of(t, metrics.register)
	auth, tokens := newAuth(app, func(h *Auth) { h.Basic = true }), &TokenHandler{app: app.App}
	for i := range 50 {
		key, secret := app.newKey(t, "dep1", 0)
		for _, header := range []http.Header{
			bearer(app.token(t, key)), bearer(fmt.Sprintf("x%d", i)), basicAuth(key.ID, secret), basicAuth(fmt.Sprint(i), secret),
			{"Authorization": {fmt.Sprintf("Scheme%d x", i)}},
			{"Authorization": {"a", fmt.Sprint(i)}},
		} {
			for _, path := range []string{"/dep1/api", fmt.Sprintf("/dep%d/api", i+2), fmt.Sprintf("/a/../%d", i)} {
				r := httptest.NewRequest(fmt.Sprintf("M%d", i), path, nil)
				r.Header = header.Clone()
				serve(t, auth, r)
			}
		}
		serve(t, tokens, tokenRequestBody(key.ID, secret))
		serve(t, tokens, tokenRequestBody(fmt.Sprint(i), secret))
		if err := app.keys.DeleteKey(t.Context(), keystore.Caller{}, "dep1", key.ID); err != nil {
			t.Fatal(err)
		}
	}
	after := scrapetest.Of(t, metrics.register)
	for series := range after {
		if _, ok := before[series]; !ok {
			t.Errorf("%s is new", series)
		}
	}
	const most = 6*12 + 8*4 + 7 + 2 + 5 + 8 + 3 + 14
	if len(after) > most {
		t.Errorf("%d series, want %d at most", len(after), most)
	}

	allowed := map[string][]string{
		"handler":   {"auth", "token", "revoke", "introspect", "user_token", "airflow"},
		"outcome":   {outcomePassed},
		"operation": {"get", "members", "sizes", "apply", "log", "head", "next", "time"},
		"result":    {"hit", "miss"},
		"kind":      {"keys", "members", "deployments", "revocations", "tokens"},
	}
	for kind := range changeNames {
		allowed["kind"] = append(allowed["kind"], string(kind))
	}
	allowed["outcome"] = append(allowed["outcome"], "ok", "refused", "unavailable", "canceled") // of calls of the store
	allowed["outcome"] = append(allowed["outcome"], "recorded", "failed", "dropped")            // of last uses
	for _, code := range access.Codes() {
		allowed["outcome"] = append(allowed["outcome"], string(code))
	}
	for _, family := range scrapetest.Gather(t, metrics.register) {
		if family.GetHelp() == "" || !strings.HasPrefix(family.GetName(), "caddy_deployment_keys_") {
			t.Errorf("%s: %q", family.GetName(), family.GetHelp())
		}
		for _, metric := range family.Metric {
			for _, label := range metric.Label {
				if !slices.Contains(allowed[label.GetName()], label.GetValue()) {
					t.Errorf("%s has the label %s=%q", family.GetName(), label.GetName(), label.GetValue())
				}
			}
		}
	}
}

// A configuration after the other has a registry of its own, and the counters go on.
func TestMetricsOutliveConfigurations(t *testing.T) {
	t.Parallel()
	c := newCollectors()
	registries := []*prometheus.Registry{prometheus.NewPedanticRegistry(), prometheus.NewPedanticRegistry()}
	for _, registry := range registries {
		for range 2 { // as when two apps share a context
			if err := c.register(registry); err != nil {
				t.Fatal(err)
			}
		}
		c.auth.passed.Inc()
		if _, err := registry.Gather(); err != nil {
			t.Error(err)
		}
	}
	if got := scrapetest.Of(t, c.register).Get(t, `requests_total{handler="auth",outcome="passed"}`); got != 2 {
		t.Errorf("%v, want 2", got)
	}
	other := prometheus.NewPedanticRegistry()
	other.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "caddy_deployment_keys_requests_total", Help: "another"}))
	if c.register(other) == nil {
		t.Error("a name that is taken is no error")
	}
}
