package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Which tokens are given out, which are accepted, and what one is told whose token is not.
var tokenIncidents = []incident{
	{name: "CVE-2026-27840 token cut off or extended", shared: truncatedToken},
	{name: "CVE-2025-64521 disabled account still gets tokens", shared: disabledAccount},
	{name: "astro-cli#1469 expired reported as not found", shared: expiredIsSaid},
}

// Zitadel accepted tokens that were cut off after 80 characters, since what was missing was not looked at. Every token
// that is shorter than a good one is sent, and some that are longer.
func truncatedToken(t *testing.T, g *incidentSite) {
	token := g.token(t, g.newKey(t, "prod"))
	g.wantPasses(t, "prod", token)
	c := keepAlive(t)
	refused := func(what, text string) {
		t.Helper()
		status, err := send(c, http.MethodGet, g.URL(g.port, "/prod/api/x"), nil, nil, header("Authorization", "Bearer "+text))
		if err != nil || status != http.StatusUnauthorized && status != http.StatusBadRequest {
			t.Errorf("%s: status %d, %v, want 401 or 400", what, status, err)
		}
	}
	for n := range len(token) {
		refused("the beginning of a token", token[:n])
	}
	for _, more := range []string{
		"A", "AA", "AAA", "AAAA", "=", "==", ".", ".e30", token, "." + token, ",", " ", "%00", "\t" + token, ";" + token, "A" + token[len(token)-1:],
	} {
		if strings.TrimSpace(more) != "" { // space around a header's value is not part of it
			refused("a token with more behind it", token+more)
		}
	}
	for n := range 8 {
		refused("the end of a token", token[n+1:])
	}
	g.wantNothingPassed(t, "a token that was cut off or extended")
	for _, text := range []string{token[:80], token[:len(token)-1], token[:strings.LastIndexByte(token, '.')+1], token + "A"} {
		g.wantNoToken(t, "a token that was cut off or extended", text)
	}
	g.wantPasses(t, "prod", token)
}

// In authentik, a service account that was disabled could go on getting tokens by its client credentials. Here an account
// is a key: once its end is acknowledged, it gets no token, and the tokens that it has are refused, with the next request.
func disabledAccount(t *testing.T, g *incidentSite) {
	g.newDeployment(t, "closing")
	for name, disable := range map[string]func(k key){
		"deleted":                         func(k key) { g.deleteKey(t, k) },
		"of a Deployment that is deleted": func(key) { g.deleteDeployment(t, "closing") },
		"expired": func(k key) {
			g.patchKey(t, k, map[string]any{"expires_at": time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)})
			eventually(t, "the key expires", func() bool { return g.askToken(t, k).Status != http.StatusOK })
		},
	} {
		deployment := "prod"
		if strings.Contains(name, "Deployment") {
			deployment = "closing"
		}
		k := g.newKey(t, deployment)
		token := g.token(t, k)
		g.wantPasses(t, deployment, token)
		call(t, http.MethodGet, g.URL(g.port, basicRoute+"/"+deployment+"/x"), nil, basic(k.ID, k.Secret)).Want(http.StatusOK)
		g.to.takeOne(t)
		disable(k)
		form := url.Values{"grant_type": {"client_credentials"}}
		wantRefusal(t, g.askToken(t, k), http.StatusUnauthorized, "invalid_client")
		wantRefusal(t, call(t, http.MethodPost, g.URL(g.port, "/oauth/token"), form, basic(k.ID, k.Secret)), http.StatusUnauthorized, "invalid_client")
		wantRefusal(t, g.get(t, deployment, token), http.StatusUnauthorized, "invalid_token")
		asBasic := call(t, http.MethodGet, g.URL(g.port, basicRoute+"/"+deployment+"/x"), nil, basic(k.ID, k.Secret))
		wantRefusal(t, asBasic, http.StatusUnauthorized, "invalid_token")
		for _, path := range []string{"/oauth/revoke", "/oauth/introspect"} {
			answer := call(t, http.MethodPost, g.URL(g.port, path), url.Values{"token": {token}}, basic(k.ID, k.Secret))
			wantRefusal(t, answer, http.StatusUnauthorized, "invalid_client")
		}
		g.wantNothingPassed(t, "a key that is "+name)
		if told := g.introspect(t, g.newKey(t, "prod"), token); told.Active {
			t.Errorf("introspection says that the token of a key that is %s is active", name)
		}
	}
	// A user who is no member any more signs in, and may do nothing with it.
	g.putMember(t, "prod", "bob", "admin")
	before := g.userToken(t, "bob")
	g.wantPasses(t, "prod", before)
	g.deleteMember(t, "prod", "bob")
	for _, token := range []string{before, g.userToken(t, "bob")} {
		wantRefusal(t, g.get(t, "prod", token), http.StatusForbidden, "insufficient_scope")
	}
	g.wantNothingPassed(t, "a user who is no member")
}

// A key had expired, and the command line said that it found no workspace: somebody looked for hours. Each reason is told
// to who has proven who they are, by an answer of its own, and none to anybody else.
func expiredIsSaid(t *testing.T, g *incidentSite) {
	var expiring key
	call(t, http.MethodPost, g.Admin("/deployments/prod/keys"), map[string]any{
		"name": "expires", "expires_at": time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339Nano),
	}).Want(http.StatusCreated).JSON(&expiring)
	token := g.token(t, expiring)
	g.wantPasses(t, "prod", token)
	eventually(t, "the token expires", func() bool { return g.get(t, "prod", token).Status != http.StatusOK })
	g.to.take()
	eventually(t, "the key expires", func() bool { return g.askToken(t, expiring).Status != http.StatusOK })

	g.newDeployment(t, "closing")
	ofDeployment := g.token(t, g.newKey(t, "closing"))
	g.deleteDeployment(t, "closing")
	deletedKey, revokingKey := g.newKey(t, "prod"), g.newKey(t, "prod")
	ofKey, revoked := g.token(t, deletedKey), g.token(t, revokingKey)
	g.deleteKey(t, deletedKey)
	g.revoke(t, revokingKey, revoked).Want(http.StatusOK)
	for reason, test := range map[string]struct{ deployment, token string }{
		"expired at": {"prod", token},
		"the key of this access token was deleted":        {"prod", ofKey},
		"the Deployment of this access token was deleted": {"closing", ofDeployment},
		"it was revoked": {"prod", revoked},
	} {
		answer := g.get(t, test.deployment, test.token)
		said := wantRefusal(t, answer, http.StatusUnauthorized, "invalid_token")
		if !strings.Contains(said.Description, reason) || !strings.Contains(answer.Header.Get("WWW-Authenticate"), reason) {
			t.Errorf("the refusal says %q, and %s, want %q in both", said.Description, answer.Header.Get("WWW-Authenticate"), reason)
		}
		g.wantNoToken(t, "whoever made it up", tampered(test.token))
	}
	if said := wantRefusal(t, g.askToken(t, expiring), http.StatusUnauthorized, "invalid_client"); !strings.Contains(said.Description, "expired at") {
		t.Errorf("who has the secret of an expired key is told %q", said.Description)
	}
	guessed := expiring
	guessed.Secret = deletedKey.Secret
	if said := wantRefusal(t, g.askToken(t, guessed), http.StatusUnauthorized, "invalid_client"); strings.Contains(said.Description, "expire") {
		t.Errorf("who has not the secret is told %q", said.Description)
	}
	g.wantNothingPassed(t, "a token that is refused")
}
