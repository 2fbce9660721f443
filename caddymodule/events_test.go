package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/internal/scrapetest"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

func init() {
	caddy.RegisterModule(subscriber{})
}

// A subscriber is an event handler that hands on what it gets.
type subscriber struct{}

// subscribed is what the subscriber does; nil is nothing.
var subscribed atomic.Pointer[func(caddy.Event) error]

func (subscriber) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.deployment_keys_test", New: func() caddy.Module { return new(subscriber) }}
}

func (subscriber) Handle(_ context.Context, event caddy.Event) error {
	if do := subscribed.Load(); do != nil {
		return (*do)(event)
	}
	return nil
}

var _ caddyevents.Handler = subscriber{}

// subscribe makes the subscriber hand on its events, in order.
func subscribe(t *testing.T) <-chan caddy.Event {
	t.Helper()
	events := make(chan caddy.Event, 10*mostRefusalEvents)
	do := func(event caddy.Event) error {
		events <- event
		return nil
	}
	subscribed.Store(&do)
	t.Cleanup(func() { subscribed.Store(nil) })
	return events
}

func receive(t *testing.T, events <-chan caddy.Event) caddy.Event {
	t.Helper()
	select {
	case event := <-events:
		return event
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
		return caddy.Event{}
	}
}

// runCaddy runs a configuration with an embedded store, and returns its app. There is one
// configuration in a process: no test that calls it may be parallel.
func runCaddy(t *testing.T, events string) *testApp {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	loadCaddy(t, events)
	t.Cleanup(func() { _ = caddy.Stop() })
	return activeTestApp(t)
}

func loadCaddy(t *testing.T, events string) {
	t.Helper()
	config := `{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"writer":{"output":"discard"}}}},
		"apps":{"deployment_keys":{}` + events + `}}`
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
}

func activeTestApp(t *testing.T) *testApp {
	t.Helper()
	app, err := caddy.ActiveContext().AppIfConfigured(appName)
	if err != nil {
		t.Fatal(err)
	}
	a := &testApp{App: app.(*App)}
	if a.keys, err = a.Keystore(); err != nil {
		t.Fatal(err)
	}
	return a
}

const withSubscriber = `,"events":{"subscriptions":[{"modules":["deployment_keys"],"handlers":[{"handler":"deployment_keys_test"}]}]}`

func (a *testApp) addDeployment(t *testing.T, id string) {
	t.Helper()
	if _, err := a.keys.CreateDeployment(t.Context(), keystore.Caller{Name: "test"}, keystore.Deployment{ID: id, Name: id}); err != nil {
		t.Fatal(err)
	}
}

func TestRefusalsAreEvents(t *testing.T) {
	app := runCaddy(t, withSubscriber)
	app.addDeployment(t, "dep1")
	key, secret := app.newKey(t, "dep1", keystore.ScopeAirflowRead)
	raw := app.token(t, key)
	gone, _ := app.newKey(t, "dep1", 0)
	ofGone := app.token(t, gone)
	if err := app.keys.DeleteKey(t.Context(), keystore.Caller{}, "dep1", gone.ID); err != nil {
		t.Fatal(err)
	}
	ring, err := app.authority.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expired, err := ring.Sign(token.Claims{
		Issuer: app.issuer, Subject: key.ID, Audience: DefaultAudience, ID: token.NewID(), ClientID: key.ID, DeploymentID: "dep1",
		IssuedAt: time.Now().Add(-2 * time.Hour), ExpiresAt: time.Now().Add(-time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	auth := func(token, method, path string) {
		r := httptest.NewRequest(method, path, nil)
		if token != "" {
			r.Header = bearer(token)
		}
		serveFrom(t, newAuth(app, nil), r, "192.0.2.7")
	}
	endpoint := func(id, secret, more string) {
		body := "grant_type=client_credentials&client_id=" + id + "&client_secret=" + secret + more
		r := httptest.NewRequest("POST", pathToken, strings.NewReader(body))
		r.Header.Set("Content-Type", formType)
		serveFrom(t, &TokenHandler{app: app.App}, r, "192.0.2.7")
	}
	wrong := keystore.NewSecret().Reveal()
	app.events.flush() // of what was made above
	events := subscribe(t)
	for name, test := range map[string]struct {
		refuse             func()
		handler, code, key string
	}{
		"another Deployment":           {func() { auth(raw, "GET", "/dep2/api") }, "auth", "insufficient_scope", key.ID},
		"without the scope":            {func() { auth(raw, "POST", "/dep1/api") }, "auth", "insufficient_scope", key.ID},
		"a deleted key":                {func() { auth(ofGone, "GET", "/dep1/api") }, "auth", "invalid_token", gone.ID},
		"expired":                      {func() { auth(expired, "GET", "/dep1/api") }, "auth", "invalid_token", key.ID},
		"forged":                       {func() { auth(raw[:len(raw)-8]+"AAAAAAAA", "GET", "/dep1/api") }, "auth", "invalid_token", ""},
		"a secret in place of a token": {func() { auth(secret, "GET", "/dep1/api") }, "auth", "invalid_token", ""},
		"path with two readings":       {func() { auth(raw, "GET", "/dep1/..%2fdep2") }, "auth", "invalid_request", ""},
		"wrong secret":                 {func() { endpoint(key.ID, wrong, "") }, "token", "invalid_client", ""},
		"the secret as the ID":         {func() { endpoint(secret, secret, "") }, "token", "invalid_client", ""},
		"the secret as a parameter":    {func() { endpoint(key.ID, secret, "&"+secret+"=1&"+secret+"=2") }, "token", "invalid_request", ""},
		"another audience":             {func() { endpoint(key.ID, secret, "&audience=x") }, "token", "invalid_target", key.ID},
		"more than the key has":        {func() { endpoint(key.ID, secret, "&scope=deploy") }, "token", "invalid_scope", key.ID},
	} {
		auth("", "GET", "/dep1/api")  // no credentials: no event
		auth(raw, "GET", "/dep1/api") // not refused
		endpoint(key.ID, secret, "")
		test.refuse()
		event := receive(t, events)
		want := map[string]any{"handler": test.handler, "error": test.code, "client_ip": "192.0.2.7", "suppressed": uint64(0)}
		if test.key != "" {
			want["key"] = test.key
		}
		if event.Name() != eventTokenRefused || !maps.Equal(event.Data, want) {
			t.Errorf("%s: %s %v, want %v", name, event.Name(), event.Data, want)
		}
		if origin := event.Origin(); origin == nil || origin.CaddyModule().ID != appName {
			t.Errorf("%s: the event is of %v", name, origin)
		}
		shown, err := json.Marshal(event.CloudEvent())
		if err != nil {
			t.Fatal(err)
		}
		for _, hidden := range []string{secret, secret[len(keystore.SecretPrefix):], wrong, raw, ofGone, expired} {
			if strings.Contains(string(shown), hidden) {
				t.Errorf("%s: %s shows a secret", name, shown)
			}
		}
	}
}

// They were taken for a stranger's: the event did not name the key that had authenticated.
func TestRefusalsOfRevokeNameTheKey(t *testing.T) {
	app := runCaddy(t, withSubscriber)
	app.addDeployment(t, "dep1")
	key, secret := app.newKey(t, "dep1", 0)
	other, _ := app.newKey(t, "dep1", 0)
	ofOther := app.token(t, other)
	app.events.flush()
	events := subscribe(t)
	for code, form := range map[access.Code]url.Values{
		access.CodeUnauthorizedClient: {"token": {ofOther}},
		access.CodeInvalidRequest:     {},
	} {
		app.clientCall(t, pathRevoke, key.ID, secret, "192.0.2.7", form)
		event := receive(t, events)
		if event.Data["handler"] != "revoke" || event.Data["error"] != string(code) || event.Data["key"] != key.ID {
			t.Errorf("%s: %s %v, want the key", code, event.Name(), event.Data)
		}
	}
}

// serveFrom calls a handler with a request from an address.
func serveFrom(t *testing.T, h caddyhttp.MiddlewareHandler, r *http.Request, ip string) {
	t.Helper()
	r = withReplacer(r)
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, ip)
	if err := h.ServeHTTP(httptest.NewRecorder(), r, passOn); err != nil {
		t.Fatal(err)
	}
}

func TestChangesAreEvents(t *testing.T) {
	app := runCaddy(t, withSubscriber)
	events := subscribe(t)
	by := keystore.Event{By: "anna", Address: "192.0.2.9"}
	for kind, name := range changeNames {
		change := by
		change.Kind, change.Deployment, change.Key, change.User = kind, "dep1", "k1", "bob"
		app.events.changed(change)
		event := receive(t, events)
		want := map[string]any{"deployment": "dep1", "key": "k1", "user": "bob", "by": "anna", "address": "192.0.2.9"}
		if event.Name() != name || !maps.Equal(event.Data, want) {
			t.Errorf("%s: %s %v, want %s %v", kind, event.Name(), event.Data, name, want)
		}
	}
	app.events.changed(keystore.Event{Kind: keystore.StoreCreated})
	app.events.changed(keystore.Event{Kind: keystore.DeploymentDeleted, Deployment: "dep1", By: "admin"})
	event := receive(t, events)
	if want := map[string]any{"deployment": "dep1", "by": "admin"}; event.Name() != "deployment_deleted" || !maps.Equal(event.Data, want) {
		t.Errorf("%s %v, want %v", event.Name(), event.Data, want)
	}

	panics := func(caddy.Event) error { panic("a subscriber with a fault") }
	subscribed.Store(&panics)
	app.events.changed(keystore.Event{Kind: keystore.DeploymentDeleted, Deployment: "dep1"})
}

// Revocation told subscribers before it answered, and keys that upkeep purged had no event.
func TestNoChangeWaitsForSubscribers(t *testing.T) {
	app := runCaddy(t, withSubscriber)
	held, events := make(chan struct{}), make(chan caddy.Event, 10)
	slow := func(event caddy.Event) error {
		<-held
		events <- event
		return nil
	}
	t.Cleanup(func() { subscribed.Store(nil) })
	app.addDeployment(t, "dep1")
	key, secret := app.newKey(t, "dep1", 0)
	raw := app.token(t, key)
	app.events.flush()
	subscribed.Store(&slow)
	done := make(chan *httptest.ResponseRecorder)
	go func() {
		done <- app.clientCall(t, pathRevoke, key.ID, secret, "192.0.2.1", url.Values{"token": {raw}})
	}()
	select {
	case w := <-done:
		if w.Code != http.StatusOK {
			t.Errorf("status %d", w.Code)
		}
	case <-time.After(10 * time.Second):
		t.Error("the client waits for the subscribers")
	}
	expiring, _, err := app.keys.CreateKey(t.Context(), keystore.Caller{Name: "test"}, keystore.Key{
		DeploymentID: "dep1", Name: "expires", ExpiresAt: time.Now().Add(time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		removed, _, err := app.keys.PurgeExpiredKeys(t.Context(), 0, "")
		return err == nil && removed == 1
	})
	close(held)
	for _, want := range []string{"deployment_token_revoked", "deployment_key_created", "deployment_key_deleted"} {
		event := receive(t, events)
		if event.Name() != want {
			t.Errorf("the event is %s %v, want %s", event.Name(), event.Data, want)
		}
		if want == "deployment_key_deleted" && event.Data["key"] != expiring.ID {
			t.Errorf("the key is %v", event.Data["key"])
		}
	}
}

// Whatever the flood, requests do not wait for subscribers, these get a bounded number of events
// in a second, and what they do not get is counted.
func TestRefusalEventsAreBounded(t *testing.T) {
	app := runCaddy(t, withSubscriber)
	held := make(chan struct{})
	events := make(chan caddy.Event, 100*mostRefusalEvents)
	slow := func(event caddy.Event) error {
		<-held
		events <- event
		return nil
	}
	subscribed.Store(&slow)
	t.Cleanup(func() { subscribed.Store(nil) })
	h := newAuth(app, nil)
	refuse := func(times int) {
		for i := range times {
			r := httptest.NewRequest("GET", "/dep1/api", nil)
			r.Header = bearer(fmt.Sprintf("x%d", i))
			serveFrom(t, h, r, "192.0.2.7")
		}
	}
	before := scrapetest.Of(t, metrics.register)
	const flood = 20 * mostRefusalEvents
	refuse(flood) // while the subscriber holds the first
	notEmitted := scrapetest.Of(t, metrics.register).Get(t, "refusal_events_suppressed_total") - before.Get(t, "refusal_events_suppressed_total")
	if notEmitted < flood-mostRefusalEvents-1 {
		t.Errorf("%v of %d are counted as not emitted", notEmitted, flood)
	}
	close(held)
	var said uint64
	emitted := flood - int(notEmitted)
	for range emitted {
		said += receive(t, events).Data["suppressed"].(uint64)
	}
	if emitted < 1 || emitted > mostRefusalEvents+1 { // the queue, and the one that is held
		t.Errorf("%d events of %d refusals", emitted, flood)
	}
	// What came after the last event is said in the next, when there may be one again.
	eventually(t, func() bool { return app.events.refusals.take(time.Now()) })
	refuse(1)
	said += receive(t, events).Data["suppressed"].(uint64)
	if float64(said) != notEmitted {
		t.Errorf("the events speak of %d more, and %v are counted", said, notEmitted)
	}
}

func TestRefusalEventsInASecond(t *testing.T) {
	t.Parallel()
	var e refusalEvents
	second := time.Unix(1_700_000_000, 0)
	for range 2 {
		for i := range 3 * mostRefusalEvents {
			if took := e.take(second.Add(time.Duration(i) * time.Millisecond)); took != (i < mostRefusalEvents) {
				t.Fatalf("event %d: %v", i, took)
			}
		}
		second = second.Add(time.Second)
	}
}

// Nobody is told after the end of a configuration, and what it has left ends.
func TestEventsEndWithTheirConfiguration(t *testing.T) {
	app := runCaddy(t, withSubscriber)
	events := subscribe(t)
	if !app.events.observed(eventTokenRefused) {
		t.Fatal("a subscriber is not seen")
	}
	loadCaddy(t, withSubscriber)
	app.events.changed(keystore.Event{Kind: keystore.DeploymentDeleted, Deployment: "old"})
	app.events.refused(node.Refusal{Handler: "auth", Code: "invalid_token"})
	activeTestApp(t).events.changed(keystore.Event{Kind: keystore.DeploymentDeleted, Deployment: "new"})
	if event := receive(t, events); event.Data["deployment"] != "new" {
		t.Errorf("%s %v", event.Name(), event.Data)
	}
	select {
	case event := <-events:
		t.Errorf("one more: %s %v", event.Name(), event.Data)
	default:
	}

	loadCaddy(t, "")
	if activeTestApp(t).events.observed(eventTokenRefused) {
		t.Error("without subscribers, events are assembled")
	}
}

// Before all apps have started, the events app must not be asked who has subscribed.
func TestNoEventsBeforeTheConfigurationRuns(t *testing.T) {
	t.Parallel()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	runs := false
	a := &announcer{ctx: ctx, runs: func() bool { return runs }, events: new(caddyevents.App), refusals: newRefusalEvents()}
	if a.observed(eventTokenRefused) { // would panic: that App has no logger
		t.Error("somebody is told")
	}
	if err := a.events.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	runs = true
	if err := a.events.On(eventTokenRefused, subscriber{}); err != nil {
		t.Fatal(err)
	}
	if !a.observed(eventTokenRefused) {
		t.Error("nobody is told")
	}
	var none *announcer
	if none.observed(eventTokenRefused) {
		t.Error("an app without events tells somebody")
	}
}

// BenchmarkRefusal is a refusal that nobody has subscribed to.
func BenchmarkRefusal(b *testing.B) {
	app := newTestApp(b, nil)
	h := newAuth(app, nil)
	b.ReportAllocs()
	for b.Loop() {
		r := withReplacer(httptest.NewRequest("GET", "/dep1/api", nil))
		r.Header = bearer("x")
		if err := h.ServeHTTP(httptest.NewRecorder(), r, passOn); err != nil {
			b.Fatal(err)
		}
	}
}
