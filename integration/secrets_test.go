package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// marker is no secret. It takes the ways that secrets might take, and shows where these end.
const marker = "marker-that-is-no-secret"

// own is what the secrets are called that clients put where they do not belong. Caddy has the path of a request and
// the User-Agent in its traces, as it has them in its logs, and nothing of the gateway stands between.
const own = "what a client put into a path or a header"

// canaryKeys are what the flows of a run are made with.
type canaryKeys struct {
	k, rotated, deleted, reader, misplaced      key // k is rotated with its previous secret still alive
	token, deletedToken, readerToken, userToken string
	misplacedToken                              string
}

// Every flow, well and badly, at DEBUG with traces and metrics, and then a look for each secret of it in whatever the
// gateway has written anywhere.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	for name, onRedis := range map[string]bool{"embedded": false, "redis": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCanarySite(t, onRedis)
			l := c.leaks
			c.Start()
			keys := c.makeKeys(t)
			c.useWellAndBadly(t, keys)
			c.misplace(t, keys)
			c.callAirflows(t, keys)
			c.useConsole(t, keys)
			c.revoke(t, keys)
			c.runCommands(t, keys)
			c.askAdmin(t, keys)
			c.lookAtProcess(t)
			c.breakConfig(t)

			// What was sealed with a secret that nobody has any more is still to be kept from the next one.
			c.changeMaster(t)
			c.crash(t, keys)
			call(t, http.MethodGet, c.at("/dep1/api/x"), nil, bearer(keys.token)).Want(http.StatusOK)
			c.deleteDeployment(t, "dep2")
			if c.server != nil {
				c.lookAtRedis(t)
			}
			eventually(t, "the traces have come", func() bool { return c.traces.has(marker) && c.traces.has(keys.misplaced.Secret) })
			c.Stop() // which sends what is left of them
			l.place("traces", c.traces.all())
			l.known["traces"] = own
			readFiles(t, c.gateway, l)
			l.place("logs", c.Logs())
			for _, credential := range c.airflow.credentials() {
				if l.names[credential] == "" {
					l.secret("a credential that Airflow got", credential)
				}
			}
			c.wantMarker(t, keys)
			l.check(t)
		})
	}
}

// makeKeys makes Deployments, keys and tokens. What shows a secret shows it in an answer that is not kept.
func (c *canarySite) makeKeys(t *testing.T) canaryKeys {
	t.Helper()
	for _, id := range []string{"dep1", "dep2", "etl", "dark", "trust", "two"} {
		c.newDeployment(t, id)
	}
	newKey := func(name, deployment string, scopes ...string) key {
		k := c.newKey(t, deployment, scopes...)
		l := c.leaks
		l.secret("the secret of "+name, k.Secret)
		return k
	}
	keys := canaryKeys{
		k: newKey("a key", "dep1"), rotated: newKey("a key that is rotated", "dep1"), deleted: newKey("a deleted key", "dep1"),
		reader: newKey("a reader", "dep2", "airflow:read"), misplaced: newKey("", "dep1"),
	}
	keys.token, keys.deletedToken = c.tokenOf(t, "a key", keys.k), c.tokenOf(t, "a deleted key", keys.deleted)
	keys.readerToken, keys.misplacedToken = c.tokenOf(t, "a reader", keys.reader), c.tokenOf(t, "", keys.misplaced)
	c.leaks.secret(own, keys.misplaced.Secret)
	c.leaks.secret(own, keys.misplacedToken)
	c.deleteKey(t, keys.deleted)
	for name, body := range map[string]map[string]any{"and another": {"overlap": "1h"}, "and a third": {"overlap": "1h", "revoke_tokens": true}} {
		keys.rotated = c.rotate(t, keys.rotated, body)
		c.leaks.secret("the secret of a key that is rotated, "+name, keys.rotated.Secret)
		c.tokenOf(t, "a key that is rotated, "+name, keys.rotated)
	}
	for _, user := range []string{"alice", "admin", "viewer", marker} {
		c.putMember(t, "dep1", user, map[bool]string{true: "admin", false: "viewer"}[user == "admin"])
	}
	var issued grant
	call(t, http.MethodPost, c.at("/token"), nil, basic("alice", password)).Want(http.StatusOK).JSON(&issued)
	keys.userToken = c.leaks.secret("a user's token", issued.AccessToken)
	call(t, http.MethodPatch, c.Admin("/deployments/dep1/keys/"+keys.k.ID), map[string]string{"name": marker}).Want(http.StatusOK)
	return keys
}

// tokenOf gets a token for a key.
func (c *canarySite) tokenOf(t *testing.T, name string, k key) string {
	t.Helper()
	return c.leaks.secret("a token of "+name, c.Token(t, c.api, k))
}

// keepOrLearn keeps an answer, but for one with a token, which is the one answer that has it.
func (c *canarySite) keepOrLearn(name string, answer reply) reply {
	var issued grant
	if answer.Status == http.StatusOK && json.Unmarshal(answer.Body, &issued) == nil && issued.AccessToken != "" {
		c.leaks.secret("the token of "+name, issued.AccessToken)
		return answer
	}
	return c.leaks.keep(name, answer)
}

// callAirflows calls each handler for an Airflow, also one that refuses the gateway and repeats what it was sent.
func (c *canarySite) callAirflows(t *testing.T, _ canaryKeys) {
	t.Helper()
	for deployment, status := range map[string]int{"etl": 200, "trust": 200, "two": 200, "dark": 503} {
		token := c.tokenOf(t, "a key of "+deployment, c.newKey(t, deployment))
		cookie := header("Cookie", "session="+c.leaks.secret("a client's cookie", randomText()))
		c.leaks.keep("Airflow "+deployment, call(t, http.MethodGet, c.at("/"+deployment+"/api/v2/dags?"+marker), nil, bearer(token), cookie)).Want(status)
		refused := call(t, http.MethodGet, c.at("/"+deployment+"/api/v2/refused"), nil, bearer(token))
		if deployment == "two" {
			refused.Want(http.StatusUnauthorized) // by reverse_proxy alone, which passes on what that Airflow says
			continue
		}
		c.leaks.keep("Airflow that refuses "+deployment, refused).Want(http.StatusServiceUnavailable)
	}
	if len(c.airflow.credentials()) < 4 {
		t.Errorf("the Airflows got %d credentials", len(c.airflow.credentials()))
	}
}

// useConsole does as a user of the console what there is to do, and mixes up fields.
func (c *canarySite) useConsole(t *testing.T, keys canaryKeys) {
	t.Helper()
	l := c.leaks
	var made, rotated key
	c.as(t, "admin", http.MethodPost, "/deployments/dep1/keys", map[string]string{"name": "console"}).Want(http.StatusCreated).JSON(&made)
	l.secret("the secret of a key of the console", made.Secret)
	c.as(t, "admin", http.MethodPost, "/deployments/dep1/keys/"+made.ID+"/rotate", nil).Want(http.StatusOK).JSON(&rotated)
	l.secret("the second secret of a key of the console", rotated.Secret)
	var issued grant
	call(t, http.MethodPost, c.URL(c.port, "/token"), nil, basic("viewer", password)).Want(http.StatusOK).JSON(&issued)
	l.secret("a user's token of the console", issued.AccessToken)
	for _, path := range []string{
		"/", "/deployments", "/deployments/dep1", "/deployments/dep1/keys", "/deployments/dep1/audit", "/token", "/api/me", "/api/deployments",
		"/api/deployments/dep1/keys", "/api/deployments/dep1/keys/" + made.ID, "/api/deployments/dep1/audit", "/api/deployments/dep1/members",
		"/deployments/" + keys.misplaced.Secret, "/api/deployments/" + keys.misplaced.Secret, "/api/deployments/dep1/keys/" + keys.misplaced.Secret,
		"/api/deployments?" + keys.misplaced.Secret + "=x", "/" + keys.misplacedToken,
	} {
		l.keep("console "+path, c.page(t, "admin", path))
	}
	for i, refused := range []struct {
		user, method, path string
		body               any
	}{
		{"viewer", "DELETE", "/deployments/dep1/keys/" + keys.misplaced.Secret, nil},
		{"viewer", "PUT", "/deployments/dep1/members/" + keys.misplaced.Secret, map[string]string{"role": "admin"}},
		{"admin", "PUT", "/deployments/dep1/members/" + keys.misplaced.Secret, map[string]string{"role": "viewer"}},
		{"admin", "POST", "/deployments/dep1/keys", map[string]string{"name": keys.misplaced.Secret}},
		{"root", "POST", "/deployments", map[string]string{"id": keys.misplaced.Secret, "name": "x"}},
		{"root", "POST", "/tokens/explain", map[string]string{"token": keys.k.Secret, "deployment": keys.misplaced.Secret}},
		{"root", "POST", "/tokens/revoke", map[string]string{"token": keys.k.Secret}},
	} {
		answer := l.keep("a user's mistake "+string(rune('a'+i)), c.as(t, refused.user, refused.method, refused.path, refused.body))
		if answer.Status < 400 || answer.Status >= 500 {
			t.Errorf("%s %s as %s: status %d", refused.method, strings.ReplaceAll(refused.path, keys.misplaced.Secret, "SECRET"), refused.user, answer.Status)
		}
	}
}

// revoke asks about tokens and ends some, as clients and as an operator.
func (c *canarySite) revoke(t *testing.T, keys canaryKeys) {
	t.Helper()
	l := c.leaks
	token := c.tokenOf(t, "a key that revokes it", keys.k)
	for _, path := range []string{"/oauth/introspect", "/oauth/revoke", "/oauth/introspect"} {
		l.keep(path, call(t, http.MethodPost, c.at(path), url.Values{"token": {token}}, basic(keys.k.ID, keys.k.Secret))).Want(http.StatusOK)
		l.keep(path+" by nobody", call(t, http.MethodPost, c.at(path), url.Values{"token": {token}})).Want(http.StatusUnauthorized)
	}
	l.keep("a revoked token", call(t, http.MethodGet, c.at("/dep1/api/x"), nil, bearer(token))).Want(http.StatusUnauthorized)
	l.keep("a user's token", call(t, http.MethodGet, c.at("/dep1/api/x"), nil, bearer(keys.userToken))).Want(http.StatusOK)
	for _, token := range []string{token, keys.token, keys.userToken, keys.k.Secret} {
		for _, path := range []string{"/tokens/introspect", "/tokens/explain"} {
			l.keep(path, call(t, http.MethodPost, c.Admin(path), map[string]string{"token": token})).Want(http.StatusOK)
		}
		l.keep("/tokens with the token twice", call(t, http.MethodPost, c.Admin("/tokens/introspect"), `{"token":"`+token+`","token":"x"}`, asJSON)).Want(http.StatusBadRequest)
	}
	l.keep("/tokens/revoke", call(t, http.MethodPost, c.Admin("/tokens/revoke"), map[string]string{"token": keys.userToken})).Want(http.StatusNoContent)
}
