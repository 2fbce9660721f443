package airflow

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// What an Airflow serves.
const (
	api       = "the API"   // DAGs
	page      = "the UI"    // its page, or data for it
	execution = "execution" // the API by which its tasks report
	login     = "the login"
	nothing   = "nothing"
)

// spellings are request targets, what Airflow 3 itself serves for them when it is asked without the gateway, and the
// status that the gateway answers for a token of etl on a route that lets every path come to its handler.
var spellings = []struct {
	target string
	serves string
	status int
}{
	{"/etl/api/v2/dags", api, 200},
	{"/etl/api/v2/dags?limit=1&x=/../billing", api, 200},
	{"/etl/%61pi/v2/dags", api, 200},
	{"/%65tl/api/v2/dags", api, 200},
	{"/etl/api/v2/dags/", nothing, 404},
	{"/etl/api/v2/dags;x=1", nothing, 404},
	{"/etl/api/v2/dags;/../../x", nothing, 400},
	{"/etl/api/v2/DAGS", nothing, 404},

	// Airflow also serves its API without the path of base_url, but that is of no Deployment.
	{"/api/v2/dags", api, 403},
	{"/billing/api/v2/dags", page, 403},
	{"/billing/../etl/api/v2/dags", page, 400},
	{"/etl/../billing/api/v2/dags", page, 400},
	{"/etl/api/v2/../../../billing/api/v2/dags", nothing, 400},
	{"/etl/..;/billing/api/v2/dags", page, 400},
	{"/ETL/api/v2/dags", page, 403},
	{"/etlx/api/v2/dags", page, 403},
	{"/etl%20/api/v2/dags", page, 403},

	{"/etl%2fapi/v2/dags", api, 400},
	{"/etl/api%2fv2/dags", api, 400},
	{"/etl%2f..%2fbilling/api/v2/dags", page, 400},
	{"/etl%252fapi/v2/dags", page, 400},
	{"/etl/%2561pi/v2/dags", page, 404},
	{"/etl//api/v2/dags", page, 400},
	{"//etl/api/v2/dags", page, 400},
	{"/etl/./api/v2/dags", page, 400},
	{"/etl/%2e/api/v2/dags", page, 400},
	{"/etl/x/../api/v2/dags", page, 400},
	{"/etl/x/%2e%2e/api/v2/dags", page, 400},
	{"/etl/x/..%2fapi/v2/dags", page, 400},
	{`/etl/api\v2/dags`, page, 400},
	{"/etl/api%5cv2/dags", page, 400},
	{"/etl/api/v2/dags%0a", api, 400},
	{"/etl/api/v2/dags%00", nothing, 400},
	{"/etl/api/v2/dags%c0%af", nothing, 400},

	{"/etl/", page, 404},
	{"/etl", nothing, 404},
	{"/etl/dags", page, 404},
	{"/etl/login", page, 404},
	{"/etl/API/v2/dags", page, 404},
	{"/etl/api/V2/dags", nothing, 404},
	{"/etl/api/v1/dags", nothing, 404},
	{"/etl/api", page, 404},
	{"/etl/api/v2", nothing, 404},
	{"/etl/api/v2x/dags", nothing, 404},
	{"/etl/etl/api/v2/dags", page, 404},
	{"/etl/ui/config", page, 404},
	{"/etl/docs", page, 404},
	{"/etl/openapi.json", page, 404},
	{"/etl/static/index.html", page, 404},

	{"/etl/auth/token", login, 404},
	{"/etl/%61uth/token", login, 404},
	{"/etl/auth%2ftoken", login, 400},
	{"/etl/auth/login", page, 404},
	{"/etl/api/v2/../../auth/token", nothing, 400},
	{"/etl/api/v2/auth/login", login, 404},
	{"/etl/api/v2/%61uth/login", login, 404},
	{"/etl/api/v2/auth%2flogin", login, 400},
	{"/etl/api/v2//auth/login", nothing, 400},
	{"/etl/api/v2/x/../auth/login", nothing, 400},

	{"/etl/execution/health", execution, 404},
	{"/etl/%65xecution/health", execution, 404},
	{"/etl/execution%2fhealth", execution, 400},
	{"/etl/api/v2/../../execution/health", nothing, 400},
	{"/execution/health", nothing, 403},
}

// serves says what an answer of Airflow is.
func serves(answer gatewaytest.Reply) string {
	body, contentType := string(answer.Body), answer.Header.Get("Content-Type")
	switch {
	case answer.Status == http.StatusTemporaryRedirect && strings.Contains(answer.Header.Get("Location"), "/auth/login"),
		strings.Contains(body, "simple_auth_manager_all_admins"), strings.Contains(body, "Simple auth manager"):
		return login
	case answer.Status == http.StatusOK && strings.Contains(body, `"dags":[`):
		return api
	case answer.Status == http.StatusOK && strings.Contains(body, `"healthy"`):
		return execution
	case answer.Status == http.StatusOK && (strings.HasPrefix(contentType, "text/html") || strings.HasPrefix(contentType, "application/json")):
		return page
	}
	return nothing
}

// rawGet is a request for [gatewaytest.Raw].
func rawGet(target, token string, lines ...string) string {
	head := []string{"GET " + target + " HTTP/1.1", "Host: localhost", "Connection: close", "Authorization: Bearer " + token}
	return strings.Join(append(head, lines...), "\n") + "\n\n"
}

// paths sends each spelling to Airflow itself, with a credential of it, and to the gateway, at a site that lets all
// paths come to the handler, by HTTP/1.1 and HTTP/2, and as a path and as a URL.
func (g *gateway) paths(t *testing.T, airflowPort, port int, credential string) {
	t.Helper()
	http2 := h2c()
	defer http2.CloseIdleConnections()
	for _, test := range spellings {
		t.Run(test.target, func(t *testing.T) {
			if got := serves(gatewaytest.Raw(t, airflowPort, rawGet(test.target, credential))); got != test.serves {
				t.Errorf("Airflow serves %s, want %s", got, test.serves)
			}
			through := map[string]gatewaytest.Reply{"HTTP/1.1": gatewaytest.Raw(t, port, rawGet(test.target, g.full))}
			if !strings.HasPrefix(test.target, "//") { // an absolute URL would be another one, and net/http sends none
				through["absolute form"] = gatewaytest.Raw(t, port, rawGet("http://localhost"+test.target, g.full))
				through["HTTP/2"] = overHTTP2(t, http2, g.URL(port, "/"), test.target, g.full)
			}
			for how, answer := range through {
				if answer.Status != test.status {
					t.Errorf("%s: status %d, want %d\n%s", how, answer.Status, test.status, answer.Body)
				}
				if what := serves(answer); what != nothing && (what != api || test.status != http.StatusOK) {
					t.Errorf("%s: the client gets %s", how, what)
				}
			}
		})
	}
	t.Run("at the site of the example", func(t *testing.T) {
		for _, test := range spellings {
			answer := gatewaytest.Raw(t, g.port, rawGet(test.target, g.full))
			if what := serves(answer); what != nothing && (what != api || test.status != http.StatusOK) {
				t.Errorf("%s: the client gets %s", test.target, what)
			}
		}
	})
}

// h2c is a client that speaks HTTP/2 without TLS.
func h2c() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{
		Timeout: gatewaytest.Patience, Transport: &http.Transport{Protocols: protocols},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func overHTTP2(t *testing.T, client *http.Client, base, target, token string) gatewaytest.Reply {
	t.Helper()
	path, query, _ := strings.Cut(target, "?")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.URL = &url.URL{Scheme: "http", Host: request.URL.Host, Opaque: path, RawQuery: query}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Fatalf("the answer is of %s, want HTTP/2", response.Proto)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return gatewaytest.Reply{Status: response.StatusCode, Header: response.Header, Body: body}
}
