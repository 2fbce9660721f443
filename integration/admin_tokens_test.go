package integration

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// signingKey is what the admin API answers for a signing key.
type signingKey struct {
	Kid         string
	Algorithm   string
	State       string
	CreatedAt   time.Time `json:"created_at"`
	SignsFrom   time.Time `json:"signs_from"`
	RetiredAt   time.Time `json:"retired_at"`
	RemovedFrom time.Time `json:"removed_from"`
}

func (s *site) signingKeys(t *testing.T) []signingKey {
	t.Helper()
	var list struct{ Keys []signingKey }
	call(t, http.MethodGet, s.Admin("/signing_keys"), nil).Want(http.StatusOK).JSON(&list)
	return list.Keys
}

// published are the kids of the key set that resource servers read.
func (s *site) published(t *testing.T) []string {
	t.Helper()
	var set struct{ Keys []struct{ Kid string } }
	call(t, http.MethodGet, s.URL(s.port, "/.well-known/jwks.json"), nil).Want(http.StatusOK).JSON(&set)
	var kids []string
	for _, key := range set.Keys {
		kids = append(kids, key.Kid)
	}
	slices.Sort(kids)
	return kids
}

// kidOf is the signing key that a token names.
func kidOf(t *testing.T, token string) string {
	t.Helper()
	encoded, _, _ := strings.Cut(token, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	var header struct{ Kid string }
	if err == nil {
		err = json.Unmarshal(decoded, &header)
	}
	if err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

// post is a call of the admin API as `curl -X POST` makes it: without a body and a type of one.
func (s *site) post(t *testing.T, path string) reply {
	t.Helper()
	return call(t, http.MethodPost, s.Admin(path), nil)
}

// wantRevoked holds that a token is refused, with the reason.
func (s *site) wantRevoked(t *testing.T, deployment, token, reason string) {
	t.Helper()
	refused := wantRefusal(t, s.get(t, deployment, token), http.StatusUnauthorized, "invalid_token")
	if !strings.Contains(refused.Description, reason) {
		t.Errorf("the refusal says %q, want %q", refused.Description, reason)
	}
}

func TestSigningKeyIsRotated(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1")
		before := g.token(t, k)
		present := kidOf(t, before)

		var announced signingKey
		g.post(t, "/signing_keys/rotate").Want(http.StatusCreated).JSON(&announced)
		if announced.State != "announced" || announced.Algorithm != "ES256" || announced.Kid == present ||
			announced.SignsFrom.Sub(announced.CreatedAt) != 70*time.Minute || time.Until(announced.SignsFrom) < time.Hour {
			t.Errorf("the key is %+v, want one that is announced and signs in 70 minutes", announced)
		}
		want := []string{present, announced.Kid}
		slices.Sort(want)
		if kids := g.published(t); !slices.Equal(kids, want) {
			t.Errorf("the key set has %q, want the keys %q", kids, want)
		}
		after := g.token(t, k)
		if kid := kidOf(t, after); kid != present {
			t.Errorf("a token is signed with %s, want the key before, %s", kid, present)
		}
		wantError(t, g.post(t, "/signing_keys/rotate"), http.StatusConflict, announced.Kid)

		keys := g.signingKeys(t)
		if len(keys) != 2 || keys[0].Kid != present || keys[0].State != "signing" || keys[1] != announced {
			t.Errorf("the signing keys are %+v, want the one that signs and then the one that is announced", keys)
		}
		for _, key := range keys {
			if !key.RetiredAt.IsZero() || !key.RemovedFrom.IsZero() {
				t.Errorf("the signing key %+v is retired", key)
			}
		}
		for _, token := range []string{before, after} {
			g.get(t, "dep1", token).Want(http.StatusOK)
		}
	})
}

func TestAdminIntrospectsAndRevokesAnyToken(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		port := freePort(t)
		g := &site{startGateway(t, loud(tourCaddyfile(port, s)), withEnv(s.env...)), port}
		l := newLeaks()
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1", "airflow:read")
		token, alive := g.token(t, k), g.token(t, k)
		l.secret("a token", token)
		introspect := func(token string) map[string]any {
			t.Helper()
			var answer map[string]any
			reply := call(t, http.MethodPost, g.Admin("/tokens/introspect"), map[string]string{"token": token}).Want(http.StatusOK)
			l.keep("introspect", reply)
			reply.JSON(&answer)
			return answer
		}
		claims := claimsOf(t, token)
		answer := introspect(token)
		for name, want := range map[string]any{
			"active": true, "scope": "airflow:read", "client_id": k.ID, "sub": k.ID, "token_type": "Bearer", "deployment_id": "dep1",
			"iss": "https://auth.example.com", "aud": "astronomer-ee", "exp": claims["exp"], "iat": claims["iat"], "jti": claims["jti"],
		} {
			if answer[name] != want {
				t.Errorf("introspection: %s is %v, want %v", name, answer[name], want)
			}
		}

		revoke := func(token string) reply {
			t.Helper()
			return l.keep("revoke", call(t, http.MethodPost, g.Admin("/tokens/revoke"), map[string]string{"token": token}))
		}
		revoke(token).Want(http.StatusNoContent)
		g.wantRevoked(t, "dep1", token, "revoked")
		if answer := introspect(token); len(answer) != 1 || answer["active"] != false {
			t.Errorf("introspection of a revoked token: %v", answer)
		}
		revoke(token).Want(http.StatusNoContent)
		g.get(t, "dep1", alive).Want(http.StatusOK)
		for name, junk := range map[string]string{"junk": "junk", "a forged one": alive[:len(alive)-4] + "AAAA", "a secret": k.Secret} {
			wantError(t, revoke(junk), http.StatusNotFound, "not a valid access token of this gateway")
			if answer := introspect(junk); len(answer) != 1 || answer["active"] != false {
				t.Errorf("introspection of %s: %v", name, answer)
			}
		}
		for _, body := range []string{`{"token":"` + token, `{"token":["` + token + `"]}`, `{"token":"` + token + `","deployment":"` + token + `"}`} {
			for _, path := range []string{"/tokens/introspect", "/tokens/revoke", "/tokens/explain"} {
				l.keep(path, call(t, http.MethodPost, g.Admin(path), body, asJSON).Want(http.StatusBadRequest))
			}
		}
		l.place("the log", g.Logs())
		l.check(t)
	})
}
