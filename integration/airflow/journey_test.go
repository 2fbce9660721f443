package airflow

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// refusal is what the gateway answers when it refuses.
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func wantRefusal(t *testing.T, answer gatewaytest.Reply, status int, code string) {
	t.Helper()
	var body refusal
	if answer.Want(status).JSON(&body); body.Error != code {
		t.Errorf("the refusal is %+v, want the code %s", body, code)
	}
	if status == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") == "" {
		t.Error("a 503 without Retry-After")
	}
}

// A dagRun is a run as the API of either Airflow answers it.
type dagRun struct {
	ID    string `json:"dag_run_id"`
	State string `json:"state"`
	User  string `json:"triggering_user_name"`
}

// newRun is the body that triggers a run, for Airflow 3 and 2.
const (
	newRun  = `{"logical_date": null}`
	newRun2 = `{}`
)

// journey is what a CI job does: list DAGs, trigger a run, read its state until it is a success. api is /etl/api/v2 or
// /etl/api/v1. Every refusal is one that the job could run into.
func (g *gateway) journey(t *testing.T, api, newRun string) dagRun {
	t.Helper()
	contentType := gatewaytest.Header("Content-Type", "application/json")
	call := func(method, path, token string, body any) gatewaytest.Reply {
		t.Helper()
		return gatewaytest.Call(t, method, g.site(path), body, gatewaytest.Bearer(token), contentType)
	}
	poll(t, "the gateway reaches Airflow", func() bool {
		return answers(t, g.site(api+"/dags"), http.StatusOK, gatewaytest.Bearer(g.reader))
	})
	poll(t, "Airflow knows the DAG", func() bool {
		return strings.Contains(string(call(http.MethodGet, api+"/dags", g.reader, nil).Want(http.StatusOK).Body), `"hello"`)
	})
	runs := api + "/dags/hello/dagRuns"
	count := func() int {
		t.Helper()
		var list struct {
			Total int `json:"total_entries"`
		}
		call(http.MethodGet, runs, g.reader, nil).Want(http.StatusOK).JSON(&list)
		return list.Total
	}
	before := count()
	wantRefusal(t, call(http.MethodPost, runs, g.reader, newRun), http.StatusForbidden, "insufficient_scope")
	wantRefusal(t, call(http.MethodGet, runs, g.deployer, nil), http.StatusForbidden, "insufficient_scope")
	wantRefusal(t, call(http.MethodGet, runs, g.billing, nil), http.StatusForbidden, "insufficient_scope")
	wantRefusal(t, call(http.MethodPost, runs, g.billing, newRun), http.StatusForbidden, "insufficient_scope")
	wantRefusal(t, gatewaytest.Call(t, http.MethodGet, g.site(runs), nil), http.StatusUnauthorized, "unauthorized")
	wantRefusal(t, call(http.MethodGet, strings.Replace(runs, "etl", "billing", 1), g.full, nil), http.StatusForbidden, "insufficient_scope")
	if after := count(); after != before {
		t.Errorf("%d runs after what was refused, %d before", after, before)
	}

	var run dagRun
	call(http.MethodPost, runs, g.full, newRun).Want(http.StatusOK).JSON(&run)
	if run.ID == "" {
		t.Fatal("the run has no ID")
	}
	poll(t, "the run succeeds", func() bool {
		call(http.MethodGet, runs+"/"+url.PathEscape(run.ID), g.reader, nil).Want(http.StatusOK).JSON(&run)
		if run.State == "failed" {
			t.Fatal("the run has failed")
		}
		return run.State == "success"
	})
	return run
}

// A key that was deleted is of no use at Airflow from then on.
func (g *gateway) deletedKey(t *testing.T, api string) {
	t.Helper()
	k := g.NewKey(t, "etl")
	token := g.Token(t, g.port, k)
	gatewaytest.Call(t, http.MethodGet, g.site(api+"/dags"), nil, gatewaytest.Bearer(token)).Want(http.StatusOK)
	g.DeleteKey(t, k)
	wantRefusal(t, gatewaytest.Call(t, http.MethodGet, g.site(api+"/dags"), nil, gatewaytest.Bearer(token)), http.StatusUnauthorized, "invalid_token")
}
