//go:build linux

package load

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// A kind is requests of one kind: what they are, and how they are answered.
type kind struct {
	name    string
	status  int
	request func() []byte
	port    int // 0: the site's

	// beside is the accepted kind that it must not cost more than. "" for the accepted ones, and for what the gateway
	// never sees.
	beside string
}

// The accepted kinds. Those of deployment_auth go on to an upstream, as they do in use, but for the one that shows what
// that takes.
const (
	proxied     = "accepted: a token seen before"
	firstSeen   = "accepted: a token not seen before"
	largeHeader = "accepted: a token seen before, with 12 KiB of other headers"
	notProxied  = "accepted: a token seen before, answered in the place of an upstream"
	basicSecret = "accepted: HTTP Basic"
	issued      = "accepted: a token is issued"
	inspected   = "accepted: a token is introspected"
	shown       = "accepted: the console's API shows a Deployment"
)

// tolerance is how much more than the accepted request a refused one may cost before it counts: what two runs of the same
// requests differ by on a machine that does other things too.
const tolerance = 1.15

// A refused request takes less of the processor than one that is accepted. What it takes is counted by the system, for the
// whole gateway, over rounds of each kind in turns. A refusal is held against what a client of the same kind gets when it
// is accepted: before the signature a remembered token, after it one that is not remembered, which costs a signature too.
func TestRefusalsCostLess(t *testing.T) {
	beside(t)
	s := startSite(t)
	each := sized(4, 300)  // requests of a kind in a round
	rounds := sized(1, 15) // of all kinds
	kinds := s.kinds(t, each*(rounds+1))

	connections := make(map[int]*connection)
	for _, port := range []int{s.port, s.console} {
		connections[port] = &connection{address: s.address(port)}
		defer connections[port].close()
	}
	costs := make(map[string][]time.Duration)
	for round := range rounds + 1 { // the first one warms up
		for _, k := range kinds {
			c := connections[cmp.Or(k.port, s.port)]
			begin := s.processorTime(t)
			for range each {
				status, err := c.send(k.request())
				if err != nil || status != k.status {
					t.Fatalf("%s: status %d, want %d: %v", k.name, status, k.status, err)
				}
			}
			if cost := s.processorTime(t) - begin; round > 0 {
				costs[k.name] = append(costs[k.name], cost/time.Duration(each))
			}
		}
	}
	if full {
		compare(t, kinds, costs)
	}
}

// compare prints the costs as a table, and holds each refusal against what is accepted.
func compare(t *testing.T, kinds []kind, costs map[string][]time.Duration) {
	t.Helper()
	figure(t, "| request | status | CPU a request | of what is accepted beside it |")
	for _, k := range kinds {
		cost, ofBeside := median(append([]time.Duration(nil), costs[k.name]...)), ""
		if k.beside != "" {
			share := ratio(costs[k.name], costs[k.beside])
			ofBeside = fmt.Sprintf("%.2f: %s", share, strings.TrimPrefix(k.beside, "accepted: "))
			if share > tolerance {
				t.Errorf("%s costs %.2f times what is accepted beside it (%s)", k.name, share, k.beside)
			}
		}
		figure(t, "| %s | %d | %.0f µs | %s |", k.name, k.status, float64(cost)/1e3, ofBeside)
	}
}

// ratio is the middle of the ratios of each round: the machine may have been slower in one than in another.
func ratio(costs, beside []time.Duration) float64 {
	ratios := make([]float64, len(costs))
	for i := range costs {
		ratios[i] = float64(costs[i]) / float64(beside[i])
	}
	return median(ratios)
}

// kinds are all of them: at deployment_auth, at the OAuth endpoints, and in the console. fresh is how many requests
// there will be of a kind that needs another token each time.
func (s *site) kinds(t *testing.T, fresh int) []kind {
	t.Helper()
	k := s.NewKey(t, deployment)
	token := s.token(t, k)
	tokens := make([]string, fresh)
	for i := range tokens {
		tokens[i] = s.token(t, k)
	}
	kinds := []kind{
		{name: proxied, status: 200, request: always(get(proxiedPath, bearer(token)))},
		{name: largeHeader, status: 200, request: always(get(proxiedPath, bearer(token), "X-Large: "+strings.Repeat("a", 12<<10)))},
		{name: notProxied, status: 200, request: always(get(airflowPath, bearer(token)))},
		{name: firstSeen, status: 200, request: func() []byte {
			next := tokens[0]
			tokens = tokens[1:]
			return get(proxiedPath, bearer(next))
		}},
		{name: basicSecret, status: 200, request: always(get(deployPath, basic(k.ID, k.Secret)))},
		{name: issued, status: 200, request: always(post("/oauth/token", grant(k.ID, k.Secret)))},
		{name: inspected, status: 200, request: always(post("/oauth/introspect", grant(k.ID, k.Secret, "token", token)))},
		{name: shown, status: 200, port: s.console, request: always(get("/api/deployments/"+deployment, s.asViewer()...))},
	}
	kinds = append(kinds, s.refusedTokens(t, token)...)
	kinds = append(kinds, s.refusedBasic(t, k)...)
	kinds = append(kinds, s.refusedClients(t, k)...)
	return append(kinds,
		kind{
			name: "console: the role does not allow it", status: http.StatusForbidden, port: s.console, beside: shown,
			request: always(request("POST", "/api/deployments/"+deployment+"/keys", `{"name":"x"}`,
				append(s.asViewer(), "Content-Type: application/json")...)),
		},
		kind{
			name: "console: not a member", status: http.StatusNotFound, port: s.console, beside: shown,
			request: always(get("/api/deployments/"+other, s.asViewer()...)),
		},
		kind{
			name: "console: from a page of another site", status: http.StatusForbidden, port: s.console, beside: shown,
			request: always(request("POST", "/api/deployments/"+deployment+"/keys", `{"name":"x"}`,
				basic("viewer", password), "Content-Type: application/json", "Sec-Fetch-Site: cross-site")),
		})
}

// Paths of the routes that are checked.
const (
	airflowPath = "/" + deployment + "/api/v2/dags"
	proxiedPath = "/proxied/" + deployment + "/x"
	deployPath  = "/deploy/" + deployment + "/x"
)

func always(request []byte) func() []byte { return func() []byte { return request } }

// asViewer are the headers with which the console's pages send what viewer does.
func (s *site) asViewer() []string {
	return []string{
		basic("viewer", password), "Origin: http://127.0.0.1", "Sec-Fetch-Site: same-origin",
		"X-Requested-With: deployment-console",
	}
}

// refusedClients are the refusals of the OAuth endpoints.
func (s *site) refusedClients(t *testing.T, k gatewaytest.Key) []kind {
	t.Helper()
	narrow := s.NewKey(t, deployment, "airflow:read")
	deleted, _ := s.deletedKey(t)
	var elsewhere gatewaytest.Key
	gatewaytest.Call(t, http.MethodPost, s.Admin("/deployments/"+deployment+"/keys"),
		map[string]any{"name": "elsewhere", "allowed_ips": []string{"192.0.2.0/24"}}).Want(http.StatusCreated).JSON(&elsewhere)
	ofOther := s.token(t, s.NewKey(t, other))
	const at = "/oauth/token"
	refused := []kind{
		{name: "no credentials", status: 401, request: always(post(at, grant("", "")))},
		{name: "a made-up key ID", status: 401, request: func() []byte { return post(at, grant(madeUpID(k.ID), k.Secret)) }},
		{name: "a deleted key", status: 401, request: always(post(at, grant(deleted.ID, deleted.Secret)))},
		{name: "a wrong secret", status: 401, request: always(post(at, grant(k.ID, deleted.Secret)))},
		{name: "a malformed secret", status: 401, request: always(post(at, grant(k.ID, k.Secret[:len(k.Secret)-1])))},
		{name: "a malformed body", status: 400, request: always(request("POST", at, `{"client_id":`, "Content-Type: application/json"))},
		{name: "a parameter twice", status: 400, request: always(request("POST", at, "a=1&a=2", "Content-Type: application/x-www-form-urlencoded"))},
		{name: "parameters in the URL", status: 400, request: always(post(at+"?a=b", grant(k.ID, k.Secret)))},
		{name: "another content type", status: 400, request: always(request("POST", at, "x", "Content-Type: text/plain"))},
		{name: "another method", status: 405, request: always(get(at))},
		{name: "unsupported_grant_type", status: 400, request: always(post(at, grant(k.ID, k.Secret, "grant_type", "password")))},
		{name: "invalid_scope: it does not have it", status: 400, request: always(post(at, grant(narrow.ID, narrow.Secret, "scope", "deploy")))},
		{name: "invalid_target", status: 400, request: always(post(at, grant(k.ID, k.Secret, "audience", "another")))},
		{name: "unauthorized_client: from that address", status: 400, request: always(post(at, grant(elsewhere.ID, elsewhere.Secret)))},
	}
	for i := range refused {
		refused[i].name, refused[i].beside = "/oauth/token: "+refused[i].name, issued
	}
	return append(refused,
		kind{
			name: "/oauth/introspect: a wrong secret", status: 401, beside: inspected,
			request: always(post("/oauth/introspect", grant(k.ID, deleted.Secret, "token", ofOther))),
		},
		kind{
			name: "/oauth/revoke: a wrong secret", status: 401, beside: inspected,
			request: always(post("/oauth/revoke", grant(k.ID, deleted.Secret, "token", ofOther))),
		},
		kind{
			name: "/oauth/revoke: a token of another key", status: 400, beside: inspected,
			request: always(post("/oauth/revoke", grant(k.ID, k.Secret, "token", ofOther))),
		})
}
