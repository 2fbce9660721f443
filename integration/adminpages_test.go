package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// Pages in a browser and the local admin endpoint, with whatever Caddy's settings let through. What its default refuses,
// its own routes included, is TestIncident/CVE-2026-27589.

// aBrowserWants is the header Accept of a form, or of an address that somebody opens.
const aBrowserWants = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// dashboard is the origin of a page that the operator has allowed at Caddy's endpoint.
const dashboard = "https://dashboard.example.com"

func TestAdminAPIIsNotForPages(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{
		"default":           "",
		"checks enforced":   "admin 127.0.0.1:%[1]s {\n\t\tenforce_origin\n\t}",
		"an origin allowed": "admin 127.0.0.1:%[1]s {\n\t\torigins 127.0.0.1:%[1]s " + dashboard + "\n\t}",
		"every address":     "admin 0.0.0.0:%[1]s",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startSite(t, embedded(t))
			port := portOf(t, g.Admin(""))
			g.newDeployment(t, "prod")
			k := g.newKey(t, "prod")
			token := g.token(t, k)
			g.get(t, "prod", token).Want(http.StatusOK)
			settle(t, g)                         // what the key was used for until now is noted in it
			own := header("Origin", g.Admin("")) // as the commands and Caddy's own say
			if name == "every address" {         // none of which is in its list of origins
				own = header("Accept", "*/*")
			}
			if options != "" {
				g.Reload(strings.Replace(tourCaddyfile(g.port, embedded(t)), "{\n", "{\n\t"+fmt.Sprintf(options, port)+"\n", 1))
				eventually(t, "the endpoint has its new settings", func() bool {
					answer, err := try(t, http.MethodGet, g.Admin("/config/admin"), nil, own)
					return err == nil && answer.Status == http.StatusOK && strings.Contains(string(answer.Body), "listen")
				})
			}
			state := func() string {
				t.Helper()
				var all strings.Builder
				for _, path := range []string{"/deployments", "/deployments/prod/keys/" + k.ID, "/deployments/prod/members", "/signing_keys"} {
					all.Write(call(t, http.MethodGet, g.Admin(path), nil, own).Want(http.StatusOK).Body)
				}
				return all.String()
			}
			before := state()

			const evil = "https://evil.example.com"
			rebound := "evil.example.com:" + port
			type page struct {
				headers map[string]string
				changes bool // only what changes something is refused: reading is left to the browser, which shows no page the answer
			}
			pages := map[string]page{
				"fetch of the dashboard":               {headers: map[string]string{"Origin": dashboard, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}},
				"fetch of the dashboard, same site":    {headers: map[string]string{"Origin": dashboard, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}},
				"fetch of the dashboard, old browser":  {headers: map[string]string{"Origin": dashboard}},
				"form of the dashboard":                {headers: map[string]string{"Origin": dashboard, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Content-Type": "application/x-www-form-urlencoded"}},
				"fetch of a stranger":                  {headers: map[string]string{"Origin": evil, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Content-Type": "text/plain"}},
				"a site and no mode":                   {headers: map[string]string{"Sec-Fetch-Site": "cross-site"}},
				"form of a stranger":                   {headers: map[string]string{"Origin": evil, "Content-Type": "multipart/form-data; boundary=x"}},
				"form in a sandbox":                    {headers: map[string]string{"Origin": "null", "Content-Type": "text/plain"}},
				"form that names its page alone":       {headers: map[string]string{"Referer": evil + "/x", "Accept": aBrowserWants, "Content-Type": "application/x-www-form-urlencoded"}, changes: true},
				"form that names no page":              {headers: map[string]string{"Accept": aBrowserWants, "Content-Type": "application/x-www-form-urlencoded"}, changes: true},
				"WebSocket":                            {headers: map[string]string{"Origin": evil, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}},
				"rebound name":                         {headers: map[string]string{"Host": rebound, "Origin": "http://" + rebound}},
				"rebound name, form that names a page": {headers: map[string]string{"Host": rebound, "Referer": "http://" + rebound + "/", "Accept": aBrowserWants}, changes: true},
			}
			for what, page := range pages {
				var headers []requestOption
				for name, value := range page.headers {
					headers = append(headers, header(name, value))
				}
				for _, request := range []struct{ method, path, body string }{
					{"GET", "/deployments", ""},
					{"GET", "/deployments/prod/keys", ""},
					{"GET", "/audit/export", ""},
					{"POST", "/deployments", `{"id":"theirs","name":"theirs"}`},
					{"PATCH", "/deployments/prod", `{"name":"theirs"}`},
					{"DELETE", "/deployments/prod", ""},
					{"POST", "/deployments/prod/keys", `{"name":"theirs"}`},
					{"POST", "/deployments/prod/keys/" + k.ID + "/rotate", ""},
					{"POST", "/deployments/prod/keys/" + k.ID + "/revoke_tokens", ""},
					{"DELETE", "/deployments/prod/keys/" + k.ID, ""},
					{"PUT", "/deployments/prod/members/mallory", `{"role":"admin"}`},
					{"POST", "/deployments/prod/revoke_tokens", ""},
					{"POST", "/tokens/revoke_all", ""},
					{"POST", "/signing_keys/rotate", ""},
				} {
					if page.changes && request.method == http.MethodGet {
						continue
					}
					answer := call(t, request.method, g.Admin(request.path), request.body, headers...)
					if answer.Status != http.StatusForbidden && answer.Status != http.StatusBadRequest {
						t.Errorf("%s: %s %s is answered %d: %.200s", what, request.method, request.path, answer.Status, answer.Body)
					}
				}
				// What a browser asks before it sends more than a form could.
				asked := append([]requestOption{header("Access-Control-Request-Method", "DELETE"), header("Access-Control-Request-Headers", "content-type")}, headers...)
				if answer := call(t, http.MethodOptions, g.Admin("/deployments/prod"), nil, asked...); answer.Status < 400 {
					t.Errorf("%s: OPTIONS is answered %d, which lets a browser go on", what, answer.Status)
				}
			}
			if after := state(); after != before {
				t.Errorf("after it:\n%s\nand before:\n%s", after, before)
			}
			g.get(t, "prod", token).Want(http.StatusOK)

			// Programs may, also those that always name a type, as curl does with -d ''; and so may the commands.
			if name != "checks enforced" {
				call(t, http.MethodPost, g.Admin("/deployments/prod/revoke_tokens"), nil, header("Content-Type", "application/x-www-form-urlencoded"), header("Accept", "*/*")).
					Want(http.StatusNoContent)
			}
			if name != "every address" {
				if _, errs, code := g.Command("", "deployment", "revoke-tokens", "prod", "--yes"); code != 0 {
					t.Errorf("the command ends with %d: %s", code, errs)
				}
			}
		})
	}
}

// POST /token of a site goes by the same rule as its console, also behind a proxy that the site trusts.
func TestUserTokenBehindAProxy(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	caddyfile := consoleCaddyfile(t, port, embedded(t), "")
	trusting := strings.Replace(caddyfile, "{\n", "{\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1\n\t}\n", 1)
	g := startGateway(t, trusting)
	const own = "https://console.example.com"
	for name, test := range map[string]struct {
		headers []requestOption
		refused bool
	}{
		"as the proxy was asked": {[]requestOption{header("Origin", own)}, false},
		"as the proxy asks":      {[]requestOption{header("Origin", g.URL(port, ""))}, true},
		"another site":           {[]requestOption{header("Origin", "https://evil.example.com")}, true},
		"a program":              {nil, false},
	} {
		behind := append([]requestOption{basic("root", password), header("X-Forwarded-For", "192.0.2.1"), header("X-Forwarded-Host", "console.example.com"), header("X-Forwarded-Proto", "https")}, test.headers...)
		want := http.StatusOK
		if test.refused {
			want = http.StatusForbidden
		}
		if answer := call(t, http.MethodPost, g.URL(port, "/token"), nil, behind...); answer.Status != want {
			t.Errorf("%s: POST /token is answered %d, want %d: %s", name, answer.Status, want, answer.Body)
		}
		// The same of the API, which wants the header of the console's pages.
		want = http.StatusCreated
		if test.refused {
			want = http.StatusForbidden
		}
		behind = append(behind, header("X-Requested-With", "deployment-console"))
		if answer := call(t, http.MethodPost, g.URL(port, "/api/deployments"), map[string]string{"name": "x"}, behind...); answer.Status != want {
			t.Errorf("%s: the API answers %d, want %d: %s", name, answer.Status, want, answer.Body)
		}
	}
	// Who is no such proxy says nothing by these headers.
	if err := g.TryReload(caddyfile); err != nil {
		t.Fatal(err)
	}
	forged := gatewaytest.Call(t, http.MethodPost, g.URL(port, "/token"), nil, basic("root", password), header("Origin", own),
		header("X-Forwarded-Host", "console.example.com"), header("X-Forwarded-Proto", "https"))
	if forged.Status != http.StatusForbidden {
		t.Errorf("with headers of a proxy that nobody trusts POST /token is answered %d: %s", forged.Status, forged.Body)
	}
}
