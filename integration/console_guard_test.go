package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What a browser sends for the page of another site changes nothing, whoever is signed in.
func TestConsoleChangesNothingForOtherSites(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		c := startConsole(t, s, "")
		const evil = "https://evil.example.net"
		own := c.URL(c.port, "")
		form := url.Values{"name": {"x"}}
		attacks := map[string]struct {
			method string
			body   any
			header []requestOption
		}{
			"form":                   {"POST", form, []requestOption{header("Origin", evil), header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate")}},
			"form, old browser":      {"POST", form, []requestOption{header("Origin", evil)}},
			"form of a sandbox":      {"POST", form, []requestOption{header("Origin", "null")}},
			"form without a body":    {"POST", nil, []requestOption{header("Origin", evil), header("Sec-Fetch-Site", "cross-site")}},
			"JSON as text":           {"POST", `{"name":"x"}`, []requestOption{header("Origin", evil), header("Content-Type", "text/plain")}},
			"fetch":                  {"POST", map[string]string{"name": "x"}, []requestOption{header("Origin", evil), header("Sec-Fetch-Site", "cross-site"), header("X-Requested-With", "deployment-console")}},
			"fetch, old browser":     {"DELETE", nil, []requestOption{header("Origin", evil), header("X-Requested-With", "deployment-console")}},
			"fetch of a sibling":     {"DELETE", nil, []requestOption{header("Origin", "http://evil.localhost"), header("Sec-Fetch-Site", "same-site"), header("X-Requested-With", "deployment-console")}},
			"no header of the pages": {"DELETE", nil, []requestOption{header("Origin", own), header("Sec-Fetch-Site", "same-origin")}},
			"another port":           {"DELETE", nil, []requestOption{header("Origin", "http://127.0.0.1:1"), header("X-Requested-With", "deployment-console")}},
			"a made-up proxy":        {"DELETE", nil, []requestOption{header("Origin", evil), header("X-Forwarded-Host", "evil.example.net"), header("X-Forwarded-Proto", "https"), header("X-Requested-With", "deployment-console")}},
		}
		for name, attack := range attacks {
			for _, path := range []string{"/deployments", "/deployments/dep1", "/deployments/dep1/revoke_tokens", "/tokens/revoke_all", "/deployments/dep1/members/viewer"} {
				answer := call(t, attack.method, c.URL(c.port, "/api"+path), attack.body, append(attack.header, basic("root", password))...)
				wantReason(t, answer, http.StatusForbidden)
				if answer.Header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s may read the answer", name)
				}
			}
		}
		var left struct{ Deployments, Members []map[string]any }
		call(t, http.MethodGet, c.Admin("/deployments"), nil).Want(http.StatusOK).JSON(&left)
		call(t, http.MethodGet, c.Admin("/deployments/dep1/members"), nil).Want(http.StatusOK).JSON(&left)
		if len(left.Deployments) != 2 || len(left.Members) != 3 || left.Deployments[0]["tokens_revoked_at"] != nil {
			t.Errorf("after the attacks there are %v", left)
		}
		c.as(t, "root", http.MethodPost, "/deployments", map[string]string{"name": "x"}).Want(http.StatusCreated)
	})
}

// A stranger's name may come to have this machine's address. To the browser the console is then a page of theirs: of the
// same origin, but without the password, which it keeps for the console's own origin. A site that has a name does not
// answer to another one at all.
func TestConsoleUnderAnotherName(t *testing.T) {
	t.Parallel()
	const rebound = "evil.example.net"
	s := embedded(t)
	own := []requestOption{
		header("Host", rebound), header("Origin", "http://"+rebound), header("Sec-Fetch-Site", "same-origin"), header("X-Requested-With", "deployment-console"),
	}
	c := startConsole(t, s, "")
	call(t, http.MethodPost, c.URL(c.port, "/api/deployments"), map[string]string{"name": "x"}, own...).Want(http.StatusUnauthorized)

	named := strings.Replace(consoleCaddyfile(t, c.port, s, ""), "http://:", "http://console.example.com:", 1)
	c.Reload(named)
	if answer := call(t, http.MethodGet, c.URL(c.port, "/api/deployments"), nil, append(own, basic("root", password))...); len(answer.Body) != 0 || answer.Header.Get("Content-Security-Policy") != "" {
		t.Errorf("a site with a name answers to another one: %d %s", answer.Status, answer.Body)
	}
	call(t, http.MethodGet, c.URL(c.port, "/api/deployments"), nil, header("Host", "console.example.com"), basic("root", password)).Want(http.StatusOK)

	c.Reload(fmt.Sprintf("http://:%d {\n\tdeployment_console {\n\t\tinsecure_no_auth\n\t}\n}\n", c.port))
	said := wantReason(t, call(t, http.MethodPost, c.URL(c.port, "/api/deployments"), map[string]string{"name": "x"}, own...), http.StatusForbidden)
	if !strings.Contains(said, "only at localhost or an IP address") {
		t.Errorf("%q", said)
	}
	at := c.URL(c.port, "")
	call(t, http.MethodPost, at+"/api/deployments", map[string]string{"id": "dep3", "name": "x"},
		header("Origin", at), header("Sec-Fetch-Site", "same-origin"), header("X-Requested-With", "deployment-console")).Want(http.StatusCreated)
	// Nobody is signed in, so there is nobody for whom a token could be.
	call(t, http.MethodPost, at+"/token", nil).Want(http.StatusUnauthorized)
}

func TestConsoleWithoutAuthenticationIsRefused(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	g := newGateway(t, fmt.Sprintf("http://:%d {\n\tdeployment_console {\n\t\tadministrator root\n\t}\n}\n", port))
	if err := g.TryStart(); err == nil || !strings.Contains(err.Error(), "nothing in front of it signs users in: put basic_auth") {
		t.Errorf("%v", err)
	}
	// Authentication for other paths is one as far as the configuration tells; then the request is refused.
	g = newGateway(t, fmt.Sprintf("http://:%d {\n\tbasic_auth /private/* {\n\t\troot %s\n\t}\n\tdeployment_console {\n\t\tadministrator root\n\t}\n}\n", port, passwordHash(t)))
	g.Start()
	at := g.URL(port, "")
	for _, options := range [][]requestOption{nil, {basic("root", password)}, {header("Remote-User", "root"), header("X-Remote-User", "root")}} {
		options = append(options, header("Origin", at), header("Sec-Fetch-Site", "same-origin"), header("X-Requested-With", "deployment-console"))
		said := wantReason(t, call(t, http.MethodPost, at+"/api/deployments", map[string]string{"name": "x"}, options...), http.StatusForbidden)
		if !strings.Contains(said, "nobody is signed in") {
			t.Errorf("%q", said)
		}
		call(t, http.MethodGet, at+"/deployments", nil, options...).Want(http.StatusForbidden)
	}
	var list struct{ Deployments []any }
	call(t, http.MethodGet, g.Admin("/deployments"), nil).Want(http.StatusOK).JSON(&list)
	if len(list.Deployments) != 0 {
		t.Errorf("there are %v", list)
	}
}

// Without the store the pages are there, and say so; who is no administrator is not told where the store is.
func TestConsoleWithoutTheStore(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	c := startConsole(t, s, "")
	s.redis.Stop()
	for _, user := range []string{"root", "viewer"} {
		for _, path := range []string{"/deployments", "/deployments/dep1/keys", "/token"} {
			c.page(t, user, path).Want(http.StatusOK)
		}
		c.as(t, user, http.MethodGet, "/me", nil).Want(http.StatusOK)
		for _, path := range []string{"/deployments", "/deployments/dep1", "/deployments/dep1/keys"} {
			answer := c.as(t, user, http.MethodGet, path, nil)
			said := wantReason(t, answer, http.StatusServiceUnavailable)
			if answer.Header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", path)
			}
			if tells := strings.Contains(said, "127.0.0.1"); tells != (user == "root") {
				t.Errorf("%s is told %q", user, said)
			}
		}
	}
}

// Handlers in front of the console that sign users in by other means.
func TestConsoleBehindOtherLogins(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	site := func(lines string) string {
		return fmt.Sprintf("http://:%d {\n\troute {\n%s\n\t\tdeployment_console {\n\t\t\tadministrator root\n\t\t}\n\t}\n}\n", port, lines)
	}
	g := startGateway(t, site("\t\tvars http.auth.user.id {header.Remote-User}"))
	var mine struct {
		User          string
		Administrator bool
	}
	call(t, http.MethodGet, g.URL(port, "/api/me"), nil, header("Remote-User", "root")).Want(http.StatusOK).JSON(&mine)
	if mine.User != "root" || !mine.Administrator {
		t.Errorf("%+v", mine)
	}
	call(t, http.MethodGet, g.URL(port, "/api/me"), nil).Want(http.StatusForbidden)
	for _, user := range []string{strings.Repeat("0", 24), "deployment-keys-user"} {
		call(t, http.MethodGet, g.URL(port, "/api/me"), nil, header("Remote-User", user)).Want(http.StatusForbidden)
	}

	// An access token lets nobody in, not even one of an administrator.
	g.Reload(fmt.Sprintf("http://:%d {\n\troute /token {\n\t\tvars http.auth.user.id root\n\t\tdeployment_token\n\t}\n\troute {\n\t\tdeployment_auth dep1\n\t\tvars x http.auth.user.id\n\t\tdeployment_console {\n\t\t\tadministrator root\n\t\t}\n\t}\n}\n", port))
	call(t, http.MethodPost, g.Admin("/deployments"), map[string]string{"id": "dep1", "name": "x"}).Want(http.StatusCreated)
	call(t, http.MethodPut, g.Admin("/deployments/dep1/members/root"), map[string]string{"role": "admin"}).Want(http.StatusOK)
	var got grant
	call(t, http.MethodPost, g.URL(port, "/token"), nil).Want(http.StatusOK).JSON(&got)
	said := wantReason(t, call(t, http.MethodGet, g.URL(port, "/api/me"), nil, bearer(got.AccessToken)), http.StatusForbidden)
	if !strings.Contains(said, "nobody is signed in") {
		t.Errorf("%q", said)
	}
}
