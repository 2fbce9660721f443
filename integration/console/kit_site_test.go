package console

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

// password is that of all users of a site.
const password = "correct horse battery staple"

// The users of a site. In each Deployment that a test makes with newDeployment, adam is admin and vera viewer.
const (
	administrator = "alice"
	admin         = "adam"
	viewer        = "vera"
	stranger      = "nobody"
)

// site is a gateway with a console, and with the routes of jobs on another port.
type site struct {
	*gatewaytest.Gateway
	console int              // the port of the console
	jobs    int              // the port of tokens and of Airflow
	redis   *storetest.Redis // nil for the embedded store
}

// store is where a site keeps its keys.
type store struct {
	options string // lines of the block deployment_keys
	env     []string
	redis   *storetest.Redis
}

func embedded(*testing.T) store { return store{} }

func onRedis(t *testing.T) store {
	t.Helper()
	server := storetest.StartRedis(t)
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	return store{
		options: "redis {env.REDIS_URL}\n\t\tsecret {env.DK_SECRET}",
		env:     []string{"REDIS_URL=" + server.URL(), "DK_SECRET=" + base64.StdEncoding.EncodeToString(secret[:])},
		redis:   server,
	}
}

// eachStore runs a test once for each kind of store. More users than those above may be named.
func eachStore(t *testing.T, test func(t *testing.T, s *site), users ...string) {
	t.Parallel()
	for name, newStore := range map[string]func(*testing.T) store{"embedded": embedded, "redis": onRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, startSite(t, newStore(t), users...))
		})
	}
}

// startSite starts a gateway with a console.
func startSite(t *testing.T, s store, users ...string) *site {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	var passwords string
	for _, user := range append([]string{administrator, admin, viewer, stranger}, users...) {
		passwords += fmt.Sprintf("\n\t\t%s %s", caddyfileText(user), hash)
	}
	console, jobs := gatewaytest.FreePort(t), gatewaytest.FreePort(t)
	caddyfile := fmt.Sprintf(`{
	deployment_keys {
		issuer http://127.0.0.1:%[2]d
		%[3]s
	}
}

http://:%[1]d {
	basic_auth {%[4]s
	}
	deployment_console {
		administrator alice
	}
}

http://:%[2]d {
	deployment_token
	@airflow path_regexp ^/[^/]+/api/
	handle @airflow {
		deployment_auth {path.0} {
			scope airflow:read GET HEAD
			scope airflow:write POST PUT PATCH DELETE
		}
		respond "Airflow of {http.auth.user.deployment} for {http.auth.user.id}"
	}
	handle {
		respond 404
	}
}
`, console, jobs, s.options, passwords)
	gateway := gatewaytest.Start(t, caddyfile, gatewaytest.WithEnv(s.env...))
	return &site{gateway, console, jobs, s.redis}
}

// caddyfileText is a text as one token of a Caddyfile.
func caddyfileText(text string) string { return "`" + text + "`" }

// origin is that of the console.
func (s *site) origin() string { return s.URL(s.console, "") }

// newDeployment makes a Deployment with a name, and with adam and vera as members.
func (s *site) newDeployment(t *testing.T, id, name string) {
	t.Helper()
	gatewaytest.Call(t, http.MethodPost, s.Admin("/deployments"), map[string]any{"id": id, "name": name, "description": "Loads the warehouse every night"}).
		Want(http.StatusCreated)
	s.putMember(t, id, admin, "admin")
	s.putMember(t, id, viewer, "viewer")
}

func (s *site) putMember(t *testing.T, deployment, user, role string) {
	t.Helper()
	gatewaytest.Call(t, http.MethodPut, s.Admin("/deployments/"+deployment+"/members/"+user), map[string]any{"role": role}).Want(http.StatusOK)
}

// shownKey is a key as a list of the admin API has it.
type shownKey struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	CreatedBy   string   `json:"created_by"`
	Scopes      []string `json:"scopes"`
}

// keys are those that a Deployment has.
func (s *site) keys(t *testing.T, deployment string) []shownKey {
	t.Helper()
	var list struct {
		Keys []shownKey `json:"keys"`
	}
	gatewaytest.Call(t, http.MethodGet, s.Admin("/deployments/"+deployment+"/keys"), nil).Want(http.StatusOK).JSON(&list)
	return list.Keys
}
