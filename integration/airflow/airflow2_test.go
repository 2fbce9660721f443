package airflow

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// Airflow 2, with Basic.
func TestAirflow2(t *testing.T) {
	p := newPlace(t, airflow2)
	password := p.secrets(t)
	basic := base64.StdEncoding.EncodeToString([]byte("gateway:" + password))
	p.write(t, "secrets/etl.basic", basic)
	p.write(t, "secrets/billing.basic", basic)
	a := &airflow{p, []string{"airflow2.env"}, fmt.Sprintf("http://127.0.0.1:%d/etl", p.ports["9090"])}
	a.run(t, "airflow", "db", "migrate")
	a.run(t, "airflow", "sync-perm")
	for user, role := range map[string]string{"gateway": "User", "admin": "Admin"} {
		a.run(t, "airflow", "users", "create", "--role", role, "--username", user, "--password", password,
			"--firstname", "x", "--lastname", "x", "--email", user+"@example.com")
	}
	a.process(t, "airflow", "webserver")
	a.process(t, "airflow", "scheduler")

	mirror := newRecorder(t)
	p.edit(t, "Caddyfile.airflow2", func(text string) string {
		// The same proxy, to the mirror.
		return strings.Replace(text, "reverse_proxy {args[1]} {", "@mirror{args[0]} header X-Mirror *\n\t\treverse_proxy @mirror{args[0]} "+mirror.address()+
			" {\n\t\t\timport upstream {args[0]}\n\t\t}\n\t\treverse_proxy {args[1]} {", 1) +
			"\n(upstream) {\n" + between(t, text, "reverse_proxy {args[1]} {\n", "\t\t}\n") + "}\n"
	})
	p.edit(t, "Caddyfile.airflow2", snippetsFirst)
	g := p.startGateway(t, "Caddyfile.airflow2", "")
	const base = "/etl/api/v1"
	g.journey(t, base, newRun2)

	t.Run("deleted key", func(t *testing.T) { g.deletedKey(t, base) })
	t.Run("the API alone", func(t *testing.T) {
		for _, path := range []string{"/etl/", "/etl/login/", "/etl/home", "/etl/api/experimental/test", "/etl/API/v1/dags", "/etl/api/v2/dags"} {
			gatewaytest.Call(t, http.MethodGet, g.site(path), nil, gatewaytest.Bearer(g.full)).Want(http.StatusNotFound)
		}
	})
	t.Run("paths", func(t *testing.T) {
		for target, status := range map[string]int{
			"/etl/%61pi/v1/dags": 200, "/etl/api/v1/dags?limit=1": 200,
			"/billing/api/v1/dags": 403, "/billing/../etl/api/v1/dags": 400, "/etl/api/v1/../../../billing/api/v1/dags": 400,
			"/etl/api/v1/../../login/": 404, "/etl/api/v1/%2e%2e/%2e%2e/login/": 404, "/etl/api/v1/..%2f..%2flogin/": 404,
			"/etl/api/v1/..;/..;/login/": 400, `/etl/api/v1/..\..\login/`: 400, "/etl//api/v1/dags": 400, "//etl/api/v1/dags": 400,
			"/etl/api/v1/dags%0a": 400, "/etl/api/v1/x%252f..": 400, "/ETL/api/v1/dags": 404,
		} {
			answer := gatewaytest.Raw(t, g.port, rawGet(target, g.full))
			if answer.Status != status {
				t.Errorf("%s: status %d, want %d", target, answer.Status, status)
			}
			if served := strings.Contains(string(answer.Body), `"dags"`); served != (status == http.StatusOK) {
				t.Errorf("%s is served: %t\n%s", target, served, answer.Body)
			}
		}
	})
	t.Run("smuggling", func(t *testing.T) {
		admin := base64.StdEncoding.EncodeToString([]byte("admin:" + password))
		const target = "/etl/api/v1/connections" // for admins
		direct := "GET " + target + " HTTP/1.1\nHost: x\nConnection: close\nAuthorization: Basic " + admin + "\n\n"
		gatewaytest.Raw(t, p.ports["9090"], direct).Want(http.StatusOK)
		wantRefusal(t, gatewaytest.Raw(t, g.port, direct), http.StatusUnauthorized, "unauthorized")
		for name, lines := range smuggled {
			if name == "named in Connection" {
				continue // see below
			}
			t.Run(name, func(t *testing.T) {
				var sent []string
				for _, line := range lines {
					sent = append(sent, strings.ReplaceAll(line, "%s", admin))
				}
				gatewaytest.Raw(t, g.port, rawGet(target, g.reader, sent...)).Want(http.StatusForbidden)
				gatewaytest.Raw(t, g.port, rawGet(base+"/dags", g.reader, append(sent, "X-Mirror: yes")...)).Want(http.StatusOK)
				for _, got := range mirror.take() {
					if values := got.Header["Authorization"]; len(values) != 1 || values[0] != "Basic "+basic {
						t.Errorf("Airflow gets %d credentials", len(values))
					}
					if cookies := got.Header["Cookie"]; len(cookies) > 0 || got.Header.Get("X-Forwarded-Prefix") != "" {
						t.Errorf("Airflow gets %v", got.Header)
					}
				}
			})
		}
		// The header is set after those that Connection names are removed.
		gatewaytest.Raw(t, g.port, rawGet(base+"/dags", g.reader, smuggled["named in Connection"]...)).Want(http.StatusOK)
	})
}

// between is the text between two others.
func between(t *testing.T, text, begin, end string) string {
	t.Helper()
	_, after, found := strings.Cut(text, begin)
	within, _, closed := strings.Cut(after, end)
	if !found || !closed {
		t.Fatalf("the Caddyfile has no %q", begin)
	}
	return within
}

// snippetsFirst moves the snippet at the end before its use.
func snippetsFirst(text string) string {
	i, j := strings.LastIndex(text, "\n(upstream)"), strings.Index(text, "# The REST API")
	return text[:j] + text[i+1:] + "\n" + text[j:i]
}
