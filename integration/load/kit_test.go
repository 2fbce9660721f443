//go:build linux

package load

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

// full says whether the tests are to be of full size and to print figures.
var full = os.Getenv("DEPLOYMENT_KEYS_ATTACK") != ""

// sized is the first of two in CI, and the second at full size.
func sized[T any](inCI, atFullSize T) T {
	if full {
		return atFullSize
	}
	return inCI
}

// beside lets a test run beside others in CI, where it only counts. At full size it measures, and runs alone.
func beside(t *testing.T) {
	t.Helper()
	if !full {
		t.Parallel()
	}
}

// figure prints a figure of docs/security.md.
func figure(t *testing.T, format string, values ...any) {
	t.Helper()
	t.Logf("figure: "+format, values...)
}

// median is the middle of some values, which are sorted for it.
func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// A site is a gateway with each handler that refuses: the OAuth endpoints; a route that is answered in the place of an
// upstream, below /DEPLOYMENT/api/; the same in front of an upstream, below /proxied/DEPLOYMENT/; one that takes
// Basic and has that upstream too, below /deploy/DEPLOYMENT/; and the console at a port of its own, which viewer of Deployment etl can use.
type site struct {
	*gatewaytest.Gateway
	port, console int
	redis         *storetest.Redis // nil: the embedded store
}

// The Deployments of a site.
const (
	deployment = "etl"
	other      = "reports"
)

// password is that of the console's user, who is called viewer.
const password = "correct horse battery staple"

func startSite(t *testing.T) *site {
	t.Helper()
	return startSiteOn(t, nil)
}

func startSiteOn(t *testing.T, redis *storetest.Redis) *site {
	t.Helper()
	s := &site{port: gatewaytest.FreePort(t), console: gatewaytest.FreePort(t), redis: redis}
	store, options := "", []gatewaytest.Option{}
	if redis != nil {
		master := make([]byte, 32)
		rand.Read(master)
		store = "redis {env.REDIS_URL}\n\t\tsecret {env.DK_SECRET}"
		options = append(options, gatewaytest.WithEnv("REDIS_URL="+redis.URL(), "DK_SECRET="+base64.StdEncoding.EncodeToString(master)))
	}
	if full {
		options = append(options, gatewaytest.WithoutRaceDetector())
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	t.Cleanup(upstream.Close)
	s.Gateway = gatewaytest.Start(t, fmt.Sprintf(caddyfile, store, s.port, strings.TrimPrefix(upstream.URL, "http://"), s.console, hash), options...)
	s.NewDeployment(t, deployment)
	s.NewDeployment(t, other)
	gatewaytest.Call(t, http.MethodPut, s.Admin("/deployments/"+deployment+"/members/viewer"), map[string]string{"role": "viewer"}).
		Want(http.StatusOK)
	return s
}

// What Caddy bounds is as it comes.
const caddyfile = `{
	deployment_keys {
		issuer https://auth.example.com
		%[1]s
	}
}

http://:%[2]d {
	deployment_token

	@proxied path /proxied/*/*
	handle @proxied {
		deployment_auth {path.1} {
			scope airflow:read GET
			scope airflow:write POST
		}
		reverse_proxy %[3]s
	}

	@deploy path /deploy/*/*
	handle @deploy {
		deployment_auth {path.1} {
			scope deploy
			basic
		}
		reverse_proxy %[3]s
	}

	@airflow path_regexp ^/[^/]+/api/
	handle @airflow {
		deployment_auth {path.0} {
			scope airflow:read GET
			scope airflow:write POST
		}
		respond "ok"
	}

	handle {
		respond 404
	}
}

http://:%[4]d {
	basic_auth {
		viewer %[5]s
	}
	deployment_console
}
`

// address is where a port of the gateway is.
func (s *site) address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// token exchanges a key for an access token.
func (s *site) token(t *testing.T, k gatewaytest.Key) string {
	t.Helper()
	return s.Token(t, s.port, k)
}

// expiredToken is a token that was good a moment ago: its key has expired, and the token with it.
func (s *site) expiredToken(t *testing.T) string {
	t.Helper()
	var k gatewaytest.Key
	expires := time.Now().Add(5 * time.Second)
	gatewaytest.Call(t, http.MethodPost, s.Admin("/deployments/"+deployment+"/keys"),
		map[string]any{"name": "short", "expires_at": expires.UTC().Format(time.RFC3339)}).Want(http.StatusCreated).JSON(&k)
	token := s.token(t, k)
	gatewaytest.Eventually(t, "the token expires", func() bool {
		return gatewaytest.Call(t, http.MethodGet, s.URL(s.port, "/"+deployment+"/api/x"), nil, gatewaytest.Bearer(token)).Status ==
			http.StatusUnauthorized
	})
	return token
}

// revokedToken is a token of a key that lives, and was revoked by it.
func (s *site) revokedToken(t *testing.T, k gatewaytest.Key) string {
	t.Helper()
	token := s.token(t, k)
	gatewaytest.Call(t, http.MethodPost, s.URL(s.port, "/oauth/revoke"),
		url.Values{"client_id": {k.ID}, "client_secret": {k.Secret}, "token": {token}}).Want(http.StatusOK)
	return token
}

// deletedKey is a key that was deleted, and a token of it.
func (s *site) deletedKey(t *testing.T) (gatewaytest.Key, string) {
	t.Helper()
	k := s.NewKey(t, deployment)
	token := s.token(t, k)
	s.DeleteKey(t, k)
	return k, token
}
