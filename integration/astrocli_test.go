package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// astroPort is where the Astro CLI asks with ASTRO_DOMAIN=localhost. It cannot be told another, so one test alone may use
// it: TestAstroCLI, which is not parallel.
const astroPort = 8888

// platform stands in for the platform API, and for an Airflow 2, behind the gateway, and for the storage of uploads, which
// is not behind it. It keeps what it gets.
type platform struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // method, path and Deployment of the caller
}

func startPlatform(t *testing.T) *platform {
	t.Helper()
	p := new(platform)
	mux := http.NewServeMux()
	answer := func(pattern string, body func(r *http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(body(r)); err != nil {
				t.Error(err)
			}
		})
	}
	deployment := func(id string) map[string]any {
		return map[string]any{"id": id, "organizationId": "acme", "workspaceId": "ws", "isCicdEnforced": true, "isDagDeployEnabled": true}
	}
	answer("GET /v1/organizations", func(*http.Request) any {
		return map[string]any{"organizations": []any{map[string]string{"id": "acme"}}}
	})
	answer("GET /v1/organizations/{org}/deployments", func(r *http.Request) any {
		return map[string]any{"deployments": []any{deployment(r.Header.Get("X-Deployment-Id"))}} // of all that there are
	})
	answer("GET /v1/organizations/{org}/deployment-options", func(*http.Request) any { return map[string]any{} })
	answer("GET /v1/organizations/{org}/deployments/{id}", func(r *http.Request) any { return deployment(r.PathValue("id")) })
	answer("POST /v1/organizations/{org}/deployments/{id}/deploys", func(r *http.Request) any {
		return map[string]any{
			"id": "deploy-1", "imageTag": "deploy-1", "imageRepository": "localhost:8080/acme/" + r.PathValue("id"),
			"dagsUploadUrl": p.URL + "/storage/" + r.PathValue("id") + "?sig=x",
		}
	})
	answer("POST /v1/organizations/{org}/deployments/{id}/deploys/{deploy}/finalize", func(r *http.Request) any {
		return map[string]any{"id": r.PathValue("deploy"), "status": "DEPLOYED"}
	})
	answer("GET /{deployment}/api/v1/connections", func(*http.Request) any { return map[string]any{"connections": []any{}} })
	answer("POST /{deployment}/api/v1/connections", func(*http.Request) any { return map[string]any{} })
	mux.HandleFunc("PUT /storage/{deployment}", func(w http.ResponseWriter, r *http.Request) {
		if got, err := io.ReadAll(r.Body); err != nil || string(got) != "dags" || r.Header.Get("Authorization") != "" {
			t.Errorf("the storage got %q, %v, %v", got, err, r.Header)
		}
		w.WriteHeader(http.StatusCreated)
	})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, r.Header.Get("X-Deployment-Id")))
		p.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// take returns what has come since it was last called.
func (p *platform) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.seen
	p.seen = nil
	return taken
}

// port is where it listens.
func (p *platform) port() int { return p.Listener.Addr().(*net.TCPAddr).Port }

// TestAstroCLI sends what the Astro CLI sends for astro deploy --dags and then for its Airflow calls, in its order.
func TestAstroCLI(t *testing.T) {
	g, p := startAstroSite(t)
	etl, billing := g.newKey(t, "etl"), g.newKey(t, "billing")
	version := header("X-Astro-Client-Identifier", "cli")

	var config struct{ ClientID, Audience, DomainURL string }
	call(t, http.MethodGet, "http://localhost:8888/private/v1alpha1/cli/auth-config", nil, version).Want(http.StatusOK).JSON(&config)
	if config.ClientID == "" || config.Audience != "astronomer-ee" || !strings.HasSuffix(config.DomainURL, "/") {
		t.Fatalf("auth-config is %+v", config)
	}
	login := func(k key) string {
		t.Helper()
		var answer grant
		call(t, http.MethodPost, config.DomainURL+"oauth/token", url.Values{
			"client_id": {k.ID}, "client_secret": {k.Secret}, "audience": {"astronomer-ee"}, "grant_type": {"client_credentials"},
		}).Want(http.StatusOK).JSON(&answer)
		return answer.AccessToken
	}
	token, foreignToken := login(etl), login(billing)
	if got := permissionsOf(t, token); !slices.Equal(got, []string{"deploymentId:etl"}) {
		t.Errorf("the permissions in the token are %q: with CI/CD enforced the CLI wants type:id", got)
	}

	var created struct{ ID, DagsUploadURL string }
	var listed struct{ Deployments []struct{ ID string } }
	const deployment = "/v1/organizations/acme/deployments/etl"
	for _, step := range []struct {
		method, path string
		body, into   any
		foreign      int // what a key of billing gets
		status       int
	}{
		{"GET", "/v1/organizations", nil, nil, 200, 200},
		{"GET", "/v1/organizations/acme/deployments?limit=1000", nil, &listed, 200, 200},
		{"GET", deployment, nil, nil, 403, 200},
		{"POST", deployment + "/deploys", map[string]string{"type": "DAG_ONLY"}, &created, 403, 200},
		{"PUT", "", "dags", nil, 0, 201}, // to the storage, at the URL of the answer before
		{"POST", deployment + "/deploys/deploy-1/finalize", map[string]string{"dagTarballVersion": "1"}, nil, 403, 200},
		// An image deploy asks this too.
		{"GET", "/v1/organizations/acme/deployment-options", nil, nil, 200, 200},
		// Airflow: is it version 3? It is version 2.
		{"GET", "/etl/api/v2/version", nil, nil, 403, 404},
		{"GET", "/etl/api/v1/connections", nil, nil, 403, 200},
		{"POST", "/etl/api/v1/connections", map[string]string{"connection_id": "x"}, nil, 403, 200},
	} {
		t.Run(step.method+" "+step.path, func(t *testing.T) {
			if step.path == "" {
				call(t, step.method, created.DagsUploadURL, step.body, header("X-Ms-Blob-Type", "BlockBlob")).Want(step.status)
				p.take()
				return
			}
			path, _, _ := strings.Cut(step.path, "?")
			answer := call(t, step.method, "http://localhost:8888"+step.path, step.body, bearer(token), version).Want(step.status)
			if step.into != nil {
				answer.JSON(step.into)
			}
			if got, want := p.take(), []string{step.method + " " + path + " etl"}; !slices.Equal(got, want) {
				t.Errorf("the platform got %q, want %q", got, want)
			}
			refused := call(t, step.method, "http://localhost:8888"+step.path, step.body, bearer(foreignToken), version).Want(step.foreign)
			if step.foreign != http.StatusOK {
				wantRefusal(t, refused, http.StatusForbidden, "insufficient_scope")
				if got := p.take(); len(got) > 0 {
					t.Errorf("the platform got %q of billing", got)
				}
			} else if got, want := p.take(), []string{step.method + " " + path + " billing"}; !slices.Equal(got, want) {
				t.Errorf("the platform got %q, want %q", got, want)
			}
		})
	}
	if len(listed.Deployments) != 1 || listed.Deployments[0].ID != "etl" {
		t.Errorf("the CLI is shown the Deployments %+v", listed)
	}
	testAstroRefusals(t, g, p, token)
}

// testAstroRefusals sends what the CLI does not send.
func testAstroRefusals(t *testing.T, g *site, p *platform, token string) {
	for _, test := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/v1/organizations/acme/deployments/billing", 403},
		{"POST", "/v1/organizations/acme/deployments/billing/deploys", 403},
		{"POST", "/v1/organizations/acme/deployments/billing/deploys/deploy-1/finalize", 403},
		{"GET", "/v1/organizations/acme/deployments/bill%69ng", 403},
		{"GET", "/v1/organizations/acme/deployments/ETL", 403},
		{"GET", "/v1/organizations/acme/deployments/etl/../billing", 400},
		{"GET", "/v1/organizations/acme/deployments/etl/%2e%2e/billing", 400},
		{"GET", "/v1/organizations/acme/deployments/etl%2f..%2fbilling", 400},
		{"GET", "/v1/organizations/acme%2fdeployments/billing", 400},
		{"GET", "/v1/organizations/acme/deployments//billing", 400},
		{"GET", "/v1/organizations/acme/deployments/..;/billing", 400},
		{"GET", "/v1/organizations/acme/../deployments/billing", 404},
		{"GET", "/v1/organizations/x/acme/deployments/etl/deployments/billing", 404},
		{"GET", "/V1/organizations/acme/deployments/billing", 404},
		// A key changes no Deployment into nothing, and makes none.
		{"DELETE", "/v1/organizations/acme/deployments/etl", 403},
		{"POST", "/v1/organizations/acme/deployments", 404},
		{"GET", "/v1/organizations/acme/users", 404},
		{"GET", "/etl/home", 404},
		{"GET", "/billing/api/v1/connections", 403},
		{"POST", "/private/v1alpha1/cli/auth-config", 404},
	} {
		t.Run(test.method+" "+test.target, func(t *testing.T) {
			g.raw(t, fmt.Sprintf("%s %s HTTP/1.1\nHost: localhost\nConnection: close\nAuthorization: Bearer %s\nContent-Length: 0\n\n",
				test.method, test.target, token)).Want(test.status)
			if got := p.take(); len(got) > 0 {
				t.Errorf("the platform got %q", got)
			}
		})
	}
}

// startAstroSite starts a gateway with the Caddyfile of examples/astro-cli, at the port of the CLI.
func startAstroSite(t *testing.T) (*site, *platform) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", astroPort))
	if err != nil {
		t.Fatalf("the Astro CLI asks on port %d and on no other, and something else has that port: %v", astroPort, err)
	}
	listener.Close()
	p := startPlatform(t)
	caddyfile := readExample(t, "astro-cli/Caddyfile", map[string]int{"8083": p.port(), "8081": p.port()})
	g := &site{startGateway(t, caddyfile), astroPort}
	g.newDeployment(t, "etl")
	g.newDeployment(t, "billing")
	return g, p
}

// permissionsOf reads the permissions of a token without verifying it, as the CLI does.
func permissionsOf(t *testing.T, token string) []string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Permissions []string }
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Permissions
}
