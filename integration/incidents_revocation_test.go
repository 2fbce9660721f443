package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What ends, and for whom, when something is revoked.
var revocationIncidents = []incident{
	{name: "CVE-2026-86473 wrong credential revoked", shared: wrongCredentialRevoked},
	{name: "hydra#3452 revocation by another client answered 200", shared: revokedByAnother},
	{name: "CVE-2026-8922 cutoffs combined wrongly", shared: cutoffsCombined},
}

// Airflow's logout revoked another credential than the one that was to end. Here the token that the request names ends,
// whatever else the request carries, and nothing else does.
func wrongCredentialRevoked(t *testing.T, g *incidentSite) {
	k, other := g.newKey(t, "prod"), g.newKey(t, "prod")
	g.putMember(t, "prod", "alice", "viewer")
	named := func() (token string, end func(requestOption, url.Values) reply) {
		token = g.token(t, k)
		return token, func(more requestOption, form url.Values) reply {
			form.Set("token", token)
			return call(t, http.MethodPost, g.URL(g.port, "/oauth/revoke"), form, more)
		}
	}
	// A cookie in which somebody might look for a token, beside the credentials of the client.
	inCookie := func(token string) requestOption {
		return func(r *http.Request) {
			basic(k.ID, k.Secret)(r)
			r.Header.Set("Cookie", "token="+token+"; access_token="+token+"; _token="+token)
		}
	}
	sibling, ofOther := g.token(t, k), g.token(t, other)
	for name, end := range map[string]func(revoke func(requestOption, url.Values) reply) reply{
		"alone": func(revoke func(requestOption, url.Values) reply) reply {
			return revoke(basic(k.ID, k.Secret), url.Values{})
		},
		"with a hint of another type": func(revoke func(requestOption, url.Values) reply) reply {
			return revoke(basic(k.ID, k.Secret), url.Values{"token_type_hint": {"refresh_token"}})
		},
		"with another in a cookie": func(revoke func(requestOption, url.Values) reply) reply {
			return revoke(inCookie(sibling), url.Values{})
		},
		"with others in parameters": func(revoke func(requestOption, url.Values) reply) reply {
			return revoke(basic(k.ID, k.Secret), url.Values{"access_token": {sibling}, "id_token_hint": {ofOther}})
		},
	} {
		token, revoke := named()
		g.wantPasses(t, "prod", token)
		end(revoke).Want(http.StatusOK)
		g.wantRevoked(t, "prod", token, "it was revoked")
		for _, alive := range []string{sibling, ofOther} {
			if status := g.get(t, "prod", alive).Status; status != http.StatusOK {
				t.Errorf("a token was revoked %s, and another one is answered %d", name, status)
			}
		}
		g.to.take()
	}
	// By the operator, whose request carries somebody's token besides; and by a user, of their own two.
	token, _ := named()
	call(t, http.MethodPost, g.Admin("/tokens/revoke"), map[string]string{"token": token}, bearer(sibling)).Want(http.StatusNoContent)
	g.wantRevoked(t, "prod", token, "it was revoked")
	first, second := g.userToken(t, "alice"), g.userToken(t, "alice")
	form := url.Values{"client_id": {users.ID}, "token": {first}}
	call(t, http.MethodPost, g.URL(g.port, "/oauth/revoke"), form).Want(http.StatusOK)
	g.wantRevoked(t, "prod", first, "it was revoked")

	// A request that names none ends none, not the one that it carries either.
	for _, option := range []requestOption{bearer(sibling), basic(k.ID, k.Secret), inCookie(sibling)} {
		if answer := call(t, http.MethodPost, g.URL(g.port, "/oauth/revoke"), url.Values{}, option); answer.Status < 400 {
			t.Errorf("a revocation of nothing is answered %d", answer.Status)
		}
	}
	for _, alive := range []string{sibling, ofOther, second} {
		g.wantPasses(t, "prod", alive)
	}
	g.token(t, k) // the key itself goes on
}

// Hydra answered 200 to a client that revoked another's token, and the token lived: whoever found a leaked one and
// reported it believed that it was dead.
func revokedByAnother(t *testing.T, g *incidentSite) {
	owner, sibling, stranger := g.newKey(t, "prod"), g.newKey(t, "prod"), g.newKey(t, "prod2")
	g.putMember(t, "prod", "alice", "viewer")
	token := g.token(t, owner)
	for name, by := range map[string]key{"a key of the same Deployment": sibling, "a key of another": stranger} {
		for _, token := range []string{token, g.userToken(t, "alice")} {
			said := wantRefusal(t, g.revoke(t, by, token), http.StatusBadRequest, "unauthorized_client")
			if !strings.Contains(said.Description, "was not revoked") {
				t.Errorf("%s is told %q, want that it was not revoked", name, said.Description)
			}
			g.wantPasses(t, "prod", token)
		}
	}
	asUser := call(t, http.MethodPost, g.URL(g.port, "/oauth/revoke"), url.Values{"client_id": {users.ID}, "token": {token}})
	wantRefusal(t, asUser, http.StatusBadRequest, "unauthorized_client")
	wrong := owner
	wrong.Secret = sibling.Secret
	wantRefusal(t, g.revoke(t, wrong, token), http.StatusUnauthorized, "invalid_client")
	g.wantPasses(t, "prod", token)

	// 200 is that it is dead.
	g.revoke(t, owner, token).Want(http.StatusOK)
	g.wantRevoked(t, "prod", token, "it was revoked")
	if g.introspect(t, sibling, token).Active {
		t.Error("introspection says that a revoked token is active")
	}
	g.wantNothingPassed(t, "a revoked token")
}

// In Keycloak, a cutoff of a client made introspection forget the cutoff of the realm. The effective cutoff is the latest,
// in whichever order the three were made: for a key, for its Deployment, for all.
func cutoffsCombined(t *testing.T, g *incidentSite) {
	k, asker := g.newKey(t, "prod"), g.newKey(t, "prod")
	cutoffs := map[string]string{
		"key": "/deployments/prod/keys/" + k.ID + "/revoke_tokens", "Deployment": "/deployments/prod/revoke_tokens", "all": "/tokens/revoke_all",
	}
	for _, order := range [][]string{
		{"key", "Deployment", "all"},
		{"key", "all", "Deployment"},
		{"Deployment", "key", "all"},
		{"Deployment", "all", "key"},
		{"all", "key", "Deployment"},
		{"all", "Deployment", "key"},
	} {
		var dead []string
		for _, cutoff := range order {
			dead = append(dead, g.token(t, k))
			ofAsker := g.token(t, asker)
			g.post(t, cutoffs[cutoff]).Want(http.StatusNoContent)
			if lives := g.introspect(t, asker, ofAsker).Active; lives != (cutoff == "key") {
				t.Errorf("%v, up to %s: introspection says of a token of another key of the Deployment that it is active: %t", order, cutoff, lives)
			}
			alive := g.token(t, k)
			for i, token := range dead {
				g.wantRevoked(t, "prod", token, "were revoked")
				if g.introspect(t, asker, token).Active {
					t.Errorf("%v, up to %s: introspection says that token %d is active", order, cutoff, i)
				}
			}
			g.wantNothingPassed(t, "a token of before a cutoff")
			g.wantPasses(t, "prod", alive)
			if !g.introspect(t, asker, alive).Active {
				t.Errorf("%v, up to %s: introspection says that a token of after it is not active", order, cutoff)
			}
		}
	}
}
