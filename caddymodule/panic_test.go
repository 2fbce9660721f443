package caddymodule

import (
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

// syncedText is written by one goroutine and read by another.
type syncedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *syncedText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *syncedText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// net/http prints the stack of a handler that panics, with the arguments of each function. The deepest place that has
// the secret of a request is where the store is asked for its key, and the last one that has its token is an upstream.
func TestPanicShowsNoCredential(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	secret, raw := app.secret, app.token(t, app.key)
	var logged syncedText
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = withReplacer(r)
		next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { panic("the upstream panics") })
		if r.URL.Path == pathToken {
			req, refused := access.ReadClientRequest(w, r)
			if refused != nil {
				t.Error(refused)
			}
			parsed, err := keystore.ParseSecret(req.ClientSecret)
			if err != nil {
				t.Error(err)
			}
			panicWith(r.Context(), req, parsed)
		}
		auth := newAuth(app, func(h *Auth) { h.target, h.Basic, h.PassAuthorization = newTarget("dep1"), true, true })
		_ = auth.ServeHTTP(w, r, next)
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(&logged, "", 0)
	server.Start()
	t.Cleanup(server.Close)

	send := func(r *http.Request) {
		if response, err := server.Client().Do(r); err == nil {
			response.Body.Close()
			t.Errorf("%s is answered %d, want a panic", r.URL.Path, response.StatusCode)
		}
	}
	form := url.Values{"client_id": {app.key.ID}, "client_secret": {secret}}.Encode()
	asked, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+pathToken, strings.NewReader(form))
	asked.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	send(asked)
	for _, set := range []func(*http.Request){
		func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+raw) },
		func(r *http.Request) { r.SetBasicAuth(app.key.ID, secret) },
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/dep1/api", nil)
		set(r)
		send(r)
	}
	server.Close() // which waits for what is being logged

	got := logged.String()
	if strings.Count(got, "panics") < 3 || !strings.Contains(got, "goroutine ") || !strings.Contains(got, "panicWith") {
		t.Fatalf("the stacks are not there: %s", got)
	}
	for _, part := range []string{secret[4:30], secret[30:], raw[strings.LastIndexByte(raw, '.')+1:], base64.StdEncoding.EncodeToString([]byte(app.key.ID + ":" + secret))} {
		if strings.Contains(got, part) {
			t.Errorf("a panic shows %q", part)
		}
	}
}

// panicWith panics where a request and its secret are arguments, as they are on the way to the store.
//
//go:noinline
func panicWith(_ context.Context, req access.ClientRequest, secret keystore.Secret) {
	panic(fmt.Sprintf("the check of %s panics with %v", req.ClientID, secret))
}
