package integration

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A remote admin endpoint with a certificate for one Deployment: what the certificate cannot do, by whatever path.

// remoteSite is a gateway with a remote admin endpoint, at which a certificate may do everything below /deployments/dep1,
// another what the recipe gives it: the keys of that Deployment.
type remoteSite struct {
	*site
	test      *testing.T
	remote    int
	root      string // of the endpoint's own certificate, a file
	owner     *clientCertificate
	keysOnly  *clientCertificate
	authority *clientCertificate // of which every certificate may do everything below /deployments/dep2
}

func startRemoteSite(t *testing.T, s store) *remoteSite {
	t.Helper()
	g := &remoteSite{
		site: startSite(t, s), test: t, remote: freePort(t),
		owner:     newClientCertificate(t, "owner of dep1", nil),
		keysOnly:  newClientCertificate(t, "CI of dep1", nil),
		authority: newClientCertificate(t, "authority of dep2", nil, asAuthority),
	}
	for _, id := range []string{"dep1", "dep10", "dep1x", "dep2", "dep"} {
		g.newDeployment(t, id)
	}
	access := func(c *clientCertificate, paths, methods []string) map[string]any {
		permission := map[string]any{"paths": paths}
		if methods != nil {
			permission["methods"] = methods
		}
		return map[string]any{"public_keys": []string{c.base64()}, "permissions": []any{permission}}
	}
	var config map[string]any
	call(t, http.MethodGet, g.Admin("/config/"), nil).Want(http.StatusOK).JSON(&config)
	config["admin"] = map[string]any{
		"identity": map[string]any{"identifiers": []string{"127.0.0.1"}, "issuers": []any{map[string]any{"module": "internal"}}},
		"remote": map[string]any{
			"listen": fmt.Sprintf("127.0.0.1:%d", g.remote),
			"access_control": []any{
				access(g.owner, []string{"/deployments/dep1"}, nil),
				access(g.keysOnly, []string{"/deployments/dep1/keys"}, []string{"GET", "POST", "PATCH", "DELETE"}),
				access(g.authority, []string{"/deployments/dep2"}, nil),
			},
		},
	}
	apps, ok := config["apps"].(map[string]any)
	if !ok {
		t.Fatalf("the configuration is %v", config)
	}
	apps["pki"] = map[string]any{"certificate_authorities": map[string]any{"local": map[string]any{"install_trust": false}}}
	call(t, http.MethodPost, g.Admin("/load"), config).Want(http.StatusOK)
	g.root = filepath.Join(g.DataDir(), "pki", "authorities", "local", "root.crt")
	eventually(t, "the remote admin endpoint serves", func() bool {
		_, err := g.as(g.owner, "GET /deployments/dep1", "")
		return err == nil
	})
	return g
}

// state is all that a caller without a right to it could have changed, beside the Deployment dep1.
func (g *remoteSite) state(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range []string{
		"/config/", "/signing_keys", "/deployments/dep", "/deployments/dep10", "/deployments/dep1x", "/deployments/dep2",
		"/deployments/dep/keys", "/deployments/dep10/keys", "/deployments/dep1x/keys", "/deployments/dep2/keys",
		"/deployments/dep10/members", "/deployments/dep1x/members", "/deployments/dep2/members",
	} {
		all.Write(call(t, http.MethodGet, g.Admin(path), nil).Want(http.StatusOK).Body)
	}
	return all.String()
}

// No path gets a certificate of one Deployment to another one, or to what is of none. Caddy's access control decides on a
// path that is decoded and then cleaned, its router and the API take the path apart before they decode it.
func TestRemoteCertificateStaysInItsDeployment(t *testing.T) {
	t.Parallel()
	g := startRemoteSite(t, embedded(t))
	own, foreign := g.newKey(t, "dep1"), g.newKey(t, "dep2")
	g.putMember(t, "dep2", "../../dep1/members/bob", "viewer")
	g.putMember(t, "dep2", "../../dep1/keys", "viewer")
	before := g.state(t)
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	bodies := map[string]string{"POST": `{"name":"theirs"}`, "PUT": `{"role":"admin"}`, "PATCH": `{"name":"theirs"}`}
	targets := []string{
		// Without a boundary of segments, and beside.
		"/deployments/dep10", "/deployments/dep10/keys", "/deployments/dep1x/keys", "/deployments/dep2/keys", "/deployments/dep", "/deployments/dep/keys",
		"/deployments/dep2", "/deployments/dep2/keys/" + foreign.ID, "/deployments/dep2/keys/" + foreign.ID + "/rotate", "/deployments/dep2/members/mallory",
		"/deployments/dep2/revoke_tokens", "/deployments/dep2/audit", "/deployments/DEP1/keys", "/Deployments/dep1/keys",
		// Of no Deployment.
		"/deployments", "/deployments/", "/deployments/-/ready", "/signing_keys", "/signing_keys/rotate", "/tokens/revoke_all", "/tokens/introspect",
		"/tokens/explain", "/tokens/revoke", "/audit", "/audit/export", "/audit/export?deployment=dep1",
		// Of Caddy.
		"/", "/config", "/config/", "/config/apps/deployment_keys", "/load", "/stop", "/adapt", "/metrics", "/id/x", "/pki/ca/local", "/debug/vars",
		"/debug/pprof/", "/debug/pprof/heap", "/reverse_proxy/upstreams",
		// Out of the own Deployment.
		"/deployments/dep1/../dep2/keys", "/deployments/dep1/..%2fdep2/keys", "/deployments/dep1%2f..%2fdep2/keys", "/deployments/dep1/%2e%2e/dep2/keys",
		"/deployments/dep1/%2E%2E%2Fdep2/keys", "/deployments/dep1/.%2e/dep2/keys", "/deployments/dep1/%252e%252e/dep2/keys", "/deployments/dep1/..;/dep2/keys",
		"/deployments/dep1/..%5cdep2/keys", "/deployments/dep1%00/keys", "/deployments/dep1%2f%2e%2e%2f%2e%2e%2fsigning_keys", "/deployments/dep1/../../stop",
		"/deployments/dep1/%2e%2e/%2e%2e/stop", "/deployments/dep1/%2e%2e/%2e%2e/config/", "//deployments/dep2/keys", "/deployments//dep2/keys",
		// Through another Deployment, or through what is Caddy's, into the own one.
		"/deployments/dep2/../dep1/keys", "/deployments/dep2%2f..%2fdep1/keys", "/deployments/dep2/%2e%2e/dep1/keys", "/deployments/dep2/keys/..%2f..%2fdep1%2fkeys",
		"/deployments/dep2/keys/" + foreign.ID + "%2f..%2f..%2f..%2fdep1", "/deployments/dep2/keys/" + foreign.ID + "%2f..%2f..%2f..%2fdep1/rotate",
		"/deployments/dep2/members/..%2f..%2fdep1%2fkeys", "/deployments/dep2/members/%2e%2e%2f%2e%2e%2fdep1%2fmembers%2fbob",
		"/deployments/dep2/members/%2E.%2F.%2e%2Fdep1%2Fmembers%2Fmallory", "/deployments/dep2/members/x%2f..%2f..%2f..%2fdep1",
		"/config/../deployments/dep1", "/config/%2e%2e/deployments/dep1", "/config/..%2fdeployments%2fdep1", "/config/apps/%2e%2e/%2e%2e/deployments/dep1",
		"/config/apps/deployment_keys/%2e%2e/%2e%2e/%2e%2e/deployments/dep1", "/id/%2e%2e/deployments/dep1", "/stop/%2e%2e/deployments/dep1",
		"/load/%2e%2e/deployments/dep1", "/signing_keys/%2e%2e/deployments/dep1", "/tokens/%2e%2e/deployments/dep1", "/audit/%2e%2e/deployments/dep1",
		"/audit/export%2f..%2f..%2fdeployments%2fdep1", "/tokens/revoke_all%2f..%2f..%2fdeployments%2fdep1", "/debug/pprof/%2e%2e/%2e%2e/deployments/dep1",
		"/debug/pprof/heap%2f..%2f..%2f..%2fdeployments%2fdep1", "/metrics/%2e%2e/deployments/dep1", "/pki/%2e%2e/deployments/dep1", "/pki/ca/local%2f..%2f..%2f..%2fdeployments%2fdep1",
	}
	for who, c := range map[string]*clientCertificate{"the owner": g.owner, "who has the keys": g.keysOnly} {
		for _, target := range targets {
			for _, method := range methods {
				answer, err := g.as(c, method+" "+target, bodies[method])
				switch {
				case err != nil:
					t.Fatalf("%s: %s %s: %v", who, method, target, err)
				case answer.Status < 300 && strings.TrimSpace(string(answer.Body)) != "null": // what is not there in Caddy's configuration
					t.Errorf("%s: %s %s is answered %d: %.300s", who, method, target, answer.Status, answer.Body)
				case answer.Status >= 500 && !strings.HasPrefix(target, "/config/"): // there it is how Caddy says that it has refused
					t.Errorf("%s: %s %s is answered %d: %.300s", who, method, target, answer.Status, answer.Body)
				}
			}
		}
	}
	if after := g.state(t); after != before {
		t.Errorf("after it:\n%s\nand before:\n%s", after, before)
	}
	g.get(t, "dep2", g.token(t, foreign)).Want(http.StatusOK)
	g.get(t, "dep1", g.token(t, own)).Want(http.StatusOK)

	// What it is for works, and the recipe's does no more of the Deployment than that.
	want := func(c *clientCertificate, status int, request, body string) reply {
		t.Helper()
		answer, err := g.as(c, request, body)
		if err != nil || answer.Status != status {
			t.Fatalf("%s: %v, status %d, want %d: %s", request, err, answer.Status, status, answer.Body)
		}
		return answer
	}
	for name, c := range map[string]*clientCertificate{"owner of dep1": g.owner, "CI of dep1": g.keysOnly} {
		var made struct {
			ID        string
			CreatedBy string `json:"created_by"`
		}
		want(c, 201, "POST /deployments/dep1/keys", `{"name":"CI"}`).JSON(&made)
		if made.CreatedBy != name {
			t.Errorf("the key was made by %q, want %s", made.CreatedBy, name)
		}
		want(c, 200, "GET /deployments/dep1/keys?limit=1", "")
		want(c, 200, "PATCH /deployments/dep1/keys/"+made.ID, `{"name":"CI 2"}`)
		want(c, 200, "POST /deployments/dep1/keys/"+made.ID+"/rotate", "")
		want(c, 204, "DELETE /deployments/dep1/keys/"+made.ID, "")
	}
	want(g.owner, 200, "PUT /deployments/dep1/members/team%2Fbob", `{"role":"viewer"}`)
	for _, request := range []string{"GET /deployments/dep1", "PATCH /deployments/dep1", "DELETE /deployments/dep1", "GET /deployments/dep1/members", "PUT /deployments/dep1/members/bob", "GET /deployments/dep1/audit", "POST /deployments/dep1/revoke_tokens", "PUT /deployments/dep1/keys/" + own.ID, "GET /deployments/dep1/keysX"} {
		if answer := want(g.keysOnly, 403, request, ""); !strings.Contains(string(answer.Body), "not authorized") {
			t.Errorf("%s is answered %s", request, answer.Body)
		}
	}
	// By a path that is of the Deployment's keys to the one, and a user to the other.
	for _, user := range []string{"..%2fkeys%2fx", "x%2f..%2f..%2fkeys"} {
		want(g.keysOnly, 404, "DELETE /deployments/dep1/members/"+user, "")
	}
}

// Whose name stands in created_by is proven by a certificate that the configuration has, or an authority in it has signed.
func TestRemoteCertificateIsProven(t *testing.T) {
	t.Parallel()
	g := startRemoteSite(t, embedded(t))
	// An authority lets in whom it signs, by the names that it gives.
	answer, err := g.as(newClientCertificate(t, "alice", g.authority), "POST /deployments/dep2/keys", `{"name":"CI"}`)
	if err != nil || answer.Status != http.StatusCreated || !strings.Contains(string(answer.Body), `"created_by":"alice"`) {
		t.Errorf("%v, %d %s", err, answer.Status, answer.Body)
	}
	for name, c := range map[string]*clientCertificate{
		"none":                          nil,
		"a stranger's":                  newClientCertificate(t, "owner of dep1", nil),
		"of another authority":          newClientCertificate(t, "owner of dep1", newClientCertificate(t, "authority of dep2", nil, asAuthority)),
		"signed by one that may not":    newClientCertificate(t, "admin", g.owner),
		"the same key by another name":  g.owner.renamed(t, "admin"),
		"of the authority, but expired": newClientCertificate(t, "alice", g.authority, expired),
		"of the authority, for servers": newClientCertificate(t, "alice", g.authority, forServers),
	} {
		for _, deployment := range []string{"dep1", "dep2"} {
			if answer, err := g.as(c, "GET /deployments/"+deployment, ""); err == nil || !strings.Contains(err.Error(), "remote error: tls") {
				t.Errorf("%s, %s: %v, status %d, want no answer: %s", name, deployment, err, answer.Status, answer.Body)
			}
		}
	}
	// Nor is a page in a browser let in by a certificate that the browser has.
	for _, page := range []string{"Origin: https://evil.example.com", fmt.Sprintf("Origin: https://127.0.0.1:%d", g.remote), "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: no-cors", "Origin: null"} {
		answer, err := g.as(g.owner, "POST /deployments/dep1/revoke_tokens", "", page)
		if err != nil || answer.Status != http.StatusForbidden && answer.Status != http.StatusBadRequest {
			t.Errorf("%s: %v, %d %s", page, err, answer.Status, answer.Body)
		}
	}
}

// Names alone do not tell who it was: a user and the owner of a certificate may be called as the local admin is, or as the
// gateway itself. The audit log says beside it by which way they came.
func TestAuditTellsTheWayIn(t *testing.T) {
	t.Parallel()
	g := startRemoteSite(t, embedded(t))
	if answer, err := g.as(newClientCertificate(t, "admin", g.authority), "POST /deployments/dep2/keys", `{"name":"remote"}`); err != nil || answer.Status != http.StatusCreated {
		t.Fatalf("%v, %d %s", err, answer.Status, answer.Body)
	}
	g.newKey(t, "dep2")
	c := startConsole(t, embedded(t), "")
	c.as(t, "admin", http.MethodPost, "/deployments/dep1/keys", map[string]string{"name": "console"}).Want(http.StatusCreated)
	ways := func(s *site, deployment string) (ways []string) {
		for _, event := range s.audit(t, deployment) {
			if event.Kind == "key.created" {
				ways = append(ways, event.By+" via "+event.Via)
			}
		}
		return ways
	}
	for _, test := range []struct {
		of         *site
		deployment string
		want       []string
	}{
		{g.site, "dep2", []string{"admin via local_admin", "admin via remote_admin"}}, // newest first
		{c.site, "dep1", []string{"admin via console"}},
	} {
		var got []string
		eventually(t, "the keys are in the audit log", func() bool {
			got = ways(test.of, test.deployment)
			return len(got) >= len(test.want)
		})
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.deployment, got, test.want)
		}
	}
}
