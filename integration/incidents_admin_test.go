package integration

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// What others have an admin do, and what a caller can make up.
var adminIncidents = []incident{
	{name: "CVE-2026-27589 cross-site request to the admin endpoint", shared: crossSiteAdmin},
	{name: "GHSA-r9w3-57w2-gch2 forged cursor", shared: forgedCursor},
	{name: "key of another resource changed by its ID", shared: keyOfAnother},
}

// A web page that an operator looks at has their browser send a request to Caddy's admin endpoint on their machine, and
// POST /load replaced the whole configuration. The gateway's routes are on the same endpoint, and two of them, which end
// all tokens, want no body that a browser would ask leave to send.
//
// That it can fail was seen with a page that sends none of the headers: as if Caddy did not look at them.
func crossSiteAdmin(t *testing.T, g *incidentSite) {
	k := g.newKey(t, "prod")
	token := g.token(t, k)
	own, err := url.Parse(g.Admin(""))
	if err != nil {
		t.Fatal(err)
	}
	state := func() string {
		t.Helper()
		var all strings.Builder
		for _, path := range []string{"/config/", "/deployments", "/deployments/prod", "/deployments/prod/keys/" + k.ID, "/deployments/prod/members", "/signing_keys"} {
			all.Write(call(t, http.MethodGet, g.Admin(path), nil).Want(http.StatusOK).Body)
		}
		return all.String()
	}
	settle(t, g.site) // what the key was used for until now is noted in it
	before := state()
	const evil = "https://evil.example.com"
	rebound := "evil.example.com:" + own.Port()
	for page, headers := range map[string]map[string]string{
		"another origin":           {"Origin": evil},
		"fetch":                    {"Origin": evil, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"},
		"fetch of JSON":            {"Origin": evil, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"},
		"fetch without CORS":       {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"},
		"form":                     {"Origin": evil, "Sec-Fetch-Mode": "navigate", "Content-Type": "application/x-www-form-urlencoded"},
		"form of an old browser":   {"Origin": evil, "Content-Type": "text/plain"},
		"frame in a sandbox":       {"Origin": "null", "Content-Type": "text/plain"},
		"link":                     {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"},
		"only a referrer":          {"Referer": evil + "/", "Sec-Fetch-Mode": "cors"},
		"a name like this one":     {"Origin": "http://" + own.Hostname() + ".evil.example.com:" + own.Port()},
		"another port":             {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
		"rebound name":             {"Host": rebound, "Origin": "http://" + rebound, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
		"rebound name, no headers": {"Host": rebound},
	} {
		var options []requestOption
		for name, value := range headers {
			options = append(options, header(name, value))
		}
		for _, request := range []struct{ method, path, body string }{
			{"POST", "/load", `{"admin":{"listen":"0.0.0.0:2019"}}`},
			{"POST", "/stop", ""},
			{"GET", "/config/", ""},
			{"DELETE", "/config/apps/deployment_keys", ""},
			{"POST", "/deployments", `{"id":"theirs","name":"theirs"}`},
			{"GET", "/deployments", ""},
			{"DELETE", "/deployments/prod", ""},
			{"POST", "/deployments/prod/keys", `{"name":"theirs"}`},
			{"POST", "/deployments/prod/keys/" + k.ID + "/rotate", ""},
			{"DELETE", "/deployments/prod/keys/" + k.ID, ""},
			{"PUT", "/deployments/prod/members/mallory", `{"role":"admin"}`},
			{"POST", "/deployments/prod/revoke_tokens", ""},
			{"POST", "/tokens/revoke_all", ""},
			{"POST", "/signing_keys/rotate", `{"replace":true}`},
		} {
			answer := call(t, request.method, g.Admin(request.path), request.body, options...)
			if answer.Status != http.StatusForbidden && answer.Status != http.StatusBadRequest || answer.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %s %s is answered %d for the origin %q: %.200s",
					page, request.method, request.path, answer.Status, answer.Header.Get("Access-Control-Allow-Origin"), answer.Body)
			}
		}
	}
	if after := state(); after != before {
		t.Errorf("after it:\n%s\nand before:\n%s", after, before)
	}
	g.wantPasses(t, "prod", token)

	// What is no page, and what is a page of the endpoint's own, may.
	for name, value := range map[string]string{"Accept": "*/*", "Origin": "http://" + own.Host} {
		call(t, http.MethodDelete, g.Admin("/deployments/prod/keys/"+g.newKey(t, "prod").ID), nil, header(name, value)).Want(http.StatusNoContent)
	}
}

// Hydra's cursor was a text that a caller could make, and what was in it got into a query of the database. Here it is a
// place in an order: whatever is in it, the list is of the Deployment in the path, or the cursor is refused.
func forgedCursor(t *testing.T, g *incidentSite) {
	for range 3 {
		g.newKey(t, "dep1")
		g.newKey(t, "dep2")
	}
	foreign := g.list(t, "/deployments/dep2/keys")[0].ID
	eventually(t, "the audit log has both Deployments", func() bool {
		return len(g.audit(t, "dep1")) > 0 && len(g.audit(t, "dep2")) > 0
	})
	const limit = 2
	for _, list := range []string{"/deployments", "/deployments/dep1/keys", "/deployments/dep1/audit", "/audit"} {
		for _, text := range []string{
			"", "' OR 1=1 --", "') UNION SELECT * FROM signing_keys --", "pk=1;DROP TABLE keys", `{"id":"` + foreign + `","deployment":"dep2"}`,
			foreign, "dep2/" + foreign, "key/" + foreign, "../dep2/keys/" + foreign, "dep2", "dep1\x00", "dep1\xff", "root", "signing", "+inf", "-", "(", "[", "*", "~",
			"0", "1", "-1", "18446744073709551615", "1e3", "1-0", strings.Repeat("0", 24), strings.Repeat("v", 24), strings.Repeat("a", 63), strings.Repeat("a", 4000),
		} {
			for _, cursor := range []string{text, base64.RawURLEncoding.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text))} {
				answer := call(t, http.MethodGet, g.Admin(fmt.Sprintf("%s?limit=%d&cursor=%s", list, limit, url.QueryEscape(cursor))), nil)
				if answer.Status == http.StatusBadRequest {
					wantError(t, answer, http.StatusBadRequest, "begin again without it")
					continue
				}
				var page struct {
					Keys, Events, Deployments []struct {
						Deployment   string `json:"deployment"`
						DeploymentID string `json:"deployment_id"`
					}
				}
				answer.Want(http.StatusOK).JSON(&page)
				ofOne := strings.Contains(list, "dep1")
				for _, one := range append(page.Keys, page.Events...) {
					if ofOne && one.Deployment+one.DeploymentID != "dep1" {
						t.Errorf("%s with the cursor %q shows %s", list, text, answer.Body)
					}
				}
				if shown := len(page.Keys) + len(page.Events) + len(page.Deployments); shown > limit {
					t.Errorf("%s with the cursor %q shows %d, want %d at most", list, text, shown, limit)
				}
			}
		}
	}
}

// Who may change one resource named the ID of a key of another, and it was changed. A key is one of the Deployment in the
// path, or is not there.
func keyOfAnother(t *testing.T, g *incidentSite) {
	own, foreign := g.newKey(t, "prod2"), g.newKey(t, "prod")
	token := g.token(t, foreign)
	at := "/deployments/prod/keys/" + foreign.ID
	// When it was last used is written a moment later.
	look := func() string {
		var key map[string]any
		call(t, http.MethodGet, g.Admin(at), nil).Want(http.StatusOK).JSON(&key)
		maps.DeleteFunc(key, func(member string, _ any) bool { return strings.HasPrefix(member, "last_") })
		return fmt.Sprint(key)
	}
	before := look()
	var adminPort int
	if _, err := fmt.Sscanf(g.Admin(""), "http://127.0.0.1:%d", &adminPort); err != nil {
		t.Fatal(err)
	}
	for _, request := range []struct {
		method, path string
		body         any
	}{
		{"GET", "", nil},
		{"PATCH", "", map[string]any{"name": "mine"}},
		{"PATCH", "", map[string]any{"scopes": []string{"deploy"}, "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}},
		{"POST", "/rotate", nil},
		{"POST", "/rotate", map[string]any{"revoke_tokens": true}},
		{"POST", "/revoke_tokens", nil},
		{"DELETE", "/previous_secret", nil},
		{"DELETE", "", nil},
	} {
		answer := call(t, request.method, g.Admin("/deployments/prod2/keys/"+foreign.ID+request.path), request.body)
		wantError(t, answer, http.StatusNotFound, "does not exist")
		// By a path that is resolved after the Deployment was read from it, with and without encoding.
		for _, detour := range []string{"..%2f..%2fprod%2fkeys%2f" + foreign.ID, own.ID + "%2f..%2f" + foreign.ID, "%2e%2e%2f%2e%2e%2fprod%2fkeys%2f" + foreign.ID} {
			target := fmt.Sprintf("%s /deployments/prod2/keys/%s%s HTTP/1.1\nHost: 127.0.0.1:%d\nConnection: close\nContent-Length: 0\n\n",
				request.method, detour, request.path, adminPort)
			if answer := gatewaytest.Raw(t, adminPort, target); answer.Status < 400 {
				t.Errorf("%s %s%s is answered %d", request.method, detour, request.path, answer.Status)
			}
		}
	}
	// Nor does a key go to another Deployment, or become another, by what is in the body.
	for member, value := range map[string]any{"deployment_id": "prod2", "id": own.ID, "secret": own.Secret, "created_by": "root"} {
		answer := call(t, http.MethodPatch, g.Admin("/deployments/prod2/keys/"+own.ID), map[string]any{member: value})
		wantError(t, answer, http.StatusBadRequest, "unknown field")
	}
	if after := look(); after != before {
		t.Errorf("the key is %s, and was %s", after, before)
	}
	g.wantPasses(t, "prod", token)
	g.wantPasses(t, "prod", g.token(t, foreign)) // by the secret that it had
}
