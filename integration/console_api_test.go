package integration

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// forged are the calls that change something, as somebody would send them whose page has no button for it.
var forged = []struct {
	method, path string
	body         any
	may          string // the roles that may, besides administrators
}{
	{"PATCH", "/deployments/DEP", map[string]string{"name": "forged"}, "admin"},
	{"POST", "/deployments/DEP/keys", map[string]string{"name": "forged"}, "admin"},
	{"PATCH", "/deployments/DEP/keys/KEY", map[string]string{"name": "forged"}, "admin"},
	{"POST", "/deployments/DEP/keys/KEY/rotate", nil, "admin"},
	{"POST", "/deployments/DEP/keys/KEY/revoke_tokens", nil, "admin"},
	{"POST", "/deployments/DEP/revoke_tokens", nil, "admin"},
	{"PUT", "/deployments/DEP/members/forged", map[string]string{"role": "admin"}, "admin"},
	{"DELETE", "/deployments/DEP/members/admin", nil, "admin"},
	{"DELETE", "/deployments/DEP/keys/KEY/previous_secret", nil, "admin"},
	{"DELETE", "/deployments/DEP/keys/KEY", nil, "admin"},
	{"DELETE", "/deployments/DEP", nil, ""},
	{"POST", "/deployments", map[string]string{"name": "forged"}, ""},
	{"POST", "/signing_keys/rotate", nil, ""},
	{"POST", "/tokens/revoke_all", nil, ""},
	{"POST", "/tokens/revoke", map[string]string{"token": "x"}, ""},
	{"POST", "/tokens/introspect", map[string]string{"token": "x"}, ""},
	{"POST", "/tokens/explain", map[string]string{"token": "x"}, ""},
}

func TestConsoleRefusesWhatARoleMayNot(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		c := startConsole(t, s, "deployment_token")
		k := c.newKey(t, "dep1")
		path := func(path, deployment string) string {
			return strings.NewReplacer("DEP", deployment, "KEY", k.ID).Replace(path)
		}
		before := string(call(t, http.MethodGet, c.Admin("/deployments/dep1/keys/"+k.ID), nil).Want(http.StatusOK).Body)
		for _, f := range forged {
			for _, user := range []string{"viewer", "editor", "admin"} {
				if slices.Contains(strings.Fields(f.may), user) {
					continue
				}
				said := wantReason(t, c.as(t, user, f.method, path(f.path, "dep1"), f.body), http.StatusForbidden)
				if needs := map[bool]string{true: "the role admin in Deployment dep1; yours is " + user, false: "an administrator"}[f.may != ""]; !strings.Contains(said, needs) {
					t.Errorf("%s %s as %s says %q, want it to say %q", f.method, f.path, user, said, needs)
				}
			}
			if !strings.Contains(f.path, "DEP") {
				wantReason(t, c.as(t, "nobody", f.method, f.path, f.body), http.StatusForbidden)
				continue
			}
			// To others it is as if there were no such Deployment, whatever they are elsewhere.
			for _, user := range []string{"other", "nobody"} {
				there := wantReason(t, c.as(t, user, f.method, path(f.path, "dep1"), f.body), http.StatusNotFound)
				not := wantReason(t, c.as(t, user, f.method, path(f.path, "dep9"), f.body), http.StatusNotFound)
				if strings.ReplaceAll(there, "dep1", "dep9") != not {
					t.Errorf("%s %s as %s: %q, and %q where there is none", f.method, f.path, user, there, not)
				}
			}
		}
		if after := string(call(t, http.MethodGet, c.Admin("/deployments/dep1/keys/"+k.ID), nil).Want(http.StatusOK).Body); after != before {
			t.Errorf("the key was %s, and is %s", before, after)
		}
		c.token(t, k)
		var left struct{ Deployments, Keys, Members []map[string]any }
		call(t, http.MethodGet, c.Admin("/deployments"), nil).Want(http.StatusOK).JSON(&left)
		call(t, http.MethodGet, c.Admin("/deployments/dep1/keys"), nil).Want(http.StatusOK).JSON(&left)
		call(t, http.MethodGet, c.Admin("/deployments/dep1/members"), nil).Want(http.StatusOK).JSON(&left)
		if len(left.Deployments) != 2 || len(left.Keys) != 1 || len(left.Members) != 3 {
			t.Errorf("after all that was refused there are %v", left)
		}
		// The same calls are good ones: who may make them can.
		for _, f := range forged {
			if f.may == "admin" && f.path != "/deployments/DEP/members/admin" && !strings.HasSuffix(f.path, "previous_secret") {
				c.as(t, "admin", f.method, path(f.path, "dep1"), f.body).Want(http.StatusOK, http.StatusCreated, http.StatusNoContent)
			}
		}
		c.as(t, "root", http.MethodPost, "/tokens/revoke_all", nil).Want(http.StatusNoContent)
		c.as(t, "root", http.MethodDelete, "/deployments/dep1", nil).Want(http.StatusNoContent)
	})
}

func TestConsoleShowsWhatARoleMaySee(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		c := startConsole(t, s, "")
		type list struct {
			Deployments []struct {
				ID, Role string
				KeyCount int `json:"key_count"`
			}
		}
		var made key
		c.as(t, "admin", http.MethodPost, "/deployments/dep1/keys", map[string]string{"name": "CI"}).Want(http.StatusCreated).JSON(&made)
		if made.CreatedBy != "admin" || made.Secret == "" {
			t.Errorf("made %+v", made)
		}
		for user, want := range map[string]string{
			"viewer": "[{dep1 viewer 1}]", "editor": "[{dep1 editor 1}]", "admin": "[{dep1 admin 1}]", "other": "[{dep2 admin 0}]", "nobody": "[]",
			"root": "[{dep1 admin 1} {dep2 admin 0}]",
		} {
			var got list
			c.as(t, user, http.MethodGet, "/deployments", nil).Want(http.StatusOK).JSON(&got)
			if fmt.Sprint(got.Deployments) != want {
				t.Errorf("%s sees %v, want %s", user, got.Deployments, want)
			}
		}
		for _, user := range []string{"viewer", "editor", "admin", "root"} {
			for _, path := range []string{"/deployments/dep1", "/deployments/dep1/keys", "/deployments/dep1/keys/" + made.ID} {
				answer := c.as(t, user, http.MethodGet, path, nil).Want(http.StatusOK)
				if strings.Contains(string(answer.Body), made.Secret) || strings.Contains(string(answer.Body), "secret") {
					t.Errorf("%s of %s has the secret in it", path, user)
				}
			}
		}
		for user, status := range map[string]int{"viewer": 403, "editor": 403, "admin": 200, "root": 200, "other": 404, "nobody": 404} {
			c.as(t, user, http.MethodGet, "/deployments/dep1/members", nil).Want(status)
		}
		var mine struct {
			User          string
			Administrator bool
			TokenEndpoint string `json:"token_endpoint"`
		}
		c.as(t, "root", http.MethodGet, "/me", nil).Want(http.StatusOK).JSON(&mine)
		if mine.User != "root" || !mine.Administrator || mine.TokenEndpoint != c.URL(c.port, "/token") {
			t.Errorf("%+v", mine)
		}
		// What it answers says where it is, there as well.
		created := c.as(t, "root", http.MethodPost, "/deployments", map[string]string{"id": "dep3", "name": "x"}).Want(http.StatusCreated)
		if location := created.Header.Get("Location"); location != "/api/deployments/dep3" {
			t.Errorf("Location %q", location)
		}
		// Nothing without a password, but what basic_auth says.
		for _, path := range []string{"/", "/deployments", "/api/me", "/api/deployments", "/assets/x/console.css"} {
			if answer := call(t, http.MethodGet, c.URL(c.port, path), nil); answer.Status != http.StatusUnauthorized {
				t.Errorf("%s without a password: %d", path, answer.Status)
			}
		}
	})
}

// A role that was given or taken counts with the next call, on the other node too.
func TestConsoleRoleCountsAtOnceOnAllNodes(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a := startConsole(t, s, "")
	b := consoleBeside(t, s, "")
	create := func(c consoleSite) int {
		return c.as(t, "editor", http.MethodPost, "/deployments/dep1/keys", map[string]string{"name": "x"}).Status
	}
	for range scaled(20, 200) {
		for _, step := range []struct {
			role string
			want int
		}{{"admin", 201}, {"viewer", 403}, {"admin", 201}, {"", 404}} {
			if step.role == "" {
				a.as(t, "admin", http.MethodDelete, "/deployments/dep1/members/editor", nil).Want(http.StatusNoContent)
			} else {
				a.as(t, "admin", http.MethodPut, "/deployments/dep1/members/editor", map[string]string{"role": step.role}).Want(http.StatusOK)
			}
			// Not a moment later.
			if got := create(b); got != step.want {
				t.Fatalf("as %q on the other node: %d, want %d", step.role, got, step.want)
			}
			if got := create(a); got != step.want {
				t.Fatalf("as %q: %d, want %d", step.role, got, step.want)
			}
		}
	}
	// One who has lost the role cannot give it back to themselves.
	a.as(t, "root", http.MethodDelete, "/deployments/dep1/members/admin", nil).Want(http.StatusNoContent)
	b.as(t, "admin", http.MethodPut, "/deployments/dep1/members/admin", map[string]string{"role": "admin"}).Want(http.StatusNotFound)
}

func TestConsoleKnowsUsersByAnyName(t *testing.T) {
	t.Parallel()
	c := startConsole(t, embedded(t), "")
	for _, user := range []string{"a/b", "../../dep2", "a b", "ü", "%2e%2e", "<script>alert(1)</script>", `"'&\`, "a?b#c", ".x", "a;b", "admin@example.com", "a//b", "+"} {
		path := "/deployments/dep1/members/" + url.PathEscape(user)
		var put struct{ User, Role string }
		c.as(t, "admin", http.MethodPut, path, map[string]string{"role": "viewer"}).Want(http.StatusOK).JSON(&put)
		if put.User != user {
			t.Errorf("put %q, got %q", user, put.User)
		}
		c.as(t, "admin", http.MethodDelete, path, nil).Want(http.StatusNoContent)
	}
}

// What comes over the wire as it stands is read once: what is authorized is what is answered.
func TestConsolePathsHaveOneReading(t *testing.T) {
	t.Parallel()
	c := startConsole(t, embedded(t), "")
	login := base64.StdEncoding.EncodeToString([]byte("viewer:" + password))
	for _, path := range []string{
		"/api//deployments/dep2", "//api/deployments/dep2", "/api/../api/deployments/dep2", "/api/./deployments/dep2", "/api/%2e/deployments/dep2",
		"/api/%2e%2e/api/deployments/dep2", "/api/deployments/dep1/../dep2", "/api/deployments/dep1/%2e%2e/dep2", "/api/deployments/dep1%2f..%2fdep2",
		"/api/deployments/%64ep2", "/%61pi/deployments/dep2", "/api/deployments/dep2/", "/api/deployments/DEP2", "/api/deployments/dep2%00",
		`/api/deployments\dep2`, "/api/deployments/dep1;/../dep2", "/api/deployments/dep1/keys/../../dep2", "/API/deployments/dep2",
		"http://evil.example.net/api/deployments/dep2", "/api/deployments/-/../dep2",
	} {
		for _, method := range []string{"GET", "DELETE"} {
			answer := gatewaytest.Raw(t, c.port, method+" "+path+" HTTP/1.1\nHost: x\nAuthorization: Basic "+login+
				"\nSec-Fetch-Site: same-origin\nX-Requested-With: deployment-console\nConnection: close\n\n")
			if answer.Status < 400 {
				t.Errorf("%s %s: %d %s", method, path, answer.Status, answer.Body)
			}
		}
	}
	call(t, http.MethodGet, c.Admin("/deployments/dep2"), nil).Want(http.StatusOK)
}

// Users get their personal token on the console's site, with deployment_token there or without.
func TestConsoleServesThePersonalToken(t *testing.T) {
	t.Parallel()
	for name, directives := range map[string]string{"alone": "", "with deployment_token": "deployment_token"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startConsole(t, embedded(t), directives)
			target := c.URL(c.port, "/token")
			for who, options := range map[string][]requestOption{
				"a page of the console": {header("Origin", c.URL(c.port, "")), header("Sec-Fetch-Site", "same-origin"), header("X-Requested-With", "deployment-console")},
				"curl":                  nil,
			} {
				var got grant
				answer := call(t, http.MethodPost, target, nil, append(options, basic("viewer", password))...).Want(http.StatusOK)
				answer.JSON(&got)
				if claims := claimsOf(t, got.AccessToken); claims["sub"] != "viewer" || answer.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s gets %v", who, claims)
				}
				// A token is no password, and signs nobody in.
				for _, path := range []string{"/token", "/api/me"} {
					call(t, http.MethodPost, c.URL(c.port, path), nil, bearer(got.AccessToken)).Want(http.StatusUnauthorized)
				}
			}
			for who, headers := range map[string][]requestOption{
				"another site":              {header("Origin", "https://evil.example.net"), header("Sec-Fetch-Site", "cross-site")},
				"another site, old browser": {header("Origin", "https://evil.example.net")},
				"a sandboxed page":          {header("Origin", "null")},
			} {
				answer := call(t, http.MethodPost, target, nil, append(headers, basic("viewer", password))...)
				if answer.Status != http.StatusForbidden || strings.Contains(string(answer.Body), "access_token") {
					t.Errorf("%s: %d %s", who, answer.Status, answer.Body)
				}
			}
			if page := c.page(t, "viewer", "/token").Want(http.StatusOK); !strings.Contains(string(page.Body), "<html") {
				t.Errorf("GET /token: %s", page.Body)
			}
		})
	}
}
