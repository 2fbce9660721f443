package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/internal/scrapetest"
	"github.com/deploymentkeys/gateway/keystore"
)

// What the handlers for Airflow refuse to somebody who has proven who they are is counted, and entered
// in the audit log. The test is not parallel: it counts in what all have in common.
func TestRefusalsAtAirflowAreInTheAuditLog(t *testing.T) {
	tokens, app := newTestAirflowToken(t)
	login := newTestLogin(newFakeAirflow())
	login.app = app.App
	wide := access.Identity{KeyID: app.key.ID, DeploymentID: "dep2", Scopes: keystore.AllScopes}
	deploy := access.Identity{KeyID: app.key.ID, DeploymentID: "dep1", Scopes: keystore.ScopeDeploy}
	ofAlice := access.Identity{User: "alice", DeploymentID: "dep1", Scopes: keystore.ScopeDeploy}
	for _, test := range []struct {
		name       string
		h          caddyhttp.MiddlewareHandler
		id         *access.Identity
		path       string
		status     int
		code       access.Code
		deployment string
	}{
		{"another Deployment", login, &wide, "/etl/api/v2/dags", http.StatusForbidden, access.CodeInsufficientScope, "dep1"},
		{"no role", tokens, &deploy, "/dep1/api/v2/dags", http.StatusForbidden, access.CodeInsufficientScope, "dep1"},
		{"no role, a user", tokens, &ofAlice, "/dep1/api/v2/dags", http.StatusForbidden, access.CodeInsufficientScope, "dep1"},
		{"path, login", login, &deploy, "/etl/api/v2/../x", http.StatusBadRequest, access.CodeInvalidRequest, "dep1"},
		{"path, token", tokens, &deploy, "/dep1/api/v2/../x", http.StatusBadRequest, access.CodeInvalidRequest, "dep1"},
	} {
		before := scrapetest.Of(t, metrics.register)
		r := withReplacer(httptest.NewRequest(http.MethodPost, test.path, nil))
		r.Header.Set("Expect", "100-continue")
		caddyhttp.SetVar(r.Context(), identityVar, test.id)
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "192.0.2.7")
		w := httptest.NewRecorder()
		err := test.h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			t.Errorf("%s: it is passed on", test.name)
			return nil
		}))
		if err != nil || w.Code != test.status || w.Header().Get("WWW-Authenticate") == "" || w.Header().Get("Connection") != "close" {
			t.Errorf("%s: %v, status %d, %v", test.name, err, w.Code, w.Header())
		}
		after := scrapetest.Of(t, metrics.register)
		for handler, want := range map[string]float64{"airflow": 1, "auth": 0} {
			series := fmt.Sprintf("requests_total{handler=%q,outcome=%q}", handler, test.code)
			if got := after.Get(t, series) - before.Get(t, series); got != want {
				t.Errorf("%s: %s has grown by %v, want %v", test.name, series, got, want)
			}
		}
	}
	// Two were refused alike but for the Deployment of the credential, of which the log has no more than the key.
	for _, entry := range refusalsOf(t, app.keys, 3) {
		if entry.Handler != "airflow" || entry.Deployment != "dep1" || entry.Address != "192.0.2.7" {
			t.Errorf("the entry is %+v", entry)
		}
	}

	before := scrapetest.Of(t, metrics.register)
	f := newFakeAirflow()
	wantStatus(t, ask(t, newTestLogin(f), f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusOK)
	wantStatus(t, ask(t, tokens, f, http.MethodGet, "/dep1/api/v2/dags", ""), http.StatusServiceUnavailable)
	after := scrapetest.Of(t, metrics.register)
	for _, outcome := range []string{outcomePassed, string(access.CodeUnavailable)} {
		series := fmt.Sprintf("requests_total{handler=%q,outcome=%q}", "airflow", outcome)
		if got := after.Get(t, series) - before.Get(t, series); got != 1 {
			t.Errorf("%s has grown by %v, want 1", series, got)
		}
	}
}

// Trailers would come to Airflow past the rules for headers, whether they are announced or not.
func TestTrailersDoNotComeToAirflow(t *testing.T) {
	t.Parallel()
	tokens, app := newTestAirflowToken(t)
	app.identityWanted = true // as the handlers that come after deployment_auth say
	raw := app.token(t, app.key)
	f := newFakeAirflow()
	login := newTestLogin(f)
	for name, test := range map[string]struct {
		h    caddyhttp.MiddlewareHandler
		path string
	}{
		"login": {login, "/etl/api/v2/dags"}, "token": {tokens, "/dep1/api/v2/dags"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth := newAuth(app, func(h *Auth) { h.Deployment = "dep1" })
			airflow := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				body, err := io.ReadAll(r.Body)
				if err != nil || string(body) != "{}" || len(r.Trailer) > 0 {
					t.Errorf("%v: Airflow gets the body %q and the trailers %v", err, body, r.Trailer)
				}
				_, err = io.WriteString(w, "passed")
				return err
			})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				err := auth.ServeHTTP(w, withReplacer(r), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
					return test.h.ServeHTTP(w, r, airflow)
				}))
				if err != nil {
					t.Error(err)
				}
			}))
			t.Cleanup(server.Close)
			for _, announcement := range []string{"", "Trailer: Cookie, X-Remote-User\r\n", "Trailer: X-Other\r\n"} {
				answer := sendRaw(t, server.Listener.Addr().String(), fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"+
					"%sTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nCookie: _token=x\r\nX-Remote-User: admin\r\n\r\n", test.path, raw, announcement))
				if !strings.HasSuffix(answer, "passed") {
					t.Errorf("%q: the answer is %s", announcement, answer)
				}
			}
		})
	}
}

// sendRaw sends a request byte by byte as it is, and returns the body of the answer.
func sendRaw(t *testing.T, address, request string) string {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
