package airflow

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
	"github.com/deploymentkeys/gateway/keystore"
)

// What the handlers refuse names who it was refused to; see caddymodule for what becomes of it.
func TestRefusalsNameTheCaller(t *testing.T) {
	t.Parallel()
	tokens, app := newTestToken(t)
	login := newTestLogin(newFakeAirflow())
	login.app = app
	wide := access.Identity{KeyID: "key1", DeploymentID: "dep2", Scopes: keystore.AllScopes}
	deploy := access.Identity{KeyID: "key1", DeploymentID: "dep1", Scopes: keystore.ScopeDeploy}
	ofAlice := access.Identity{User: "alice", DeploymentID: "dep1", Scopes: keystore.ScopeDeploy}
	for _, test := range []struct {
		name   string
		h      caddyhttp.MiddlewareHandler
		id     *access.Identity
		path   string
		status int
		code   access.Code
	}{
		{"another Deployment", login, &wide, "/etl/api/v2/dags", http.StatusForbidden, access.CodeInsufficientScope},
		{"no role", tokens, &deploy, "/dep1/api/v2/dags", http.StatusForbidden, access.CodeInsufficientScope},
		{"no role, a user", tokens, &ofAlice, "/dep1/api/v2/dags", http.StatusForbidden, access.CodeInsufficientScope},
		{"path, login", login, &deploy, "/etl/api/v2/../x", http.StatusBadRequest, access.CodeInvalidRequest},
		{"path, token", tokens, &deploy, "/dep1/api/v2/../x", http.StatusBadRequest, access.CodeInvalidRequest},
	} {
		app.refusals = nil
		r := requestOf(test.id, http.MethodPost, test.path, nil)
		r.Header.Set("Expect", "100-continue")
		w := httptest.NewRecorder()
		err := test.h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			t.Errorf("%s: it is passed on", test.name)
			return nil
		}))
		if err != nil || w.Code != test.status || w.Header().Get("WWW-Authenticate") == "" || w.Header().Get("Connection") != "close" {
			t.Errorf("%s: %v, status %d, %v", test.name, err, w.Code, w.Header())
		}
		if len(app.refusals) != 1 {
			t.Fatalf("%s: %d refusals", test.name, len(app.refusals))
		}
		got := app.refusals[0]
		if got.Code != test.code || got.Key != test.id.KeyID || got.User != test.id.User || got.KeyDeployment != test.id.DeploymentID || got.Deployment != "dep1" {
			t.Errorf("%s: the refusal is %+v", test.name, got)
		}
	}
	f := newFakeAirflow()
	login = newTestLogin(f)
	login.app = app
	wantStatus(t, ask(t, login, f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusOK)
	wantStatus(t, ask(t, tokens, f, http.MethodGet, "/dep1/api/v2/dags", ""), http.StatusServiceUnavailable)
	if app.passed != 1 || len(app.faults) != 1 {
		t.Errorf("%d passed, faults %v", app.passed, app.faults)
	}
}

// Trailers would come to Airflow past the rules for headers, whether they are announced or not.
func TestTrailersDoNotComeToAirflow(t *testing.T) {
	t.Parallel()
	tokens, _ := newTestToken(t)
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
			airflow := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				body, err := io.ReadAll(r.Body)
				if err != nil || string(body) != "{}" || len(r.Trailer) > 0 {
					t.Errorf("%v: Airflow gets the body %q and the trailers %v", err, body, r.Trailer)
				}
				_, err = io.WriteString(w, "passed")
				return err
			})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := test.h.ServeHTTP(w, afterAuth(t, r), airflow); err != nil {
					t.Error(err)
				}
			}))
			t.Cleanup(server.Close)
			for _, announcement := range []string{"", "Trailer: Cookie, X-Remote-User\r\n", "Trailer: X-Other\r\n"} {
				answer := sendRaw(t, server.Listener.Addr().String(), fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer x\r\n"+
					"%sTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nCookie: _token=x\r\nX-Remote-User: admin\r\n\r\n", test.path, announcement))
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
