package integration

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// answering is a Caddyfile of a site on port that answers each request with a text.
func answering(port int, text string) string {
	return fmt.Sprintf("http://:%d {\n\trespond %q\n}\n", port, text)
}

// unknownDirective is a Caddyfile that no Caddy takes.
func unknownDirective(port int) string {
	return fmt.Sprintf("http://:%d {\n\tunknown_directive\n}\n", port)
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	g := startGateway(t, answering(port, "first"))
	wantBody := func(want string) {
		t.Helper()
		// A listener of the config before may take a connection still when Caddy says that the reload is done.
		eventually(t, "the site answers "+want, func() bool {
			return string(call(t, http.MethodGet, g.URL(port, "/"), nil).Want(http.StatusOK).Body) == want
		})
	}
	wantBody("first")

	g.Reload(answering(port, "second"))
	wantBody("second")
	if err := g.TryReload(unknownDirective(port)); err == nil || !strings.Contains(err.Error(), "unknown_directive") {
		t.Fatalf("a reload with an unknown directive: %v, want an error that names it", err)
	}
	wantBody("second")

	g.Restart()
	wantBody("second")
	g.Kill()
	g.Start()
	wantBody("second")
	if out, err := g.Run("validate", "--config", g.Caddyfile(), "--adapter", "caddyfile"); err != nil {
		t.Fatalf("caddy validate: %v\n%s", err, out)
	}

	g.Stop()
	if _, err := try(t, http.MethodGet, g.URL(port, "/"), nil); err == nil {
		t.Fatal("a stopped gateway answers")
	}
	if !strings.Contains(g.Logs(), "serving initial configuration") {
		t.Errorf("the log does not have what Caddy says at start:\n%s", g.Logs())
	}
}

func TestStartWithBadConfig(t *testing.T) {
	t.Parallel()
	g := newGateway(t, unknownDirective(freePort(t)))
	if err := g.TryStart(); err == nil || !strings.Contains(err.Error(), "unknown_directive") {
		t.Errorf("a start with an unknown directive: %v, want an error that names it", err)
	}
}

// TestRequestOptions holds the harness itself to what its options say, against a site that answers with what it got.
func TestRequestOptions(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	caddyfile := fmt.Sprintf(`http://:%d {
	header Content-Type application/json
	respond <<JSON
		{"env": "{env.GREETING}", "host": "{http.request.host}", "type": "{http.request.header.Content-Type}",
		 "authorization": "{http.request.header.Authorization}", "body": "{http.request.body_base64}"}
		JSON
}
`, port)
	folder := t.TempDir()
	startGateway(t, caddyfile, withFolder(folder), withEnv("GREETING=good morning")).Stop()
	g := startGateway(t, caddyfile, withFolder(folder), withEnv("GREETING=good evening"))

	type echo struct{ Env, Host, Type, Authorization, Body string }
	encoded := base64.StdEncoding.EncodeToString
	tests := map[string]struct {
		body   any
		option requestOption
		want   echo
	}{
		"bearer": {nil, bearer("token"), echo{Authorization: "Bearer token"}},
		"basic":  {nil, basic("id", "secret"), echo{Authorization: "Basic " + encoded([]byte("id:secret"))}},
		"host":   {nil, header("Host", "auth.example.com"), echo{Host: "auth.example.com"}},
		"form": {
			url.Values{"a": {"1 2"}},
			header("Accept", "*/*"),
			echo{Type: "application/x-www-form-urlencoded", Body: encoded([]byte("a=1+2"))},
		},
		"JSON": {
			map[string]int{"a": 1},
			header("Accept", "*/*"),
			echo{Type: "application/json", Body: encoded([]byte(`{"a":1}`))},
		},
		"text": {"a", header("Content-Type", "text/plain"), echo{Type: "text/plain", Body: encoded([]byte("a"))}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.want.Env = "good evening"
			if test.want.Host == "" {
				test.want.Host = "127.0.0.1"
			}
			var got echo
			call(t, http.MethodPost, g.URL(port, "/"), test.body, test.option).Want(http.StatusOK).JSON(&got)
			if got != test.want {
				t.Errorf("the site got %+v, want %+v", got, test.want)
			}
		})
	}
}
