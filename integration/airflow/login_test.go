package airflow

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// airflowToken logs in to Airflow itself.
func (a *airflow) token(t *testing.T, user, password string) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	gatewaytest.Call(t, http.MethodPost, a.url+"/auth/token", map[string]string{"username": user, "password": password}).
		Want(http.StatusCreated).JSON(&answer)
	return answer.AccessToken
}

// The gateway has a service account at Airflow.
func TestAirflowWithAServiceAccount(t *testing.T) {
	p := newPlace(t, airflow3)
	password := p.secrets(t)
	p.write(t, "secrets/etl.passwords.json", fmt.Sprintf(`{"gateway": %q, "admin": "of-the-admin"}`, password))
	p.edit(t, "airflow.env", func(text string) string {
		return strings.Replace(text, "gateway:USER", "gateway:USER,admin:ADMIN", 1)
	})
	p.edit(t, "Caddyfile", withHTTP2)
	a := p.start(t, []string{"airflow.env"}, airflow3Processes...)

	mirror := newRecorder(t)
	every := gatewaytest.FreePort(t)
	handlers := auth + fmt.Sprintf("\tdeployment_airflow_login etl {\n\t\turl %s\n\t\tusername gateway\n\t\tpassword {file.%s/secrets/etl.password}\n\t}\n", a.url, p.dir)
	g := p.startGateway(t, "Caddyfile", p.siteAt(every, handlers, mirror))

	const base = "/etl/api/v2"
	run := g.journey(t, base, newRun)
	if run.User != "gateway" {
		t.Errorf("Airflow says that %q triggered the run, want the service account", run.User)
	}
	admin := a.token(t, "admin", "of-the-admin")

	t.Run("paths", func(t *testing.T) { g.paths(t, p.ports["9090"], every, admin) })
	t.Run("smuggling", func(t *testing.T) { g.smuggling(t, a, admin, every, mirror) })
	t.Run("deleted key", func(t *testing.T) { g.deletedKey(t, base) })
	t.Run("no login", func(t *testing.T) {
		for _, port := range []int{g.port, every} {
			gatewaytest.Call(t, http.MethodPost, g.URL(port, "/etl/auth/token"), map[string]string{"username": "admin", "password": "of-the-admin"},
				gatewaytest.Bearer(g.full)).Want(http.StatusNotFound)
			gatewaytest.Call(t, http.MethodGet, g.URL(port, "/etl/api/v2/auth/logout"), nil, gatewaytest.Bearer(g.full)).Want(http.StatusNotFound)
		}
	})
	t.Run("a token of Airflow is none of the gateway", func(t *testing.T) {
		wantRefusal(t, gatewaytest.Call(t, http.MethodGet, g.site(base+"/dags"), nil, gatewaytest.Bearer(admin)), http.StatusUnauthorized, "invalid_token")
	})
	t.Run("a token of the gateway is none of Airflow", func(t *testing.T) {
		gatewaytest.Call(t, http.MethodGet, a.url+"/api/v2/dags", nil, gatewaytest.Bearer(g.full)).Want(http.StatusForbidden)
	})
	t.Run("a token that Airflow has revoked is replaced", func(t *testing.T) {
		call := func(target, token string) gatewaytest.Reply {
			t.Helper()
			return gatewaytest.Call(t, http.MethodGet, target, nil, gatewaytest.Bearer(token))
		}
		before := mirror.bearerOf(t, g.URL(every, base+"/dags"), g.reader)
		call(a.url+"/api/v2/dags", before).Want(http.StatusOK)
		call(a.url+"/api/v2/auth/logout", before).Want(http.StatusTemporaryRedirect)
		call(a.url+"/api/v2/dags", before).Want(http.StatusForbidden)
		// A request with a body is repeated too.
		gatewaytest.Call(t, http.MethodPost, g.URL(every, base+"/dags/hello/dagRuns"), newRun,
			gatewaytest.Bearer(g.full), gatewaytest.Header("Content-Type", "application/json")).Want(http.StatusOK)
		call(g.URL(every, base+"/dags"), g.reader).Want(http.StatusOK)
		if after := mirror.bearerOf(t, g.URL(every, base+"/dags"), g.reader); after == before {
			t.Error("the gateway goes on with a token that was revoked")
		}
	})
	t.Run("no Airflow", func(t *testing.T) {
		wantRefusal(t, gatewaytest.Call(t, http.MethodGet, g.site("/billing/api/v2/dags"), nil, gatewaytest.Bearer(g.billing)),
			http.StatusServiceUnavailable, "temporarily_unavailable")
	})
	t.Run("an answer in parts", func(t *testing.T) {
		g.streams(t, base+"/dags/hello/dagRuns/"+url.PathEscape(run.ID)+"/wait?interval=1")
	})
	t.Run("the password is nowhere", func(t *testing.T) {
		config := gatewaytest.Call(t, http.MethodGet, g.Admin("/config/"), nil).Want(http.StatusOK)
		for name, text := range map[string]string{"configuration": string(config.Body), "log": g.Logs()} {
			if strings.Contains(text, password) {
				t.Errorf("the password is in the %s", name)
			}
		}
	})
}

// streams reads an answer that Airflow gives line by line.
func (g *gateway) streams(t *testing.T, path string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.site(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+g.reader)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(line, `"success"`) {
		t.Errorf("status %d, %v: %s", response.StatusCode, err, line)
	}
}
