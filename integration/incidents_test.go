package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// An incident is something that went wrong in another product, with the attack as it was there, against a whole gateway.
// Its name begins with the identifier under which it is known, or, where many had it, with what was attacked.
type incident struct {
	name string

	// The one or the other: with the gateway that incidents share, one after the other; or with processes of its own.
	shared func(t *testing.T, g *incidentSite)
	alone  func(t *testing.T)
}

// TestIncident has every incident as a subtest: go test -run 'Incident/CVE-2026-30851'.
func TestIncident(t *testing.T) {
	t.Parallel()
	all := slices.Concat(
		identityIncidents, pathIncidents, cacheIncidents, jwtHeaderIncidents, jwtFormIncidents, tokenIncidents, revocationIncidents,
		storeIncidents, adminIncidents, secretIncidents,
	)
	seen := make(map[string]bool)
	for _, one := range all {
		if seen[one.name] || strings.Contains(one.name, "/") || (one.shared == nil) == (one.alone == nil) {
			t.Errorf("%q: want a name of its own without a slash, and one test", one.name)
		}
		seen[one.name] = true
	}
	g := startIncidentSite(t)
	for _, one := range all {
		t.Run(one.name, func(t *testing.T) {
			if one.alone != nil {
				t.Parallel() // goes on when the others are through
				one.alone(t)
				return
			}
			g.to.take() // what is left of one that failed
			one.shared(t, g)
		})
	}
}

// An incidentSite is a gateway on Redis in front of an upstream, with the Deployments prod, prod2, dep1 and dep2, and the
// users alice and bob.
type incidentSite struct {
	*site
	to      *upstream
	store   store
	escaped int // the port of a site with percent-encoded paths in its matchers
}

// basicRoute is followed by the Deployment and takes HTTP Basic; every other path begins with the Deployment.
const basicRoute = "/basic"

func startIncidentSite(t *testing.T) *incidentSite {
	t.Helper()
	s, to, port, escaped := onRedis(t), startUpstream(t), freePort(t), freePort(t)
	caddyfile := fmt.Sprintf(`{
	deployment_keys {
		issuer http://127.0.0.1:%[1]d
		%[2]s
	}
}

http://:%[1]d {
	log
	basic_auth /token {
		alice %[3]s
		bob %[3]s
	}
	deployment_token
	handle /public/* {
		reverse_proxy %[4]s
	}
	handle %[5]s/* {
		deployment_auth {path.1} {
			basic
		}
		reverse_proxy %[4]s
	}
	@deployments not path /token
	handle @deployments {
		deployment_auth {path.0} {
			scope airflow:read GET HEAD
			scope airflow:write POST PUT PATCH DELETE
		}
		reverse_proxy %[4]s
	}
}

http://:%[6]d {
	handle /admin%%2Fpanel {
		deployment_auth prod
		reverse_proxy %[4]s
	}
	handle /caf%%C3%%A9/* {
		deployment_auth prod
		reverse_proxy %[4]s
	}
	handle {
		reverse_proxy %[4]s
	}
}
`, port, s.options, passwordHash(t), strings.TrimPrefix(to.URL, "http://"), basicRoute, escaped)
	g := &incidentSite{&site{startGateway(t, caddyfile, withEnv(s.env...)), port}, to, s, escaped}
	for _, id := range []string{"prod", "prod2", "dep1", "dep2"} {
		g.newDeployment(t, id)
	}
	return g
}

// wantNothingPassed holds that no request has reached the upstream.
func (g *incidentSite) wantNothingPassed(t *testing.T, what string) {
	t.Helper()
	for _, got := range g.to.take() {
		t.Errorf("%s: the upstream got %s %s for Deployment %q", what, got.Method, got.Target, got.Header.Get("X-Deployment-Id"))
	}
}

// wantNoToken holds that a text is no token wherever one is accepted: as a bearer, as the password of Basic, and to
// introspection; and that nothing of it is told, since whoever sends it has proven nothing.
func (g *incidentSite) wantNoToken(t *testing.T, what, text string) {
	t.Helper()
	asBearer := call(t, http.MethodGet, g.URL(g.port, "/prod/api/x"), nil, bearer(text))
	asPassword := call(t, http.MethodGet, g.URL(g.port, basicRoute+"/prod/x"), nil, basic("cli", text))
	for where, answer := range map[string]reply{"as a bearer": asBearer, "as a password": asPassword} {
		if answer.Status != http.StatusUnauthorized && answer.Status != http.StatusBadRequest {
			t.Errorf("%s, %s: status %d, want 401 or 400: %s", what, where, answer.Status, answer.Body)
			continue
		}
		var said refusal
		answer.JSON(&said)
		known := []string{
			"this is not a valid access token of this gateway",
			"the Authorization header is malformed: want Bearer <access token>",
		}
		if !slices.Contains(known, said.Description) {
			t.Errorf("%s, %s: the answer tells %q", what, where, said.Description)
		}
	}
	g.wantNothingPassed(t, what)
	if told := g.introspect(t, g.newKey(t, "prod"), text); told != (introspected{}) {
		t.Errorf("%s: introspection says %+v", what, told)
	}
}

// wantPasses holds that a token passes to the upstream, so that a test which has it refused could fail.
func (g *incidentSite) wantPasses(t *testing.T, deployment, token string) {
	t.Helper()
	g.get(t, deployment, token).Want(http.StatusOK)
	if got := g.to.takeOne(t).Header.Get("X-Deployment-Id"); got != deployment {
		t.Errorf("the upstream was told of Deployment %q, want %s", got, deployment)
	}
}
