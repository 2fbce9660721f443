package caddymodule

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestTarget(t *testing.T) {
	t.Parallel()
	r := withReplacer(httptest.NewRequest("GET", "http://dep1.airflow.example.com/dep2/api", nil))
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for template, want := range map[string]string{
		"dep3":                                   "dep3",
		"{http.request.host.labels.3}":           "dep1",
		"{http.request.uri.path.0}":              "dep2",
		"prod-{http.request.uri.path.0}":         "prod-dep2",
		"{http.request.uri.path.9}":              "",
		"{http.request.header.X-Not-There}":      "",
		"{no.such.placeholder}":                  "",
		"{http.request.uri.path.00000000000}":    "dep2",
		"{http.request.uri.path.-1}":             "",
		"{http.request.uri.path.0}{http.vars.x}": "dep2",
	} {
		if got := newTarget(template).of(r, repl); got != want {
			t.Errorf("%s is %q, want %q", template, got, want)
		}
	}
}

// The segments of a path are what Caddy's own placeholder says they are.
func TestTargetReadsPathsAsCaddyDoes(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/a", "/a/", "/a/b", "/a/b/", "/a%20b/c", "/%C3%A9/x", "/a;b/c", "/a//b", "//a", "/a/b/c/d/e"} {
		r := withReplacer(httptest.NewRequest("GET", path, nil))
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		for i := range 6 {
			name := fmt.Sprintf("http.request.uri.path.%d", i)
			want, _ := repl.GetString(name)
			if got := newTarget("{"+name+"}").of(r, repl); got != want {
				t.Errorf("segment %d of %s is %q, to Caddy %q", i, path, got, want)
			}
		}
	}
}
