package integration

import (
	"net/http"
	"strings"
	"testing"
)

// What may be remembered of a token is what it says, and never what was decided about it.
var cacheIncidents = []incident{
	{name: "CVE-2021-32701 decision remembered without the scope", shared: rememberedScope},
	{name: "CVE-2026-33496 decision remembered without the issuer", alone: rememberedIssuer},
}

// Oathkeeper remembered that a token was good, and on the next route did not ask for that one's scope. Each token here is
// used where it is good, so that it is remembered, then where it is not, and once more where it is good.
func rememberedScope(t *testing.T, g *incidentSite) {
	k := g.newKey(t, "prod", "airflow:read")
	token := g.token(t, k)
	for _, refused := range []struct{ method, target, scope string }{
		{"POST", "/prod/api/x", "airflow:write"},
		{"DELETE", "/prod/api/x", "airflow:write"},
		{"GET", basicRoute + "/prod/x", "deploy airflow:read airflow:write"},
		{"GET", "/prod2/api/x", ""}, // another Deployment
		{"TRACE", "/prod/api/x", ""},
	} {
		for range 2 {
			g.wantPasses(t, "prod", token)
			answer := call(t, refused.method, g.URL(g.port, refused.target), nil, bearer(token))
			wantRefusal(t, answer, http.StatusForbidden, "insufficient_scope")
			g.wantNothingPassed(t, refused.method+" "+refused.target)
			challenge := answer.Header.Get("WWW-Authenticate")
			if refused.scope != "" && !strings.Contains(challenge, `scope="`+refused.scope+`"`) {
				t.Errorf("%s %s: the challenge is %s, want the scope %s in it", refused.method, refused.target, challenge, refused.scope)
			}
		}
	}
	// What a key may do can change while its token is remembered.
	g.patchKey(t, k, map[string]any{"scopes": []string{"deploy"}})
	wantRefusal(t, g.get(t, "prod", token), http.StatusForbidden, "insufficient_scope")
	g.wantNothingPassed(t, "a scope that was taken away")
}

// Oathkeeper remembered a token by its text alone, so what one issuer had vouched for passed on a route that trusted
// another. One gateway process has one issuer at a time: it is told to trust another one, or another audience, while
// it remembers the token, and gets it again right after.
//
// That it can fail was seen with a memory of tokens in package token that was the process's.
func rememberedIssuer(t *testing.T) {
	s := embedded(t)
	g := oauthSite(t, s)
	token := g.token(t, g.newKey(t, "dep1"))
	// A reload may close a connection that was made at that moment, before anything was read from it.
	get := func() (answer reply) {
		t.Helper()
		eventually(t, "the gateway answers", func() (answered bool) {
			var err error
			answer, err = try(t, http.MethodGet, g.URL(g.port, "/dep1/api/x"), nil, bearer(token))
			return err == nil
		})
		return answer
	}
	for name, config := range map[string]string{
		"issuer":   oauthCaddyfile(t, g.port, freePort(t), s),
		"audience": oauthCaddyfile(t, g.port, g.port, s, "audience https://else.example.com"),
	} {
		for range 2 {
			get().Want(http.StatusOK)
		}
		g.Reload(config)
		said := wantRefusal(t, get(), http.StatusUnauthorized, "invalid_token")
		if !strings.Contains(said.Description, name) {
			t.Errorf("with another %s the refusal says %q", name, said.Description)
		}
		g.Reload(oauthCaddyfile(t, g.port, g.port, s))
		get().Want(http.StatusOK)
	}
}
