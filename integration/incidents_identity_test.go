package integration

import (
	"net/http"
	"strings"
	"testing"
)

// Who a request is from, as the upstream is told: a client would like to say it itself.
var identityIncidents = []incident{
	{name: "CVE-2026-30851 identity header that the login leaves out", shared: clientSetHeader},
	{name: "GO-2026-5346 underscore for hyphen", shared: underscoreHeader},
	{name: "Connection names the identity header", shared: connectionHeader},
}

var identityNames = []string{"X-Deployment-Id", "X-Deployment-Key-Id", "X-Deployment-User", "X-Deployment-Scopes"}

// Caddy's forward_auth copied the identity headers that the login answered with, and left the client's in place where the
// login answered with none. Of a key the gateway sets no X-Deployment-User, and of a user no X-Deployment-Key-Id.
func clientSetHeader(t *testing.T, g *incidentSite) {
	k := g.newKey(t, "prod")
	g.putMember(t, "prod", "alice", "viewer")
	token, ofAlice := g.token(t, k), g.userToken(t, "alice")
	for _, name := range identityNames {
		for _, value := range []string{"root", ""} {
			g.raw(t, rawGet("/prod/api/x", token, name+": "+value)).Want(http.StatusOK)
			wantIdentity(t, g.to.takeOne(t), k, allScopes)
			g.raw(t, rawGet("/prod/api/x", ofAlice, name+": "+value)).Want(http.StatusOK)
			wantUser(t, g.to.takeOne(t), "alice", "airflow:read")
		}
	}
}

// wantUser holds that the upstream was told who the user is, and of no key.
func wantUser(t *testing.T, got seen, user, scopes string) {
	t.Helper()
	want := map[string]string{"X-Deployment-Id": "prod", "X-Deployment-User": user, "X-Deployment-Scopes": scopes}
	for name, values := range got.Header {
		like := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if strings.HasPrefix(like, "x-deployment") && (len(values) != 1 || values[0] != want[name] || want[name] == "") {
			t.Errorf("the upstream got %s: %q, want %q", name, values, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("the upstream did not get %v", want)
	}
}

// forward_auth deleted the header by its name, and php_fastcgi then made one variable of Remote-User and Remote_User, as
// CGI and WSGI servers do.
func underscoreHeader(t *testing.T, g *incidentSite) {
	k := g.newKey(t, "prod")
	g.putMember(t, "prod", "alice", "viewer")
	token, ofAlice := g.token(t, k), g.userToken(t, "alice")
	for _, name := range identityNames {
		for _, spelling := range withUnderscores(name) {
			for _, cased := range []string{spelling, strings.ToLower(spelling), strings.ToUpper(spelling)} {
				// Also where the client would have it taken for a header of the connection.
				g.raw(t, rawGet("/prod/api/x", token, cased+": root", "Connection: "+cased)).Want(http.StatusOK)
				wantIdentity(t, g.to.takeOne(t), k, allScopes)
				g.raw(t, rawGet("/prod/api/x", ofAlice, cased+": root", "Connection: "+cased)).Want(http.StatusOK)
				wantUser(t, g.to.takeOne(t), "alice", "airflow:read")
			}
		}
	}
}

// withUnderscores are all ways to write a name with an underscore in the place of some hyphens.
func withUnderscores(name string) []string {
	parts := strings.Split(name, "-")
	all := []string{parts[0]}
	for _, part := range parts[1:] {
		var longer []string
		for _, begin := range all {
			longer = append(longer, begin+"-"+part, begin+"_"+part)
		}
		all = longer
	}
	return all
}

// What a request names in Connection is for the next server alone, which does not pass it on (RFC 9110 section 7.6.1). A
// proxy that sets the identity first, and then does as it is told, sends the request on without it.
func connectionHeader(t *testing.T, g *incidentSite) {
	k := g.newKey(t, "prod")
	token := g.token(t, k)
	for _, lines := range [][]string{
		{"Connection: X-Deployment-Id"},
		{"Connection: x-deployment-id, X-DEPLOYMENT-KEY-ID,x-Deployment-Scopes"},
		{"Connection: keep-alive", "Connection: , X-Deployment-Key-Id ,"},
		{"Connection: X-Deployment-Id", "X-Deployment-Id: prod2"},
		{"Connection: close,X-DEPLOYMENT-SCOPES", "Connection: X_Deployment_Id"},
		{"Connection: Connection, X-Deployment-Scopes"},
		{"Connection: \tX-Deployment-Id\t"},
		{"Proxy-Connection: X-Deployment-Id", "Keep-Alive: X-Deployment-Id", "Te: X-Deployment-Id"},
	} {
		g.raw(t, rawGet("/prod/api/x", token, lines...)).Want(http.StatusOK)
		wantIdentity(t, g.to.takeOne(t), k, allScopes)
	}
	// Any other header is the client's to name.
	g.raw(t, rawGet("/prod/api/x", token, "Connection: X-Hop", "X-Hop: 1")).Want(http.StatusOK)
	if got := g.to.takeOne(t); got.Header.Get("X-Hop") != "" {
		t.Errorf("the upstream got X-Hop, which Connection names: the test looks at a proxy that does not heed it")
	}
}
