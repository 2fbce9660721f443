package airflow

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// Airflow trusts what the gateway signs.
func TestAirflowThatTrustsTheGateway(t *testing.T) {
	p := newPlace(t, airflow3)
	p.secrets(t)
	for _, file := range []string{"Caddyfile.trust", "airflow-trust.env"} {
		p.edit(t, file, func(text string) string { return strings.ReplaceAll(text, "http://localhost:", "http://127.0.0.1:") })
	}
	p.edit(t, "Caddyfile.trust", withHTTP2)
	mirror := newRecorder(t)
	every, lax, admins := gatewaytest.FreePort(t), gatewaytest.FreePort(t), gatewaytest.FreePort(t)
	laxAuth := "\tdeployment_auth {path.0} {\n\t\tscope airflow:read\n\t}\n"
	const token, adminToken = "\tdeployment_airflow_token\n", "\tdeployment_airflow_token {\n\t\trole airflow:read ADMIN\n\t\tlifetime 1m\n\t}\n"
	g := p.startGateway(t, "Caddyfile.trust",
		p.siteAt(every, auth+token, mirror)+p.siteAt(lax, laxAuth+token, mirror)+p.siteAt(admins, auth+adminToken, mirror))
	a := p.start(t, []string{"airflow.env", "airflow-trust.env"}, airflow3Processes...)

	const base = "/etl/api/v2"
	// The tasks of the run report with tokens that Airflow signs itself.
	run := g.journey(t, base, newRun)
	if run.User != g.fullKey.ID {
		t.Errorf("Airflow says that %q triggered the run, want the key %s", run.User, g.fullKey.ID)
	}
	tokenOf := func(port int, path, token string) string { return mirror.bearerOf(t, g.URL(port, path), token) }
	etl, billing := tokenOf(every, base+"/dags", g.full), tokenOf(every, "/billing/api/v2/dags", g.billing)
	admin := tokenOf(admins, base+"/dags", g.reader)
	direct := func(path, token string) gatewaytest.Reply {
		t.Helper()
		return gatewaytest.Call(t, http.MethodGet, a.url+path, nil, gatewaytest.Bearer(token))
	}

	t.Run("paths", func(t *testing.T) { g.paths(t, p.ports["9090"], every, etl) })
	t.Run("smuggling", func(t *testing.T) { g.smuggling(t, a, admin, every, mirror) })
	t.Run("deleted key", func(t *testing.T) { g.deletedKey(t, base) })
	t.Run("an answer in parts", func(t *testing.T) {
		g.streams(t, base+"/dags/hello/dagRuns/"+url.PathEscape(run.ID)+"/wait?interval=1")
	})
	t.Run("Airflow accepts nobody else", func(t *testing.T) {
		direct("/api/v2/dags", etl).Want(http.StatusOK)
		for name, token := range map[string]string{
			"the gateway, for another Deployment": billing,
			"a client":                            g.full,
			"a client of another Deployment":      g.billing,
		} {
			if answer := direct("/api/v2/dags", token); answer.Status != http.StatusForbidden {
				t.Errorf("the token of %s: status %d", name, answer.Status)
			}
		}
		gatewaytest.Call(t, http.MethodGet, a.url+"/api/v2/dags", nil).Want(http.StatusUnauthorized)
		gatewaytest.Call(t, http.MethodPost, a.url+"/auth/token", map[string]string{"username": "gateway", "password": "x"}).Want(http.StatusUnauthorized)
	})
	t.Run("tasks report with other tokens", func(t *testing.T) {
		for name, token := range map[string]string{"the gateway's": etl, "the admin's": admin, "a client's": g.full} {
			answer := direct("/execution/variables/x", token)
			if answer.Status != http.StatusForbidden && answer.Status != http.StatusUnauthorized {
				t.Errorf("%s token: status %d\n%s", name, answer.Status, answer.Body)
			}
		}
	})
	t.Run("the gateway refuses its tokens for Airflow", func(t *testing.T) {
		for _, token := range []string{etl, billing, admin} {
			wantRefusal(t, gatewaytest.Call(t, http.MethodGet, g.site(base+"/dags"), nil, gatewaytest.Bearer(token)), http.StatusUnauthorized, "invalid_token")
		}
	})
	t.Run("the role is by scope", func(t *testing.T) {
		// A route that asks for too little: Airflow itself refuses what a viewer may not.
		trigger := func(token string) gatewaytest.Reply {
			return gatewaytest.Call(t, http.MethodPost, g.URL(lax, base+"/dags/hello/dagRuns"), newRun,
				gatewaytest.Bearer(token), gatewaytest.Header("Content-Type", "application/json"))
		}
		if answer := trigger(g.reader).Want(http.StatusForbidden); !strings.Contains(string(answer.Body), "Forbidden") {
			t.Errorf("the answer is not Airflow's: %s", answer.Body)
		}
		trigger(g.full).Want(http.StatusOK)
	})
	t.Run("keys", func(t *testing.T) { g.trustedKeys(t, p) })
	t.Run("no Airflow", func(t *testing.T) {
		gatewaytest.Call(t, http.MethodGet, g.site("/billing/api/v2/dags"), nil, gatewaytest.Bearer(g.billing)).Want(http.StatusBadGateway)
	})
}

// trustedKeys holds that each Airflow is given the gateway's keys and its own, and that clients are not given those.
func (g *gateway) trustedKeys(t *testing.T, p *place) {
	t.Helper()
	ids := func(port int, path string) string {
		t.Helper()
		var set struct {
			Keys []struct {
				ID        string `json:"kid"`
				Algorithm string `json:"alg"`
			}
		}
		gatewaytest.Call(t, http.MethodGet, g.URL(port, path), nil).Want(http.StatusOK).JSON(&set)
		var names []string
		for _, key := range set.Keys {
			names = append(names, key.ID+" "+key.Algorithm)
		}
		return strings.Join(names, ", ")
	}
	own := ids(g.port, "/.well-known/jwks.json")
	for _, deployment := range []string{"etl", "billing"} {
		if got, want := ids(p.ports["8081"], fmt.Sprintf("/%s/jwks.json", deployment)), own+", "+deployment+" EdDSA"; got != want {
			t.Errorf("%s is to trust %s, want %s", deployment, got, want)
		}
	}
	gatewaytest.Call(t, http.MethodGet, g.site("/etl/jwks.json"), nil).Want(http.StatusNotFound)
	gatewaytest.Call(t, http.MethodPost, g.URL(p.ports["8081"], "/etl/jwks.json"), "x").Want(http.StatusMethodNotAllowed)
}
