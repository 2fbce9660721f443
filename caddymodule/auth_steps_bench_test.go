package caddymodule

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// An authStep is a part of what is done with a request.
type authStep struct {
	name string
	do   func(*http.Request, *caddy.Replacer)
}

// benchmarkAuthSteps runs each step with the requests that run has.
func benchmarkAuthSteps(b *testing.B, run func(*testing.B, *testApp, func(*http.Request, *caddy.Replacer))) {
	app := newTestApp(b, nil)
	for _, step := range authSteps(b, app) {
		b.Run(step.name, func(b *testing.B) { run(b, app, step.do) })
	}
}

func authSteps(b *testing.B, app *testApp) []authStep {
	h := newAuth(app, nil)
	raw := app.token(b, app.key)
	ctx, maxAge := b.Context(), app.maxStaleness
	n, err := app.node.Now()
	if err != nil {
		b.Fatal(err)
	}
	ring, err := n.Ring(ctx, maxAge)
	if err != nil {
		b.Fatal(err)
	}
	verified, refused := app.prove(ctx, raw)
	if refused != nil {
		b.Fatal(refused)
	}
	key, deployment, cutoff := knownTo(b, app)
	id, refused := merge(&verified, key, deployment, cutoff)
	if refused != nil {
		b.Fatal(refused)
	}
	id.checkedAt = time.Now().Unix()
	byLabel, byText := newTarget("{http.request.host.labels.2}"), newTarget("{http.request.host.labels.2}-eu")
	expect := func(ok bool) {
		if !ok {
			b.Error("a step did not go as it does in a request that is accepted")
		}
	}
	return []authStep{
		{"nothing", func(*http.Request, *caddy.Replacer) {}},
		{"path", func(r *http.Request, _ *caddy.Replacer) { expect(checkPath(r) == nil) }},
		{"trailers", func(r *http.Request, _ *caddy.Replacer) { expect(checkTrailers(r) == nil) }},
		{"credential", func(r *http.Request, _ *caddy.Replacer) {
			_, refused := readCredential(r.Header, false)
			expect(refused == nil)
		}},
		{"target", func(r *http.Request, repl *caddy.Replacer) { expect(h.target.of(r, repl) == "dep1") }},
		{"ring", func(*http.Request, *caddy.Replacer) {
			_, err := n.Ring(ctx, maxAge)
			expect(err == nil)
		}},
		{"token", func(*http.Request, *caddy.Replacer) {
			_, err := app.verifier.Verify(ring, raw)
			expect(err == nil)
		}},
		{"key", func(*http.Request, *caddy.Replacer) {
			_, err := n.View.Key(ctx, app.key.ID, maxAge)
			expect(err == nil)
		}},
		{"expiry", func(*http.Request, *caddy.Replacer) { expect(!key.Expired(time.Now())) }},
		{"deployment", func(*http.Request, *caddy.Replacer) {
			_, err := n.View.Deployment(ctx, "dep1", maxAge)
			expect(err == nil)
		}},
		{"cutoff", func(*http.Request, *caddy.Replacer) {
			_, err := n.View.Cutoff(ctx, maxAge)
			expect(err == nil)
		}},
		{"merge", func(*http.Request, *caddy.Replacer) {
			_, refused := merge(&verified, key, deployment, cutoff)
			expect(refused == nil)
		}},
		{"address", func(r *http.Request, _ *caddy.Replacer) { expect(id.comeFrom(r) == nil) }},
		{"decision", func(r *http.Request, _ *caddy.Replacer) { expect(h.decide(r.Method, id, "dep1") == nil) }},
		{"counter", func(*http.Request, *caddy.Replacer) { metrics.auth.passed.Inc() }},
		{"use", func(r *http.Request, _ *caddy.Replacer) { id.noteUse(app.App, r) }},
		{"headers", func(r *http.Request, repl *caddy.Replacer) { id.setHeaders(r, false) }},
		{"placeholders", func(_ *http.Request, repl *caddy.Replacer) { id.setPlaceholders(repl) }},

		// Not in the sum: other ways to say which Deployment a request is for, and the log of a refusal that nobody wants to see.
		{"beside/target/label", func(r *http.Request, repl *caddy.Replacer) { expect(byLabel.of(r, repl) == "dep1") }},
		{"beside/target/text", func(r *http.Request, repl *caddy.Replacer) { expect(byText.of(r, repl) == "dep1-eu") }},
		{"beside/log", func() func(*http.Request, *caddy.Replacer) {
			refused := missingScope(id, id.scopes)
			return func(*http.Request, *caddy.Replacer) { app.report(refused) }
		}()},
	}
}
