package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	"golang.org/x/crypto/bcrypt"
)

// A testGateway is a whole gateway in this process, on an embedded store, with the admin API as Caddy has
// it and a site. There is one in a process at a time, so its tests are not parallel.
type testGateway struct {
	api  http.Handler
	site *http.Client // of whatever host
}

// The site's user, and the Deployment that /airflow is of.
const (
	siteUser       = "anna"
	sitePassword   = "correct horse"
	siteDeployment = "etl"
)

func startTestGateway(t testing.TB) *testGateway {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	place, err := os.MkdirTemp("", "dk") // the path of a socket has 100 characters at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(place) })
	socket := filepath.Join(place, "site")
	hash, err := bcrypt.GenerateFromPassword([]byte(sitePassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	type list = []any
	type object = map[string]any
	config, err := json.Marshal(object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"logging": object{"logs": object{"default": object{"writer": object{"output": "discard"}}}},
		"apps": object{
			"deployment_keys": object{},
			"http": object{"servers": object{"site": object{
				"listen":          list{"unix/" + socket},
				"automatic_https": object{"disable": true},

				// A socket has no address: the test is a proxy that tells one.
				"trusted_proxies_unix": true,
				"routes": list{
					object{
						"match":  list{object{"path": list{"/airflow"}}},
						"handle": list{object{"handler": "deployment_auth", "deployment": siteDeployment}, object{"handler": "static_response", "body": "passed"}},
					},
					object{"handle": list{
						object{"handler": "deployment_token"},
						object{"handler": "authentication", "providers": object{"http_basic": object{
							"accounts": list{object{"username": siteUser, "password": string(hash)}},
						}}},
					}},
				},
			}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	endpoint := new(Endpoint)
	if err := endpoint.Provision(caddy.ActiveContext()); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &testGateway{api: endpoint.handler, site: &http.Client{Transport: transport}}
}

// ask sends a request to the site, and wants a status.
func (g *testGateway) ask(t testing.TB, method, path, body string, status int, edit func(*http.Request)) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "http://site.example.com"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	edit(r)
	response, err := g.site.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		t.Fatalf("%s %s: %v, %d %s, want %d", method, path, err, response.StatusCode, answer, status)
	}
	return answer
}

// token is an access token of a key.
func (g *testGateway) token(t testing.TB, id, secret string) string {
	t.Helper()
	return accessToken(t, g.ask(t, http.MethodPost, "/oauth/token", "grant_type=client_credentials", http.StatusOK, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(id, secret)
	}))
}

// userToken is an access token of the site's user.
func (g *testGateway) userToken(t testing.TB) string {
	t.Helper()
	return accessToken(t, g.ask(t, http.MethodPost, "/token", "", http.StatusOK, func(r *http.Request) { r.SetBasicAuth(siteUser, sitePassword) }))
}

// call makes a request with a token to the upstream of the Deployment.
func (g *testGateway) call(t testing.TB, token string) {
	t.Helper()
	g.ask(t, http.MethodGet, "/airflow", "", http.StatusOK, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
}

func accessToken(t testing.TB, answer []byte) string {
	t.Helper()
	var issued struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(answer, &issued); err != nil || issued.Token == "" {
		t.Fatal(fmt.Errorf("no token in %s: %w", answer, err))
	}
	return issued.Token
}
