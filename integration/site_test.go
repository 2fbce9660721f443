package integration

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// store says where the gateways of a test keep their keys.
type store struct {
	options string           // lines of the block deployment_keys
	env     []string         // what these lines refer to
	redis   *storetest.Redis // nil for the embedded store
	master  string           // the master secret; "" for the embedded store, which makes its own
}

// embedded is the store that a gateway has without any configuration.
func embedded(*testing.T) store { return store{} }

// onRedis is a store in a redis-server of the test's own.
func onRedis(t *testing.T) store {
	t.Helper()
	server := storetest.StartRedis(t)
	return redisAt(server.URL(), newMasterSecret(), server)
}

// redisAt is a store at the URL of a Redis, which need not be there.
func redisAt(address, master string, server *storetest.Redis) store {
	return store{
		options: "redis {env.REDIS_URL}\n\t\tsecret {env.DK_SECRET}",
		env:     []string{"REDIS_URL=" + address, "DK_SECRET=" + master},
		redis:   server,
		master:  master,
	}
}

// eachStore runs a test once for each kind of store, and beside other tests.
func eachStore(t *testing.T, test func(t *testing.T, s store)) {
	t.Parallel()
	onEachStore(t, test)
}

// onEachStore is eachStore for a test that runs beside others already.
func onEachStore(t *testing.T, test func(t *testing.T, s store)) {
	for name, newStore := range map[string]func(*testing.T) store{"embedded": embedded, "redis": onRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newStore(t))
		})
	}
}

// newMasterSecret makes a secret as the operator does with openssl rand -base64 32.
func newMasterSecret() string {
	var random [32]byte
	rand.Read(random[:])
	return base64.StdEncoding.EncodeToString(random[:])
}

// site is a gateway with the routes of tourCaddyfile at one port.
type site struct {
	*gateway
	port int
}

// startSite starts a gateway with tourCaddyfile on a store.
func startSite(t *testing.T, s store, options ...gatewayOption) *site {
	t.Helper()
	site := newSite(t, s, options...)
	site.Start()
	return site
}

// newSite is startSite without the start.
func newSite(t *testing.T, s store, options ...gatewayOption) *site {
	t.Helper()
	port := freePort(t)
	return &site{newGateway(t, tourCaddyfile(port, s), append(options, withEnv(s.env...))...), port}
}

// tourCaddyfile has the routes of Caddyfile.example at one port. In the place of an upstream is a text of the identity
// that one would get.
func tourCaddyfile(port int, s store) string {
	return fmt.Sprintf(`{
	deployment_keys {
		issuer https://auth.example.com
		%s
	}
}

http://:%d {
	deployment_token
%s
	handle {
		respond 404
	}
}
`, s.options, port, checkedRoutes)
}

// checkedRoutes are those of Caddyfile.example, with a text of the identity that an upstream would get in its place.
const checkedRoutes = `
	@deploy path /deploy/*/*
	handle @deploy {
		deployment_auth {path.1} {
			scope deploy
			basic
		}
		respond "{http.auth.user.deployment} {http.auth.user.id} {http.auth.user.scopes}"
	}

	@airflow path_regexp ^/[^/]+/api/
	handle @airflow {
		deployment_auth {path.0} {
			scope airflow:read GET HEAD
			scope airflow:write POST PUT PATCH DELETE
		}
		respond "{http.auth.user.deployment} {http.auth.user.id} {http.auth.user.scopes}"
	}
`

// allScopes are those of a key that was created with no fewer.
const allScopes = "deploy airflow:read airflow:write"

// newDeployment makes a Deployment.
func (s *site) newDeployment(t *testing.T, id string) {
	t.Helper()
	s.NewDeployment(t, id)
}

// newKey makes a key of a Deployment, with all scopes unless some are named.
func (s *site) newKey(t *testing.T, deployment string, scopes ...string) key {
	t.Helper()
	return s.NewKey(t, deployment, scopes...)
}

func (s *site) deleteKey(t *testing.T, k key) {
	t.Helper()
	s.DeleteKey(t, k)
}

func (s *site) deleteDeployment(t *testing.T, id string) {
	t.Helper()
	s.DeleteDeployment(t, id)
}

// grant is what the token endpoint answers.
type grant struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

// refusal is what the token endpoint and the bearer check answer when they refuse.
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// askToken sends the credentials of a key to the token endpoint.
func (s *site) askToken(t *testing.T, k key) reply {
	t.Helper()
	return s.AskToken(t, s.port, k)
}

// token exchanges a key for an access token.
func (s *site) token(t *testing.T, k key) string {
	t.Helper()
	return s.Token(t, s.port, k)
}

// get calls the Airflow route of a Deployment with an access token.
func (s *site) get(t *testing.T, deployment, token string) reply {
	t.Helper()
	return call(t, http.MethodGet, s.URL(s.port, "/"+deployment+"/api/v2/dags"), nil, bearer(token))
}

// wantRefusal ends the test unless the answer is a refusal with this status and code, in the body and, below 500, in the
// challenge.
func wantRefusal(t *testing.T, answer reply, status int, code string) refusal {
	t.Helper()
	var body refusal
	answer.Want(status).JSON(&body)
	if body.Error != code || body.Description == "" {
		t.Fatalf("the refusal is %+v, want the code %s and a description", body, code)
	}
	if status == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") == "" {
		t.Fatal("a 503 without Retry-After")
	}
	return body
}
