package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// useWellAndBadly sends what clients send, also those that mix up what they were given, but into no place that Caddy logs.
func (c *canarySite) useWellAndBadly(t *testing.T, keys canaryKeys) {
	t.Helper()
	tokenURL, apiURL, deployURL := c.at("/oauth/token"), c.at("/dep1/api/"+marker), c.at("/deploy/dep1/x")
	form := func(pairs ...string) url.Values {
		values := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i < len(pairs); i += 2 {
			values[pairs[i]] = append(values[pairs[i]], pairs[i+1])
		}
		return values
	}
	id, secret, token := keys.k.ID, keys.k.Secret, keys.token
	mistyped := c.leaks.secret("a mistyped secret", secret[:len(secret)-1])
	authorization := func(value string) requestOption { return header("Authorization", value) }
	for i, request := range []struct {
		method, target string
		body           any
		option         requestOption
		status         int
	}{
		{"POST", tokenURL, form("client_id", keys.deleted.ID, "client_secret", keys.deleted.Secret), nil, 401},
		{"POST", tokenURL, form("client_id", id, "client_secret", keys.deleted.Secret), nil, 401},
		{"POST", tokenURL, form("client_id", id, "client_secret", mistyped), nil, 401},
		{"POST", tokenURL, form("client_id", secret, "client_secret", id), nil, 401},
		{"POST", tokenURL, form("client_id", secret), nil, 401},
		{"POST", tokenURL, form("client_id", id, "client_secret", secret, "client_secret", secret), nil, 400},
		{"POST", tokenURL, form("client_id", id, secret, "x", secret, "y"), nil, 400},
		{"POST", tokenURL, form("client_id", id, token, "x", token, "y"), nil, 400},
		{"POST", tokenURL, form("client_id", id, "client_secret", secret, "scope", secret), nil, 400},
		{"POST", tokenURL, form("client_id", id, "client_secret", secret, "audience", secret), nil, 400},
		{"POST", tokenURL, form("client_id", id, "client_secret", secret, "client_assertion", token), nil, 200},
		{"POST", tokenURL, url.Values{"grant_type": {secret}, "client_id": {id}, "client_secret": {secret}}, nil, 400},
		{"POST", tokenURL, form(), basic(id, secret), 200},
		{"POST", tokenURL, form(), basic(secret, id), 401},
		{"POST", tokenURL, form("client_secret", secret), basic(id, secret), 400},
		{"POST", tokenURL, form(), bearer(token), 401},
		{"POST", tokenURL, map[string]any{"client_id": id, "client_secret": []string{secret}}, nil, 400},
		{"POST", tokenURL, `{"client_id": "` + id + `", "client_secret": "` + secret, asJSON, 400},
		{"POST", tokenURL, `{"client_id": "` + id + `", "client_secret": ` + secret + `}`, asJSON, 400},
		{"POST", tokenURL, `{"` + secret + `": 1, "` + secret + `": 2}`, asJSON, 400},
		{"POST", tokenURL, secret, header("Content-Type", "text/plain"), 400},
		{"POST", c.at("/oauth/revoke"), form("token", token, "token", token), basic(id, secret), 400},
		{"POST", c.at("/oauth/introspect"), form("token", secret), basic(id, secret), 200},
		{"POST", c.at("/token"), nil, basic("alice", secret), 401},
		{"POST", c.at("/token"), nil, bearer(token), 401},
		{"GET", apiURL, nil, bearer(token), 200},
		{"POST", apiURL, nil, bearer(token), 200},
		{"POST", apiURL, form("access_token", token), nil, 401},
		{"GET", apiURL, nil, bearer(keys.deletedToken), 401},
		{"GET", apiURL, nil, bearer(keys.readerToken), 403},
		{"GET", c.at("/dep2/api/x"), nil, bearer(token), 403},
		{"POST", c.at("/dep2/api/x"), nil, bearer(keys.readerToken), 403},
		{"GET", apiURL, nil, bearer(token[:len(token)-4] + "AAAA"), 401},
		{"GET", apiURL, nil, bearer(secret), 401},
		{"GET", apiURL, nil, bearer(id + ":" + secret), 400},
		{"GET", apiURL, nil, authorization(token), 400},
		{"GET", apiURL, nil, authorization(token + " x"), 400},
		{"GET", apiURL, nil, authorization(secret), 400},
		{"GET", apiURL, nil, authorization(secret + " " + id), 400},
		{"GET", apiURL, nil, authorization("Token " + token), 401},
		{"GET", apiURL, nil, authorization("Digest " + secret), 401},
		{"GET", apiURL, nil, basic(id, secret), 401},
		{"GET", apiURL, nil, header("Proxy-Authorization", "Bearer "+token), 401},
		{"GET", apiURL, nil, header("Cookie", "access_token="+token), 401},
		{"GET", c.at("/elsewhere"), nil, bearer(token), 404},
		{"GET", deployURL, nil, basic(id, secret), 200},
		{"GET", deployURL, nil, basic("cli", token), 200},
		{"GET", deployURL, nil, basic(id, keys.rotated.Secret), 401},
		{"GET", deployURL, nil, basic(id, keys.deleted.Secret), 401},
		{"GET", deployURL, nil, basic(secret, id), 401},
		{"GET", deployURL, nil, basic(token, ""), 401},
		{"POST", c.Admin("/deployments/dep1/keys"), `{"name":"a","secret":"` + secret + `"}`, asJSON, 400},
		{"POST", c.Admin("/deployments/dep1/keys"), `{"name":"a","scopes":"` + secret + `"}`, asJSON, 400},
		{"POST", c.Admin("/deployments/dep1/keys"), `{"name":"a","scopes":["` + secret + `"]}`, asJSON, 400},
		{"POST", c.Admin("/deployments/dep1/keys"), `{"name":"a","allowed_ips":["` + secret + `"]}`, asJSON, 400},
		{"POST", c.Admin("/deployments/dep1/keys"), `{"name":"a","expires_at":"` + secret + `"}`, asJSON, 400},
		{"POST", c.Admin("/deployments/dep1/keys"), `{"name":"` + secret + `"}`, asJSON, 400},
		{"POST", c.Admin("/deployments/dep1/keys"), `{"name":"a","description":"it is ` + token + `"}`, asJSON, 400},
		{"POST", c.Admin("/deployments/dep1/keys"), `{"name":"a","` + secret + `":1}`, asJSON, 400},
		{"POST", c.Admin("/deployments"), `{"name":"a","id":"` + secret + `"}`, asJSON, 400},
		{"PUT", c.Admin("/deployments/dep1/members/bob"), `{"role":"` + secret + `"}`, asJSON, 400},
		{"POST", c.Admin("/deployments/dep1/keys/" + id + "/rotate"), `{"overlap":"` + secret + `"}`, asJSON, 400},
		{"GET", c.Admin("/deployments/dep1/keys"), nil, basic(id, secret), 200},
		{"GET", c.Admin("/deployments/dep1/keys"), nil, bearer(token), 200},
	} {
		if request.option == nil {
			request.option = func(*http.Request) {}
		}
		answer := call(t, request.method, request.target, request.body, request.option)
		name := fmt.Sprintf("request %d to %s", i, request.target)
		if answer.Status != request.status {
			t.Errorf("%s: status %d, want %d", name, answer.Status, request.status)
		}
		c.keepOrLearn(name, answer)
	}
}

// misplace puts a secret and a token of their own into URLs and headers, which Caddy logs. The log format deployment_keys
// takes them out of the logs.
func (c *canarySite) misplace(t *testing.T, keys canaryKeys) {
	t.Helper()
	secret, token := keys.misplaced.Secret, keys.misplacedToken
	for i, request := range []struct {
		method, target string
		option         requestOption
		status         int
	}{
		{"GET", c.at("/" + secret + "/api/x"), bearer(keys.token), 403},
		{"GET", c.at("/" + token + "/api/x"), bearer(keys.token), 403},
		{"GET", c.at("/dep1/api/" + secret), bearer(keys.token), 200},
		{"GET", c.at("/deploy/" + secret + "/" + token), basic(keys.k.ID, keys.k.Secret), 403},
		{"GET", c.at("/" + secret), nil, 404},
		{"GET", c.at("/dep1/api/x?access_token=" + token), nil, 401},
		{"GET", c.at("/dep1/api/x?key=" + secret + "#" + secret), bearer(keys.token), 200},
		{"POST", c.at("/oauth/token?client_secret=" + secret), nil, 400},
		{"POST", c.at("/oauth/introspect?token=" + token), nil, 400},
		{"GET", c.at("/dep1/api/x"), header("X-Api-Key", secret), 401},
		{"GET", c.at("/dep1/api/x"), header("X-Access-Token", token), 401},
		{"GET", c.at("/dep1/api/x"), header("X-Deployment-Key-Id", secret), 401},
		{"GET", c.at("/dep1/api/x"), header("User-Agent", secret), 401},
		{"GET", c.at("/dep1/api/x"), header("Referer", "https://a.example.com/?token="+token), 401},
		{"GET", c.at("/dep1/api/x"), header("X-Forwarded-For", secret), 401},
		{"GET", c.Admin("/deployments/" + secret), nil, 404},
		{"DELETE", c.Admin("/deployments/" + secret), nil, 404},
		{"GET", c.Admin("/deployments/dep1/keys/" + secret), nil, 404},
		{"DELETE", c.Admin("/deployments/dep1/keys/" + token), nil, 404},
		{"DELETE", c.Admin("/deployments/dep1/members/" + secret), nil, 404},
		{"GET", c.Admin("/deployments/dep1/audit?" + secret + "=1"), nil, 400},
		{"GET", c.Admin("/deployments/dep1/keys?cursor=" + secret), nil, 400},
		{"GET", c.Admin("/deployments?limit=" + secret), nil, 400},
		{"GET", c.Admin("/audit?" + token + "=1&" + token + "=2"), nil, 400},
		{"GET", c.Admin("/deployments"), header("X-Api-Key", secret), 200},
		{"GET", c.Admin("/" + secret), nil, 404},
		{"GET", c.URL(c.port, "/"+secret), basic("admin", password), 404},
	} {
		if request.option == nil {
			request.option = func(*http.Request) {}
		}
		target := strings.NewReplacer(secret, "SECRET", token, "TOKEN").Replace(request.target)
		answer := c.leaks.keep(fmt.Sprintf("mistake %d to %s", i, target), call(t, request.method, request.target, nil, request.option))
		if answer.Status != request.status {
			t.Errorf("mistake %d to %s: status %d, want %d", i, target, answer.Status, request.status)
		}
	}
	put := call(t, http.MethodPut, c.Admin("/deployments/dep1/members/"+secret), map[string]string{"role": "viewer"})
	c.leaks.keep("a member who is called as a secret", put).Want(http.StatusBadRequest)
}
