package caddymodule

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/deploymentkeys/gateway/keystore"
)

// A scrape is what /metrics says at a moment: values by name and labels, as in
// caddy_deployment_keys_requests_total{handler="auth",outcome="passed"}, and for a histogram, the
// count.
type scrape map[string]float64

func (s scrape) get(t *testing.T, series string) float64 {
	t.Helper()
	value, ok := s[metricsNamespace+"_"+metricsSubsystem+"_"+series]
	if !ok {
		t.Fatalf("there is no %s", series)
	}
	return value
}

// scrapeOf reads collectors as a configuration that exports them does: pedantically.
func scrapeOf(t *testing.T, c *collectors) scrape {
	t.Helper()
	s := make(scrape)
	for _, family := range gather(t, c) {
		for _, metric := range family.Metric {
			var labels []string
			for _, label := range metric.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
			}
			name := family.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			s[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return s
}

func gather(t *testing.T, c *collectors) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := c.register(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

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
	app.node.Load().auditor.close() // it looks up where refusals belong, when it comes to that
	before := scrapeOf(t, metrics)
	for range 3 {
		serve(t, auth, withBearer("GET", "/dep1/api", all))
	}
	serve(t, auth, withBearer("GET", "/dep2/api", all))
	serve(t, auth, withBearer("POST", "/dep1/api", narrow))
	serve(t, auth, withBearer("GET", "/dep1/api", "x"))
	serve(t, auth, withBearer("GET", "/dep1/../dep2", all))
	serve(t, auth, httptest.NewRequest("GET", "/dep1/api", nil))
	serve(t, tokens, tokenRequestBody(app.key.ID, app.secret))
	serve(t, tokens, tokenRequestBody(app.key.ID, app.narrowSecret))
	serve(t, tokens, httptest.NewRequest("GET", pathToken, nil))
	serve(t, tokens, httptest.NewRequest("GET", pathJWKS, nil)) // of no outcome
	serve(t, tokens, httptest.NewRequest("GET", "/else", nil))
	after := scrapeOf(t, metrics)

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
		series, _ := strings.CutPrefix(name, "caddy_deployment_keys_")
		if !strings.HasPrefix(series, "requests_total") {
			continue
		}
		if got := after.get(t, series) - before.get(t, series); got != want[series] {
			t.Errorf("%s: %v more, want %v", series, got, want[series])
		}
	}
	hits := after.get(t, `view_lookups_total{result="hit"}`) - before.get(t, `view_lookups_total{result="hit"}`)
	misses := after.get(t, `view_lookups_total{result="miss"}`) - before.get(t, `view_lookups_total{result="miss"}`)
	// Three for each proven token (its key, its Deployment, the cutoff), one for each key ID and
	// secret, one for the Deployment of those that are right, two for the token that was issued.
	if all := float64(5*3 + 2 + 1 + 2); hits+misses != all || misses == 0 {
		t.Errorf("%v hits and %v misses", hits, misses)
	}
	if got := after.get(t, `remembered{kind="tokens"}`); got != 2 {
		t.Errorf("%v tokens are remembered, want 2", got)
	}
}

// Whatever clients send and however many keys there are, the series are the same.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	before := scrapeOf(t, metrics)
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
	after := scrapeOf(t, metrics)
	for series := range after {
		if _, ok := before[series]; !ok {
			t.Errorf("%s is new", series)
		}
	}
	const most = 6*12 + 8*4 + 7 + 2 + 5 + 8 + 3
	if len(after) > most {
		t.Errorf("%d series, want %d at most", len(after), most)
	}

	allowed := map[string][]string{
		"handler":   {"auth", "token", "revoke", "introspect", "user_token", "airflow"},
		"outcome":   {outcomePassed},
		"operation": operationNames[:],
		"result":    {"hit", "miss"},
		"kind":      {"keys", "members", "deployments", "revocations", "tokens"},
	}
	allowed["outcome"] = append(allowed["outcome"], storeOutcomeNames[:]...)
	allowed["outcome"] = append(allowed["outcome"], "recorded", "failed", "dropped") // of last uses
	for code := range statusOf {
		allowed["outcome"] = append(allowed["outcome"], string(code))
	}
	for _, family := range gather(t, metrics) {
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
	if got := scrapeOf(t, c).get(t, `requests_total{handler="auth",outcome="passed"}`); got != 2 {
		t.Errorf("%v, want 2", got)
	}
	other := prometheus.NewPedanticRegistry()
	other.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "caddy_deployment_keys_requests_total", Help: "another"}))
	if c.register(other) == nil {
		t.Error("a name that is taken is no error")
	}
}

// collectedNode is a node of c, in use by an app, whose view has heard of the log if the store
// has one.
func collectedNode(t *testing.T, c *collectors, store keystore.Store) (*node, *App) {
	t.Helper()
	app := newTestApp(t, nil) // for its verifier
	keys := keystore.New(store, []byte(strings.Repeat("k", minSecretLength)))
	n := &node{store: store, keys: keys, view: keystore.NewView(keys, keystore.ViewOptions{})}
	c.nodes.opened(n)
	a := &App{verifier: app.verifier}
	a.node.Store(n)
	c.nodes.started(a)
	return n, a
}

// During a reload there are two nodes: counters are sums and never go back; of the ages, the
// worse one counts.
func TestMetricsOfSeveralNodes(t *testing.T) {
	t.Parallel()
	c := newCollectors()
	if _, ok := scrapeOf(t, c)["caddy_deployment_keys_knowledge_age_seconds"]; ok {
		t.Error("there is an age without a node")
	}
	following, deaf := newFakeLog(t), newFakeLog(t)
	deaf.fail.Store(true)
	n1, app1 := collectedNode(t, c, following)
	eventually(t, func() bool { _, heard := n1.view.Age(); return heard })
	if age := scrapeOf(t, c).get(t, "knowledge_age_seconds"); age > time.Minute.Seconds() {
		t.Errorf("age %v", age)
	}
	if got := scrapeOf(t, c).get(t, "log_position"); got != fakeHead {
		t.Errorf("log_position %v, want %v", got, fakeHead)
	}

	n2, app2 := collectedNode(t, c, deaf)
	eventually(t, func() bool { return scrapeOf(t, c).get(t, "log_errors_total") > 0 })
	for range 10 { // whatever the order of a map is
		s := scrapeOf(t, c)
		if !math.IsInf(s.get(t, "knowledge_age_seconds"), 1) || s.get(t, "log_position") != 0 {
			t.Fatalf("with a node that knows nothing: %v", s)
		}
	}

	_, _ = n1.view.Member(t.Context(), "dep1", "u", time.Hour)
	c.nodes.stopped(app2)
	if s := scrapeOf(t, c); math.IsInf(s.get(t, "knowledge_age_seconds"), 1) {
		t.Error("a node that nobody uses any more says how old the knowledge is")
	}
	before := scrapeOf(t, c)
	c.nodes.stopped(app1)
	for _, n := range []*node{n1, n2} {
		n.view.Close()
		c.nodes.closed(n)
		c.nodes.closed(n) // counted once
	}
	after := scrapeOf(t, c)
	for _, counter := range []string{`view_lookups_total{result="miss"}`, "log_errors_total", "log_events_total", "log_gaps_total"} {
		if was, is := before.get(t, counter), after.get(t, counter); is < was || (is == 0) != (was == 0) {
			t.Errorf("%s went from %v to %v", counter, was, is)
		}
	}
	if got := after.get(t, `remembered{kind="keys"}`); got != 0 {
		t.Errorf("%v keys are remembered by no node", got)
	}
}
