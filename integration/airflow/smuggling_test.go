package airflow

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// recorder is an upstream in the place of an Airflow that keeps what it gets, for what an Airflow does not show.
type recorder struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := new(recorder)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body) // after it come the trailers
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = append(r.seen, request)
		w.Header().Set("Set-Cookie", "_token=of-the-gateway; Path=/")
	}))
	t.Cleanup(r.Close)
	return r
}

// take returns the requests since it was last called.
func (r *recorder) take() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.seen
	r.seen = nil
	return taken
}

func (r *recorder) address() string { return strings.TrimPrefix(r.URL, "http://") }

// bearerOf is the token that the recorder gets for a request with token, sent to a site that has it for a mirror.
func (r *recorder) bearerOf(t *testing.T, target, token string) string {
	t.Helper()
	gatewaytest.Call(t, http.MethodGet, target, nil, gatewaytest.Bearer(token), toMirror).Want(http.StatusOK)
	taken := r.take()
	if len(taken) != 1 {
		t.Fatalf("the upstream got %d requests, want 1", len(taken))
	}
	bearer, ok := strings.CutPrefix(taken[0].Header.Get("Authorization"), "Bearer ")
	if !ok || bearer == token {
		t.Fatal("the upstream did not get a token of the gateway")
	}
	return bearer
}

// smuggled are lines that a client may put into a request in order to be somebody else at Airflow, or to have another
// request served. %s stands for a token of an admin of Airflow.
var smuggled = map[string][]string{
	"a session":             {"Cookie: _token=%s"},
	"a session, lower case": {"cookie: x=y; _token=%s"},
	"two sessions":          {"Cookie: _token=%s", "Cookie: _token=%s"},
	"a proxy's credential":  {"Proxy-Authorization: Bearer %s"},
	"identity":              {"X-Deployment-Id: billing", "x_deployment_user: admin", "Remote-User: admin", "X-Remote-User: admin"},
	"method":                {"X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X_Method_Override: POST"},
	"another path":          {"X-Original-URL: /etl/auth/token", "X-Rewrite-URL: /etl/auth/token", "X-Script-Name: /billing"},
	"forwarded":             {"X-Forwarded-Prefix: /billing", "X_Forwarded_Prefix: /billing", "X-Forwarded-Port: 1", "Forwarded: for=127.0.0.1;host=evil", "X-Forwarded-User: admin"},
	"forwarded for":         {"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: evil.example.com", "X-Forwarded-Proto: https"},
	"named in Connection":   {"Connection: Authorization, X-Deployment-Id, authorization"},
}

// smuggling holds that a client with airflow:read stays that, whatever else it sends. Only an admin of Airflow may read
// connections. port is a site that lets all paths come to the handler.
func (g *gateway) smuggling(t *testing.T, a *airflow, admin string, port int, mirror *recorder) {
	t.Helper()
	const target = "/etl/api/v2/connections"
	gatewaytest.Raw(t, a.ports["9090"], rawGet(target, admin)).Want(http.StatusOK)
	asCookie := "GET " + target + " HTTP/1.1\nHost: x\nConnection: close\nCookie: _token=" + admin + "\n\n"
	gatewaytest.Raw(t, a.ports["9090"], asCookie).Want(http.StatusOK) // Airflow itself takes it
	gatewaytest.Raw(t, port, asCookie).Want(http.StatusUnauthorized)

	for name, lines := range smuggled {
		t.Run(name, func(t *testing.T) {
			var sent []string
			for _, line := range lines {
				sent = append(sent, strings.ReplaceAll(line, "%s", admin))
			}
			// Airflow knows who it is, and that they may not.
			answer := gatewaytest.Raw(t, port, rawGet(target, g.reader, sent...)).Want(http.StatusForbidden)
			if !strings.Contains(string(answer.Body), "Forbidden") {
				t.Errorf("the answer is not Airflow's: %s", answer.Body)
			}
			if cookies := answer.Header["Set-Cookie"]; len(cookies) > 0 {
				t.Errorf("the client gets cookies: %q", cookies)
			}
			gatewaytest.Raw(t, port, rawGet("/etl/api/v2/dags", g.reader, sent...)).Want(http.StatusOK)

			answer = gatewaytest.Raw(t, port, rawGet("/etl/api/v2/dags", g.reader, append(sent, "X-Mirror: yes")...)).Want(http.StatusOK)
			if cookies := answer.Header["Set-Cookie"]; len(cookies) > 0 {
				t.Errorf("the client gets cookies: %q", cookies)
			}
			for _, got := range mirror.take() {
				wantOneCredential(t, got, admin, g.reader)
			}
		})
	}
	for _, query := range []string{"?_token=", "?token=", "?access_token=", "?jwt="} {
		gatewaytest.Raw(t, port, rawGet(target+query+admin, g.reader)).Want(http.StatusForbidden)
	}
	t.Run("trailers", func(t *testing.T) {
		request := func(name string) string {
			return "POST /etl/api/v2/dags/hello/dagRuns HTTP/1.1\nHost: x\nConnection: close\nAuthorization: Bearer " + g.full +
				"\nTrailer: " + name + "\nTransfer-Encoding: chunked\n\n2\n{}\n0\n" + name + ": x\n\n"
		}
		for _, name := range []string{"X-Deployment-Id", "Authorization", "x_deployment_user"} {
			gatewaytest.Raw(t, port, request(name)).Want(http.StatusBadRequest)
		}
		for _, name := range []string{"Cookie", "X-Remote-User", "X-Forwarded-Prefix"} {
			toMirror := strings.Replace(request(name), "\nHost: x\n", "\nHost: x\nX-Mirror: yes\n", 1)
			unannounced := strings.Replace(toMirror, "\nTrailer: "+name+"\n", "\n", 1)
			for _, sent := range []string{toMirror, unannounced} {
				gatewaytest.Raw(t, port, sent).Want(http.StatusOK)
				taken := mirror.take()
				if len(taken) != 1 {
					t.Fatalf("trailer %s: the upstream got %d requests, want 1", name, len(taken))
				}
				if len(taken[0].Trailer) > 0 {
					t.Errorf("trailer %s: the upstream got %v", name, taken[0].Trailer)
				}
			}
		}
	})
}

// wantOneCredential holds what may come to an Airflow, in a request with smuggled lines.
func wantOneCredential(t *testing.T, got *http.Request, not ...string) {
	t.Helper()
	if got.Method != http.MethodGet || got.RequestURI != "/etl/api/v2/dags" {
		t.Errorf("Airflow gets %s %s", got.Method, got.RequestURI)
	}
	for name, values := range got.Header {
		plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		text := strings.Join(values, " ")
		switch {
		case slices.ContainsFunc(not, func(secret string) bool { return strings.Contains(text, secret) }):
			t.Errorf("Airflow gets a token of the client in %s", name)
		case slices.Contains([]string{"cookie", "proxy-authorization", "forwarded", "remote-user", "x-remote-user", "x-script-name"}, plain),
			strings.Contains(plain, "override"), strings.Contains(plain, "http-method"), strings.HasSuffix(plain, "-url"):
			t.Errorf("Airflow gets %s: %q", name, values)
		case strings.HasPrefix(plain, "x-forwarded-"):
			want := map[string]string{"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": "localhost"}
			if want[plain] == "" || text != want[plain] {
				t.Errorf("Airflow gets %s: %q", name, values)
			}
		case strings.HasPrefix(plain, "x-deployment-"):
			if strings.Contains(text, "billing") || strings.Contains(text, "admin") {
				t.Errorf("Airflow gets %s: %q", name, values)
			}
		}
	}
	if values := got.Header["Authorization"]; len(values) != 1 || !strings.HasPrefix(values[0], "Bearer ") {
		t.Errorf("Airflow gets %d credentials", len(values))
	}
}

// auth is a deployment_auth for whatever Deployment the path begins with.
const auth = `	deployment_auth {path.0} {
		scope airflow:read GET HEAD
		scope airflow:write POST PUT PATCH DELETE
	}
`

// siteAt is a site that sends each request through handlers to an Airflow, or with the header X-Mirror to the mirror.
func (p *place) siteAt(port int, handlers string, mirror *recorder) string {
	return fmt.Sprintf("\nhttp://:%d {\n%s\t@mirror header X-Mirror *\n\treverse_proxy @mirror %s\n\treverse_proxy 127.0.0.1:%d\n}\n",
		port, handlers, mirror.address(), p.ports["9090"])
}

var toMirror = gatewaytest.Header("X-Mirror", "yes")

// withHTTP2 lets clients speak HTTP/2 without TLS.
func withHTTP2(caddyfile string) string {
	return strings.Replace(caddyfile, "\tdeployment_keys {", "\tservers {\n\t\tprotocols h1 h2c\n\t}\n\tdeployment_keys {", 1)
}
