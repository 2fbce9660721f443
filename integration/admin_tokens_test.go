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

func TestSigningKeysAreReplaced(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1")
		leaked := g.token(t, k)
		g.post(t, "/signing_keys/rotate").Want(http.StatusCreated)

		var replaced signingKey
		call(t, http.MethodPost, g.Admin("/signing_keys/rotate"), map[string]bool{"replace": true}).
			Want(http.StatusCreated).JSON(&replaced)
		if replaced.State != "signing" || time.Until(replaced.SignsFrom) > time.Second {
			t.Errorf("the key is %+v, want one that signs", replaced)
		}
		g.wantRevoked(t, "dep1", leaked, "not a valid access token")
		if kids := g.published(t); !slices.Equal(kids, []string{replaced.Kid}) {
			t.Errorf("the key set has %q, want %q alone", kids, replaced.Kid)
		}
		if keys := g.signingKeys(t); len(keys) != 1 || keys[0] != replaced {
			t.Errorf("the signing keys are %+v, want %+v alone", keys, replaced)
		}
		token := g.token(t, k)
		if kid := kidOf(t, token); kid != replaced.Kid {
			t.Errorf("a token is signed with %s, want %s", kid, replaced.Kid)
		}
		g.get(t, "dep1", token).Want(http.StatusOK)
		g.Restart()
		g.get(t, "dep1", token).Want(http.StatusOK)
		g.wantRevoked(t, "dep1", leaked, "not a valid access token")
	})
}

// Many tokens are ended at once: those that were issued until then, and no others, within one second.
func TestTokensAreRevoked(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		g.newDeployment(t, "dep2")
		k, sibling, foreign := g.newKey(t, "dep1"), g.newKey(t, "dep1"), g.newKey(t, "dep2")
		own := "/deployments/dep1/keys/" + k.ID
		for _, test := range []struct {
			path, reason     string
			sibling, foreign bool // whether the tokens of these keys end too
		}{
			{own + "/revoke_tokens", "all access tokens of its key were revoked", false, false},
			{"/deployments/dep1/revoke_tokens", "all access tokens of the Deployment were revoked", true, false},
			{"/tokens/revoke_all", "all access tokens were revoked", true, true},
		} {
			token, siblingToken, foreignToken := g.token(t, k), g.token(t, sibling), g.token(t, foreign)
			for round := range 3 { // several times within one second
				if answer := g.post(t, test.path).Want(http.StatusNoContent); len(answer.Body) > 0 {
					t.Errorf("204 with the body %q", answer.Body)
				}
				g.wantRevoked(t, "dep1", token, test.reason)
				if token = g.token(t, k); g.get(t, "dep1", token).Status != http.StatusOK {
					t.Errorf("%s: a token of right after is refused in round %d", test.path, round)
				}
			}
			for _, other := range []struct {
				deployment, token string
				dead              bool
			}{{"dep1", siblingToken, test.sibling}, {"dep2", foreignToken, test.foreign}} {
				if other.dead {
					g.wantRevoked(t, other.deployment, other.token, test.reason)
				} else {
					g.get(t, other.deployment, other.token).Want(http.StatusOK)
				}
			}
		}
		for path, want := range map[string]bool{
			own: true, "/deployments/dep1": true, "/deployments/dep2": false,
			"/deployments/dep1/keys/" + sibling.ID: false, "/deployments/dep2/keys/" + foreign.ID: false,
		} {
			var shown map[string]any
			call(t, http.MethodGet, g.Admin(path), nil).Want(http.StatusOK).JSON(&shown)
			if _, has := shown["tokens_revoked_at"]; has != want {
				t.Errorf("%s has tokens_revoked_at: %t, want %t", path, has, want)
			}
		}
		// It lasts, and what lives goes on.
		token := g.token(t, k)
		g.post(t, own+"/revoke_tokens").Want(http.StatusNoContent)
		alive := g.token(t, k)
		g.Restart()
		g.wantRevoked(t, "dep1", token, "all access tokens of its key were revoked")
		g.get(t, "dep1", alive).Want(http.StatusOK)
	})
}

// Another gateway hears of each within a moment.
func TestTokensAreRevokedOnOtherNodes(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a, b := startSite(t, s), startSite(t, s)
	a.newDeployment(t, "dep1")
	k := a.newKey(t, "dep1")
	for _, path := range []string{
		"/deployments/dep1/keys/" + k.ID + "/revoke_tokens", "/deployments/dep1/revoke_tokens", "/tokens/revoke_all",
	} {
		token := a.token(t, k)
		b.get(t, "dep1", token).Want(http.StatusOK)
		begin := time.Now()
		a.post(t, path).Want(http.StatusNoContent)
		fresh := a.token(t, k)
		eventually(t, "the other node refuses the token", func() bool {
			return b.get(t, "dep1", token).Want(http.StatusOK, http.StatusUnauthorized).Status == http.StatusUnauthorized
		})
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s: the other node refused the token after %s", path, took)
		}
		b.get(t, "dep1", fresh).Want(http.StatusOK)
		eventually(t, "the other node issues tokens that are alive", func() bool {
			return a.get(t, "dep1", b.token(t, k)).Status == http.StatusOK
		})
	}
	token := a.token(t, k)
	b.get(t, "dep1", token).Want(http.StatusOK)
	call(t, http.MethodPost, a.Admin("/signing_keys/rotate"), map[string]bool{"replace": true}).Want(http.StatusCreated)
	eventually(t, "the other node refuses a token of the key that was replaced", func() bool {
		return b.get(t, "dep1", token).Want(http.StatusOK, http.StatusUnauthorized).Status == http.StatusUnauthorized
	})
	b.get(t, "dep1", a.token(t, k)).Want(http.StatusOK)
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

func TestAdminTokenRoutesAndTheirMethods(t *testing.T) {
	t.Parallel()
	g := startSite(t, embedded(t))
	for path, allow := range map[string]string{
		"/signing_keys":                          "GET, HEAD",
		"/signing_keys/rotate":                   "POST",
		"/tokens/introspect":                     "POST",
		"/tokens/revoke":                         "POST",
		"/tokens/revoke_all":                     "POST",
		"/tokens/explain":                        "POST",
		"/deployments/d/revoke_tokens":           "POST",
		"/deployments/d/keys/none/revoke_tokens": "POST",
	} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"} {
			if slices.Contains(strings.Split(allow, ", "), method) {
				continue
			}
			answer := call(t, method, g.Admin(path), nil)
			wantError(t, answer, http.StatusMethodNotAllowed, "one of: "+allow)
			if got := answer.Header.Get("Allow"); got != allow {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, got, allow)
			}
		}
	}
	for _, path := range []string{"/signing_keys/", "/signing_keys/x", "/tokens/", "/tokens/x"} {
		wantError(t, call(t, http.MethodPost, g.Admin(path), nil), http.StatusNotFound, "nothing at this path")
	}
	// What a form on a web page of somebody else could have a browser send, with a Caddy that trusts the host.
	for name, value := range map[string]string{"Origin": "https://evil.example.com", "Sec-Fetch-Mode": "no-cors"} {
		if status := call(t, http.MethodPost, g.Admin("/tokens/revoke_all"), nil, header(name, value)).Status; status != 403 && status != 400 {
			t.Errorf("a request with %s: %s is answered %d", name, value, status)
		}
	}
}
