package integration

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// startExample starts a gateway with the Caddyfile.example of this tree, on other ports.
func startExample(t *testing.T) (g *site, upstreamPort int) {
	t.Helper()
	content, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	port, upstreamPort := freePort(t), freePort(t)
	ports := map[string]int{"8080": port, "8081": upstreamPort}
	caddyfile := string(content)
	for old, now := range ports {
		if !strings.Contains(caddyfile, ":"+old) {
			t.Fatalf("Caddyfile.example has no port %s", old)
		}
		caddyfile = strings.ReplaceAll(caddyfile, ":"+old, fmt.Sprintf(":%d", now))
	}
	return &site{startGateway(t, caddyfile), port}, upstreamPort
}

func TestExampleServesTheTour(t *testing.T) {
	t.Parallel()
	g, _ := startExample(t)
	g.newDeployment(t, "dep1")
	g.newDeployment(t, "dep2")
	k, reader := g.newKey(t, "dep1"), g.newKey(t, "dep1", "airflow:read")
	token, readerToken := g.token(t, k), g.token(t, reader)
	identity := func(k key) string {
		return fmt.Sprintf("Deployment dep1, key %s, scopes %s\n", k.ID, strings.Join(k.Scopes, " "))
	}
	for _, test := range []struct {
		method, path, token string
		status              int
		body                string
	}{
		{"GET", "/dep1/api/v2/dags", token, 200, identity(k)},
		{"POST", "/dep1/api/v2/dags/x/dagRuns", token, 200, identity(k)},
		{"POST", "/deploy/dep1/dags", token, 200, identity(k)},
		{"GET", "/dep1/api/v2/dags", readerToken, 200, identity(reader)},
		{"POST", "/dep1/api/v2/dags/x/dagRuns", readerToken, 403, ""},
		{"POST", "/deploy/dep1/dags", readerToken, 403, ""},
		{"GET", "/dep2/api/v2/dags", token, 403, ""},
		{"POST", "/deploy/dep2/dags", token, 403, ""},
		{"GET", "/dep1/api/v2/dags", "", 400, ""},
		{"GET", "/dep1/api/v2/dags", "x", 401, ""},
	} {
		answer := call(t, test.method, g.URL(g.port, test.path), nil, bearer(test.token)).Want(test.status)
		if test.body != "" && string(answer.Body) != test.body {
			t.Errorf("%s %s: %q, want %q", test.method, test.path, answer.Body, test.body)
		}
	}
	call(t, http.MethodGet, g.URL(g.port, "/dep1/api/v2/dags"), nil).Want(http.StatusUnauthorized)

	var set struct{ Keys []any }
	call(t, http.MethodGet, g.URL(g.port, "/.well-known/jwks.json"), nil).Want(http.StatusOK).JSON(&set)
	if len(set.Keys) != 1 {
		t.Errorf("%d signing keys, want 1", len(set.Keys))
	}
	var metadata struct {
		Issuer        string
		TokenEndpoint string `json:"token_endpoint"`
	}
	call(t, http.MethodGet, g.URL(g.port, "/.well-known/oauth-authorization-server"), nil).Want(http.StatusOK).JSON(&metadata)
	if want := fmt.Sprintf("http://localhost:%d", g.port); metadata.Issuer != want || metadata.TokenEndpoint != want+"/oauth/token" {
		t.Errorf("the metadata is %+v, want the URL %s", metadata, want)
	}

	g.deleteKey(t, k)
	wantRefusal(t, g.get(t, "dep1", token), http.StatusUnauthorized, "invalid_token")
}

func TestExampleServesNothingElse(t *testing.T) {
	t.Parallel()
	g, upstreamPort := startExample(t)
	g.newDeployment(t, "dep1")
	token := g.token(t, g.newKey(t, "dep1"))
	for _, path := range []string{
		"/", "/token", "/oauth/", "/oauth/token/", "/oauth", "/.well-known/", "/.well-known/openid-configuration",
		"/deployments", "/deployments/dep1", "/config/", "/metrics", "/dep1", "/dep1/", "/dep1/home", "/dep1/api",
		"/dep1/apis/x", "/deploy", "/deploy/dep1", "/index.html", "/Caddyfile.example",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if answer := call(t, method, g.URL(g.port, path), nil, bearer(token)); answer.Status != http.StatusNotFound {
				t.Errorf("%s %s: %d, want 404", method, path, answer.Status)
			}
		}
	}
	// Whatever spelling a matcher takes for one of the routes: without credentials nothing is behind it.
	for _, target := range []string{"/deploy/dep1/x/../../..", "/x/..;/dep1/api/", "/DEPLOY/dep1/x", "//dep1/api/x", "/dep1%2fapi/x"} {
		answer := g.raw(t, "GET "+target+" HTTP/1.1\nHost: x\nConnection: close\n\n")
		answer.Want(http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound)
	}
	// The demo upstream listens on 127.0.0.1 alone, and says what it was told.
	body := call(t, http.MethodGet, g.URL(upstreamPort, "/"), nil).Want(http.StatusOK).Body
	if want := "Deployment , key , scopes \n"; string(body) != want {
		t.Errorf("the upstream says %q, want %q", body, want)
	}
}
