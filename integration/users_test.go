package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// signInSites are ways to sign users in by the password of oauthCaddyfile's users, in a Caddyfile. None of them may need
// more than the directives themselves.
var signInSites = map[string]string{
	"default order, one path": `
	basic_auth /token {
		alice %[1]s
		bob %[1]s
	}
	deployment_token
`,
	"default order, written the other way round": `
	deployment_token
	basic_auth /token {
		alice %[1]s
		bob %[1]s
	}
`,
	"route": `
	route /token {
		basic_auth {
			alice %[1]s
			bob %[1]s
		}
		deployment_token
	}
	deployment_token
`,
	"route, the other way round": `
	route /token {
		deployment_token
		basic_auth {
			alice %[1]s
			bob %[1]s
		}
	}
	deployment_token
`,
	// A site that has something for every path needs it to be so: what comes after basic_auth would have POST /token.
	"handle, beside one for all else": `
	handle /token {
		basic_auth {
			alice %[1]s
			bob %[1]s
		}
		deployment_token
	}
	deployment_token
	handle {
		respond 404
	}
`,
	"handle": `
	handle /token {
		basic_auth {
			alice %[1]s
			bob %[1]s
		}
		deployment_token
	}
	deployment_token
`,
}

// signInSite starts a gateway with directives that sign users in, before checkedRoutes.
func signInSite(t *testing.T, s store, directives string, options ...string) *site {
	t.Helper()
	port := freePort(t)
	for _, option := range options {
		s.options += "\n\t\t" + option
	}
	caddyfile := fmt.Sprintf("{\n\tdeployment_keys {\n\t\t%s\n\t}\n}\n\nhttp://:%d {\n%s\n%s\n}\n", s.options, port, directives, checkedRoutes)
	g := &site{startGateway(t, caddyfile, withEnv(s.env...)), port}
	g.newDeployment(t, "dep1")
	g.newDeployment(t, "dep2")
	return g
}

func TestUserGetsATokenOnEachKindOfSite(t *testing.T) {
	t.Parallel()
	hash := passwordHash(t)
	for name, directives := range signInSites {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := signInSite(t, embedded(t), fmt.Sprintf(directives, hash))
			g.putMember(t, "dep1", "alice", "viewer")
			target := g.URL(g.port, "/token")
			answer := call(t, http.MethodPost, target, nil, basic("alice", password)).Want(http.StatusOK)
			if got := answer.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("RFC 6749 section 5.1: Cache-Control is %q", got)
			}
			var got grant
			answer.JSON(&got)
			if got.TokenType != "Bearer" || got.ExpiresIn != 86400 {
				t.Errorf("the answer is %+v, want a Bearer token for 24 hours", got)
			}
			claims := claimsOf(t, got.AccessToken)
			if claims["sub"] != "alice" || claims["client_id"] != users.ID || claims["deployment_id"] != nil || claims["permissions"] != nil {
				t.Errorf("the token says %v", claims)
			}
			g.get(t, "dep1", got.AccessToken).Want(http.StatusOK)

			for who, options := range map[string][]requestOption{
				"nobody":               nil,
				"a wrong password":     {basic("alice", "wrong")},
				"their own token":      {bearer(got.AccessToken)},
				"it as their password": {basic("alice", got.AccessToken)},
			} {
				refused := call(t, http.MethodPost, target, nil, options...).Want(http.StatusUnauthorized)
				if challenge := refused.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Basic ") || strings.Contains(string(refused.Body), "access_token") {
					t.Errorf("%s is answered with the challenge %q and %s", who, challenge, refused.Body)
				}
			}
			// Keys get theirs without a user's password.
			g.get(t, "dep1", g.token(t, g.newKey(t, "dep1"))).Want(http.StatusOK)
		})
	}
}

// A page of another site must not get a token by way of a browser that sends the password by itself.
func TestUserTokenIsNotForPagesOfOtherSites(t *testing.T) {
	t.Parallel()
	g := oauthSite(t, embedded(t))
	own := strings.TrimPrefix(g.issuer(), "http://")
	for name, test := range map[string]struct {
		headers map[string]string
		status  int
	}{
		"a program":                     {nil, 200},
		"the site itself":               {map[string]string{"Origin": "http://" + own, "Sec-Fetch-Site": "same-origin"}, 200},
		"the site itself, old browser":  {map[string]string{"Origin": "http://" + own}, 200},
		"typed by the user":             {map[string]string{"Sec-Fetch-Site": "none"}, 200},
		"another site":                  {map[string]string{"Origin": "https://evil.example.net", "Sec-Fetch-Site": "cross-site"}, 403},
		"another host of the same site": {map[string]string{"Origin": "http://else." + own, "Sec-Fetch-Site": "same-site"}, 403},
		"another site, old browser":     {map[string]string{"Origin": "https://evil.example.net"}, 403},
		"a sandboxed page":              {map[string]string{"Origin": "null"}, 403},
		"a form of another site": {map[string]string{
			"Origin": "https://evil.example.net", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate",
			"Content-Type": "application/x-www-form-urlencoded",
		}, 403},
		"a host that the page made up": {map[string]string{"Origin": "https://evil.example.net", "X-Forwarded-Host": "evil.example.net"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			options := []requestOption{basic("alice", password)}
			for name, value := range test.headers {
				options = append(options, header(name, value))
			}
			answer := call(t, http.MethodPost, g.URL(g.port, "/token"), nil, options...)
			if test.status == http.StatusForbidden {
				wantRefusal(t, answer, http.StatusForbidden, "access_denied")
				return
			}
			answer.Want(test.status)
		})
	}
	// And whatever a page could read: no header lets it.
	answer := call(t, http.MethodOptions, g.URL(g.port, "/token"), nil, basic("alice", password),
		header("Origin", "https://evil.example.net"), header("Access-Control-Request-Method", "POST"))
	if got := answer.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("other sites may read the answer: %q", got)
	}
}

// forwardAuthSite has users signed in by another server. That tells who the user is in a header, which copy_headers puts
// into the request and vars takes from there. vars has its place before forward_auth by default, so that they have to be
// in a route, which keeps the order in which they are written.
const forwardAuthSite = `
	route /token {
		forward_auth %s {
			uri /verify
			copy_headers Remote-User
		}
		vars http.auth.user.id {header.Remote-User}
		deployment_token
	}
	deployment_token
`

func TestUserOfForwardAuth(t *testing.T) {
	t.Parallel()
	// It knows its users by a cookie; one of them it lets pass without saying who that is.
	verify := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := r.Cookie("session")
		switch {
		case r.URL.Path != "/verify" || session == nil:
			w.Header().Set("WWW-Authenticate", `Cookie realm="stand-in"`)
			w.WriteHeader(http.StatusUnauthorized)
		case session.Value == "alice":
			w.Header().Set("Remote-User", "alice")
		}
	}))
	defer verify.Close()
	g := signInSite(t, embedded(t), fmt.Sprintf(forwardAuthSite, strings.TrimPrefix(verify.URL, "http://")))
	g.putMember(t, "dep1", "alice", "viewer")
	target := g.URL(g.port, "/token")
	var got grant
	call(t, http.MethodPost, target, nil, header("Cookie", "session=alice")).Want(http.StatusOK).JSON(&got)
	if claims := claimsOf(t, got.AccessToken); claims["sub"] != "alice" {
		t.Errorf("the token says %v", claims)
	}
	g.get(t, "dep1", got.AccessToken).Want(http.StatusOK)

	for name, options := range map[string][]requestOption{
		"nobody":                           nil,
		"nobody who says to be alice":      {header("Remote-User", "alice")},
		"a session of nobody":              {header("Cookie", "session=x")},
		"a session of nobody, as alice":    {header("Cookie", "session=x"), header("Remote-User", "alice")},
		"a session of nobody, spelt other": {header("Cookie", "session=x"), header("Remote_User", "alice")},
	} {
		refused := call(t, http.MethodPost, target, nil, options...).Want(http.StatusUnauthorized)
		if challenge := refused.Header.Get("WWW-Authenticate"); challenge == "" || strings.Contains(string(refused.Body), "access_token") {
			t.Errorf("%s is answered with the challenge %q and %s", name, challenge, refused.Body)
		}
	}
}

// What a user may do is their role in the Deployment of each request, at that moment.
func TestUserActsByTheRoleOfEachDeployment(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := oauthSite(t, s)
		token := g.userToken(t, "alice")
		read := func() reply { return g.get(t, "dep1", token) }
		write := func() reply {
			return call(t, http.MethodPost, g.URL(g.port, "/dep1/api/v2/dags/x/dagRuns"), map[string]any{}, bearer(token))
		}
		deploy := func() reply { return call(t, http.MethodPost, g.URL(g.port, "/deploy/dep1/dags"), nil, bearer(token)) }

		wantRefusal(t, read(), http.StatusForbidden, "insufficient_scope")
		for _, role := range []struct {
			name, scopes string
			write        int
		}{
			{"viewer", "airflow:read", http.StatusForbidden},
			{"editor", allScopes, http.StatusOK},
			{"admin", allScopes, http.StatusOK},
			{"viewer", "airflow:read", http.StatusForbidden}, // the same token: it is looked up live
		} {
			g.putMember(t, "dep1", "alice", role.name)
			if body := string(read().Want(http.StatusOK).Body); body != "dep1 alice "+role.scopes {
				t.Errorf("as %s the identity is %q", role.name, body)
			}
			for what, answer := range map[string]reply{"write": write(), "deploy": deploy()} {
				if answer.Status != role.write {
					t.Errorf("%s as %s: %d, want %d", what, role.name, answer.Status, role.write)
				}
				if role.write == http.StatusForbidden {
					wantRefusal(t, answer, http.StatusForbidden, "insufficient_scope")
				}
			}
			said := wantRefusal(t, g.get(t, "dep2", token), http.StatusForbidden, "insufficient_scope")
			if said.Description != "alice is not a member of Deployment dep2" {
				t.Errorf("where alice is no member: %q", said.Description)
			}
		}
		g.putMember(t, "dep2", "bob", "admin")
		g.get(t, "dep2", token).Want(http.StatusForbidden)
		g.get(t, "dep2", g.userToken(t, "bob")).Want(http.StatusOK)
		g.deleteMember(t, "dep1", "alice")
		wantRefusal(t, read(), http.StatusForbidden, "insufficient_scope")
		g.putMember(t, "dep1", "alice", "viewer")
		read().Want(http.StatusOK)
		g.Restart()
		read().Want(http.StatusOK)
		g.deleteDeployment(t, "dep1")
		g.newDeployment(t, "dep1")
		if status := read().Status; status == http.StatusOK {
			t.Error("a member of a Deployment that was deleted is one of the next with its ID")
		}
	})
}

func TestUserTokenLivesAsLongAsConfigured(t *testing.T) {
	t.Parallel()
	g := oauthSite(t, embedded(t), "token_lifetime 1h", "user_token_lifetime 2s")
	g.putMember(t, "dep1", "alice", "viewer")
	var got grant
	call(t, http.MethodPost, g.URL(g.port, "/token"), nil, basic("alice", password)).Want(http.StatusOK).JSON(&got)
	if got.ExpiresIn != 2 {
		t.Errorf("expires_in is %d", got.ExpiresIn)
	}
	one, err := readToken(got.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	var refused reply
	eventually(t, "the user's token expires", func() bool {
		sent := time.Now()
		refused = g.get(t, "dep1", got.AccessToken)
		if refused.Status == http.StatusOK && sent.After(one.expires) {
			t.Errorf("accepted %s after it has expired", sent.Sub(one.expires))
		}
		return refused.Status != http.StatusOK
	})
	if said := wantRefusal(t, refused, http.StatusUnauthorized, "invalid_token"); !strings.Contains(said.Description, "expired at") {
		t.Errorf("the reason is %q", said.Description)
	}
	var ofKey grant
	g.askToken(t, g.newKey(t, "dep1")).Want(http.StatusOK).JSON(&ofKey)
	if ofKey.ExpiresIn != 3600 {
		t.Errorf("expires_in of a key's token is %d", ofKey.ExpiresIn)
	}
}

// A member who is removed on one node is refused on the other as soon as a deleted key is. What they then get is 403, as
// their token may be good for other Deployments.
func TestRemovedMemberIsRefusedAtOnceOnOtherNodes(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a := oauthSite(t, s)
	b := nodeBeside(t, a, s)
	token := a.userToken(t, "alice")
	c := keepAlive(t)
	var refused []time.Duration
	for range scaled(50, 500) {
		a.putMember(t, "dep1", "alice", "viewer")
		eventually(t, "the role has come to the other node", func() bool { return b.get(t, "dep1", token).Status == http.StatusOK })
		status, err := send(c, http.MethodDelete, a.Admin("/deployments/dep1/members/alice"), nil, nil)
		from := time.Now()
		if err := wanted(http.StatusNoContent, status, err); err != nil {
			t.Fatal(err)
		}
		for {
			status, err := b.fetch(c, "dep1", token)
			if err != nil {
				t.Fatal(err)
			}
			if status == http.StatusForbidden {
				break
			}
			if took := time.Since(from); status != http.StatusOK || took > promised {
				t.Fatalf("status %d %s after the member was removed", status, took)
			}
		}
		refused = append(refused, time.Since(from))
	}
	figures(t, "member removed, from the 204 to the first 403 elsewhere", refused)
}

// A user ends their own token, on one node for all, without a secret, which they have none of.
func TestUserRevokesTheirTokenEverywhere(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a := oauthSite(t, s)
	b := nodeBeside(t, a, s)
	a.putMember(t, "dep1", "alice", "viewer")
	token, sibling := a.userToken(t, "alice"), b.userToken(t, "alice")
	b.get(t, "dep1", token).Want(http.StatusOK)
	call(t, http.MethodPost, a.URL(a.port, "/oauth/revoke"), url.Values{"client_id": {users.ID}, "token": {token}}).Want(http.StatusOK)
	if d := untilRefused(b, keepAlive(t), "dep1", token, time.Now()); d.err != nil {
		t.Error(d.err)
	}
	b.get(t, "dep1", sibling).Want(http.StatusOK)
	for _, g := range []*site{a, b} {
		g.Restart()
		g.get(t, "dep1", token).Want(http.StatusUnauthorized)
		g.get(t, "dep1", sibling).Want(http.StatusOK)
	}
}
