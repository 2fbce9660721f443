package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// documentedBody is the body of the request that the product's documents have always told people to send, to the space.
const documentedBody = `{
            "client_id": "<api-key-id>",
            "client_secret": "<api-key-secret>",
            "audience": "astronomer-ee",
            "grant_type": "client_credentials"}`

func TestTokenByEachWayToSendCredentials(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1")
		if k.DeploymentID != "dep1" || k.CreatedBy != "admin" || strings.Join(k.Scopes, " ") != allScopes {
			t.Errorf("the key is %+v, want one of dep1 by admin with all scopes", k)
		}
		fill := strings.NewReplacer("<api-key-id>", k.ID, "<api-key-secret>", k.Secret)
		client := url.Values{"grant_type": {"client_credentials"}}
		tests := map[string]struct {
			body    any
			options []requestOption
			scope   string
		}{
			"documented JSON": {
				fill.Replace(documentedBody), []requestOption{header("content-type", "application/json")}, allScopes,
			},
			"form": {
				url.Values{"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret}},
				nil, allScopes,
			},
			"form with audience and scope": {
				url.Values{
					"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret},
					"audience": {"astronomer-ee"}, "scope": {"airflow:read"},
				}, nil, "airflow:read",
			},
			"Basic":                 {client, []requestOption{basic(k.ID, k.Secret)}, allScopes},
			"Basic, form-encoded":   {client, []requestOption{basic(escaped(k.ID), escaped(k.Secret))}, allScopes},
			"Basic, JSON parameter": {map[string]string{"grant_type": "client_credentials"}, []requestOption{basic(k.ID, k.Secret)}, allScopes},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				answer := call(t, http.MethodPost, g.URL(g.port, "/oauth/token"), test.body, test.options...).Want(http.StatusOK)
				if got := answer.Header.Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control is %q, want no-store", got)
				}
				var got grant
				answer.JSON(&got)
				if got.TokenType != "Bearer" || got.ExpiresIn != 86400 || got.Scope != test.scope {
					t.Errorf("the answer is %+v, want a Bearer token for 86400 s with %q", got, test.scope)
				}
				claims := claimsOf(t, got.AccessToken)
				for claim, want := range map[string]string{
					"iss": "https://auth.example.com", "aud": "astronomer-ee", "sub": k.ID, "client_id": k.ID,
					"deployment_id": "dep1", "scope": test.scope, "permissions": "[deploymentId:dep1]",
				} {
					if got := fmt.Sprint(claims[claim]); got != want {
						t.Errorf("the claim %s is %q, want %q", claim, got, want)
					}
				}
				body := g.get(t, "dep1", got.AccessToken).Want(http.StatusOK).Body
				if want := "dep1 " + k.ID + " " + test.scope; string(body) != want {
					t.Errorf("the identity is %q, want %q", body, want)
				}
			})
		}
	})
}

// escaped encodes each character, as RFC 6749 section 2.3.1 allows a client to.
func escaped(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// claimsOf reads what a token says, without verifying it.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("an access token with %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTokenIsGoodForItsDeploymentAndScopesAlone(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		g.newDeployment(t, "dep2")
		all, reader := g.newKey(t, "dep1"), g.newKey(t, "dep1", "airflow:read")
		tokens := map[string]string{"all": g.token(t, all), "reader": g.token(t, reader)}
		for _, test := range []struct {
			token, method, path string
			status              int
		}{
			{"all", "GET", "/dep1/api/v2/dags", 200},
			{"all", "HEAD", "/dep1/api/v2/dags", 200},
			{"all", "POST", "/dep1/api/v2/dags/x/dagRuns", 200},
			{"all", "POST", "/deploy/dep1/dags", 200},
			{"all", "TRACE", "/dep1/api/v2/dags", 403},
			{"all", "GET", "/dep2/api/v2/dags", 403},
			{"all", "GET", "/dep10/api/v2/dags", 403},
			{"all", "POST", "/deploy/dep2/dags", 403},
			{"all", "GET", "/elsewhere", 404},
			{"reader", "GET", "/dep1/api/v2/dags", 200},
			{"reader", "POST", "/dep1/api/v2/dags/x/dagRuns", 403},
			{"reader", "DELETE", "/dep1/api/v2/dags/x", 403},
			{"reader", "GET", "/deploy/dep1/dags", 403},
		} {
			t.Run(test.token+" "+test.method+" "+test.path, func(t *testing.T) {
				answer := call(t, test.method, g.URL(g.port, test.path), nil, bearer(tokens[test.token])).Want(test.status)
				if test.status == 403 {
					wantRefusal(t, answer, 403, "insufficient_scope")
				}
			})
		}
		// What a docker login sends, on the route that takes it.
		call(t, http.MethodGet, g.URL(g.port, "/deploy/dep1/image"), nil, basic(all.ID, all.Secret)).Want(http.StatusOK)
		call(t, http.MethodGet, g.URL(g.port, "/deploy/dep1/image"), nil, basic("cli", tokens["all"])).Want(http.StatusOK)
		call(t, http.MethodGet, g.URL(g.port, "/dep1/api/v2/dags"), nil, basic(all.ID, all.Secret)).Want(http.StatusUnauthorized)
	})
}

func TestDeletedDeploymentEndsItsKeysForGood(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		g.newDeployment(t, "dep2")
		k, neighbour := g.newKey(t, "dep1"), g.newKey(t, "dep2")
		token, neighbourToken := g.token(t, k), g.token(t, neighbour)
		g.get(t, "dep1", token).Want(http.StatusOK)
		wantDead := func() {
			t.Helper()
			wantRefusal(t, g.get(t, "dep1", token), http.StatusUnauthorized, "invalid_token")
			wantRefusal(t, g.askToken(t, k), http.StatusUnauthorized, "invalid_client")
		}

		g.deleteDeployment(t, "dep1")
		wantDead()
		g.newDeployment(t, "dep1") // somebody else's, perhaps
		wantDead()
		var deployment struct {
			KeyCount *int `json:"key_count"`
		}
		call(t, http.MethodGet, g.Admin("/deployments/dep1"), nil).Want(http.StatusOK).JSON(&deployment)
		if deployment.KeyCount == nil || *deployment.KeyCount != 0 {
			t.Errorf("the new Deployment has key_count %v, want 0", deployment.KeyCount)
		}
		g.get(t, "dep1", g.token(t, g.newKey(t, "dep1"))).Want(http.StatusOK)
		g.get(t, "dep2", neighbourToken).Want(http.StatusOK)
	})
}

func TestRestartAndCrashKeepKeysAndTokens(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k, gone := g.newKey(t, "dep1"), g.newKey(t, "dep1")
		tokens := []string{g.token(t, k)}
		goneToken := g.token(t, gone)
		g.deleteKey(t, gone)
		crash := func() {
			g.Kill()
			g.Start()
		}
		for name, again := range map[string]func(){"restart": g.Restart, "crash": crash} {
			t.Run(name, func(t *testing.T) {
				again()
				for _, token := range tokens {
					g.get(t, "dep1", token).Want(http.StatusOK)
				}
				tokens = append(tokens, g.token(t, k))
				wantRefusal(t, g.get(t, "dep1", goneToken), http.StatusUnauthorized, "invalid_token")
			})
		}
	})
}

func TestNodesThatStartAtOnceShareOneSigningKey(t *testing.T) {
	t.Parallel()
	for round := range 4 {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			s := onRedis(t)
			nodes := []*site{newSite(t, s), newSite(t, s), newSite(t, s)}
			errs := make([]error, len(nodes))
			var started sync.WaitGroup
			for i, node := range nodes {
				started.Go(func() { errs[i] = node.TryStart() })
			}
			started.Wait()
			var sets []string
			for i, node := range nodes {
				if errs[i] != nil {
					t.Fatal(errs[i])
				}
				answer := call(t, http.MethodGet, node.URL(node.port, "/.well-known/jwks.json"), nil).Want(http.StatusOK)
				var set struct {
					Keys []struct{ Kid, Alg, Use string }
				}
				answer.JSON(&set)
				if len(set.Keys) != 1 || set.Keys[0].Kid == "" || set.Keys[0].Alg != "ES256" || set.Keys[0].Use != "sig" {
					t.Errorf("a node has the signing keys %+v, want a single one", set.Keys)
				}
				sets = append(sets, string(answer.Body))
			}
			if len(slices.Compact(sets)) != 1 {
				t.Errorf("the nodes have different signing keys: %q", sets)
			}
			nodes[0].newDeployment(t, "dep1")
			nodes[2].get(t, "dep1", nodes[1].token(t, nodes[0].newKey(t, "dep1"))).Want(http.StatusOK)
		})
	}
}

func TestWhatWasWrittenIsInRedis(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	g := startSite(t, s)
	g.newDeployment(t, "dep1")
	k := g.newKey(t, "dep1")

	client := redis.NewClient(&redis.Options{Addr: s.redis.Addr()})
	defer client.Close()
	names, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"dep1", k.ID} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, part) }) {
			t.Errorf("no key of Redis is about %s: %q", part, names)
		}
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "{deployment_keys}") {
			t.Errorf("the key %q is not under the hash tag that all have to share", name)
		}
	}
}
