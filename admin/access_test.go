package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// Whoever adds a call says who may make it.
func TestEachRouteSaysWhoMayCall(t *testing.T) {
	t.Parallel()
	ready := map[string]map[string]call{readyPath: {http.MethodGet: nil}, exportPath: {http.MethodGet: nil}}
	for _, routes := range []map[string]map[string]call{routes, tokenRoutes, ready} {
		for path, calls := range routes {
			for method := range calls {
				needed := needs[path][method]
				if needed == needsEntry {
					t.Errorf("%s %s has no entry in needs: nobody may call it in the console", method, path)
				}
				if method != http.MethodGet && (needed == needsUser || needed == needsMember) {
					t.Errorf("%s %s: a viewer may make a change", method, path)
				}
				ofDeployment := strings.Contains(path, "{deployment}")
				if ofDeployment && needed == needsUser || !ofDeployment && (needed == needsMember || needed == needsRoleAdmin) {
					t.Errorf("%s %s: a role is one in a Deployment", method, path)
				}
			}
		}
	}
}

func TestRouteWithoutAnEntryIsForNobody(t *testing.T) {
	t.Parallel()
	root := Subject{User: "root", Administrator: true}
	for _, route := range [][2]string{{"/nowhere", "GET"}, {"/deployments", "PURGE"}, {"", ""}} {
		c := &callContext{r: httptest.NewRequest("GET", "/", nil), subject: &root}
		err := c.authorize(route[0], route[1])
		if status, _ := statusOf(err); err == nil || status != http.StatusForbidden {
			t.Errorf("%s %s: %v", route[1], route[0], err)
		}
	}
}

// limitedAPI is an API whose callers say who they are in a header. root is an administrator. dep1 has a
// viewer, an editor and an admin, called so, and a key; dep2 has none of them.
type limitedAPI struct {
	http.Handler
	key     string // of dep1
	refused []string
}

func newLimitedAPI(t *testing.T, configure func(*API)) *limitedAPI {
	t.Helper()
	limited := new(limitedAPI)
	var keys *keystore.Keystore
	limited.Handler = newAPI(t, func(api *API) {
		keys, _ = api.Keystore()
		api.Prefix = "/api"
		api.Caller = func(r *http.Request) keystore.Caller { return keystore.Caller{Name: r.Header.Get("User")} }
		api.Subject = func(r *http.Request) Subject {
			user := r.Header.Get("User")
			return Subject{User: user, Administrator: user == "root"}
		}
		api.Tokens = func() (TokenService, error) { return nil, errors.New("tokens of redis.internal:6379 are not there") }
		api.Refused = func(_ *http.Request, by keystore.Caller, deployment string, err error) {
			limited.refused = append(limited.refused, fmt.Sprintf("%s %s: %v", by.Name, deployment, err))
		}
		if configure != nil {
			configure(api)
		}
	})
	by := keystore.Caller{Name: "test"}
	for _, id := range []string{"dep1", "dep2"} {
		if _, err := keys.CreateDeployment(t.Context(), by, keystore.Deployment{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range []keystore.Role{keystore.RoleViewer, keystore.RoleEditor, keystore.RoleAdmin} {
		if _, err := keys.PutMember(t.Context(), by, "dep1", string(role), role); err != nil {
			t.Fatal(err)
		}
	}
	key, _, err := keys.CreateKey(t.Context(), by, keystore.Key{DeploymentID: "dep1", Name: "k"})
	if err != nil {
		t.Fatal(err)
	}
	limited.key = key.ID
	return limited
}

func (l *limitedAPI) call(user, method, path, body string) *httptest.ResponseRecorder {
	r := apiRequest(method, "/api"+path, "application/json", body)
	r.Header.Set("User", user)
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w
}

// everyCall is each call of the API that can be about dep1, and who may make it there besides root.
var everyCall = []struct {
	method, path, body string
	may                string
}{
	{"GET", "/deployments/DEP", "", "viewer editor admin"},
	{"GET", "/deployments/DEP/keys", "", "viewer editor admin"},
	{"GET", "/deployments/DEP/keys/KEY", "", "viewer editor admin"},
	{"HEAD", "/deployments/DEP/keys/KEY", "", "viewer editor admin"},
	{"GET", "/deployments/DEP/members", "", "admin"},
	{"PATCH", "/deployments/DEP", `{"description":"x"}`, "admin"},
	{"POST", "/deployments/DEP/keys", `{"name":"x"}`, "admin"},
	{"PATCH", "/deployments/DEP/keys/KEY", `{"name":"x"}`, "admin"},
	{"POST", "/deployments/DEP/keys/KEY/rotate", "", "admin"},
	{"POST", "/deployments/DEP/keys/KEY/revoke_tokens", "", "admin"},
	{"POST", "/deployments/DEP/revoke_tokens", "", "admin"},
	{"PUT", "/deployments/DEP/members/zoe", `{"role":"viewer"}`, "admin"},
	{"DELETE", "/deployments/DEP/members/zoe", "", "admin"},
	{"DELETE", "/deployments/DEP/keys/KEY/previous_secret", "", "admin"},
	{"DELETE", "/deployments/DEP/keys/KEY", "", "admin"},
	{"DELETE", "/deployments/DEP", "", ""},

	{"POST", "/deployments", `{"name":"x"}`, ""},
	{"GET", "/signing_keys", "", ""},
	{"POST", "/signing_keys/rotate", "", ""},
	{"POST", "/tokens/introspect", `{"token":"x"}`, ""},
	{"POST", "/tokens/explain", `{"token":"x"}`, ""},
	{"POST", "/tokens/revoke", `{"token":"x"}`, ""},
	{"POST", "/tokens/revoke_all", "", ""},
}

func TestEachRoleMayDoItsOwn(t *testing.T) {
	t.Parallel()
	for _, test := range everyCall {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			t.Parallel()
			for _, user := range []string{"viewer", "editor", "admin", "root"} {
				l := newLimitedAPI(t, nil)
				w := l.call(user, test.method, l.path(test.path, "dep1"), test.body)
				allowed := user == "root" || slices.Contains(strings.Fields(test.may), user)
				if (w.Code == http.StatusForbidden) == allowed {
					t.Errorf("%s is answered %d %s", user, w.Code, w.Body)
				}
				if allowed == (len(l.refused) != 0) {
					t.Errorf("Refused was told %q about %s", l.refused, user)
				}
				if w.Code == http.StatusForbidden && !strings.Contains(w.Body.String(), "this needs ") {
					t.Errorf("%s is not told what it needs: %s", user, w.Body)
				}
			}
		})
	}
}

func (l *limitedAPI) path(path, deployment string) string {
	return strings.NewReplacer("DEP", deployment, "KEY", l.key).Replace(path)
}

// One who is no member cannot tell a Deployment that is there from one that is not.
func TestDeploymentOfOthersIsAsOneThatIsNot(t *testing.T) {
	t.Parallel()
	l := newLimitedAPI(t, nil)
	for _, test := range everyCall {
		if !strings.Contains(test.path, "DEP") {
			continue
		}
		for _, user := range []string{"admin", "nobody", "", "root2"} {
			there := l.call(user, test.method, l.path(test.path, "dep2"), test.body)
			not := l.call(user, test.method, l.path(test.path, "dep9"), test.body)
			want := strings.ReplaceAll(there.Body.String(), "dep2", "dep9")
			if there.Code != http.StatusNotFound || not.Code != http.StatusNotFound || want != not.Body.String() {
				t.Errorf("%s %s by %q: %d %s, and %d %s where there is none", test.method, test.path, user, there.Code, there.Body, not.Code, not.Body)
			}
		}
	}
	// And it says what an administrator hears of one that is not.
	if mine, theirs := l.call("admin", "GET", "/deployments/dep2", ""), l.call("root", "GET", "/deployments/dep9", ""); strings.ReplaceAll(mine.Body.String(), "dep2", "dep9") != theirs.Body.String() {
		t.Errorf("%s and %s", mine.Body, theirs.Body)
	}
	if len(l.refused) != 0 {
		t.Errorf("Refused was told %q", l.refused)
	}
	// A key of one Deployment is not to be had by way of another.
	if w := l.call("root", "DELETE", "/deployments/dep2/keys/"+l.key, ""); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestDeploymentsAreListedWithTheRole(t *testing.T) {
	t.Parallel()
	l := newLimitedAPI(t, nil)
	for user, want := range map[string]string{
		"viewer": "[{dep1 viewer 1}]", "editor": "[{dep1 editor 1}]", "admin": "[{dep1 admin 1}]", "nobody": "[]",
		"root": "[{dep1 admin 1} {dep2 admin 0}]",
	} {
		var got struct {
			Deployments []struct {
				ID, Role string
				KeyCount int `json:"key_count"`
			}
		}
		w := l.call(user, "GET", "/deployments", "")
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Deployments == nil || fmt.Sprint(got.Deployments) != want {
			t.Errorf("%s: %d %s", user, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/deployments?limit=0", "/deployments?cursor=!", "/deployments?search=x"} {
		if w := l.call("viewer", "GET", path, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for user, role := range map[string]string{"viewer": "viewer", "admin": "admin", "root": "admin"} {
		if w := l.call(user, "GET", "/deployments/dep1", ""); !strings.Contains(w.Body.String(), `"role":"`+role+`"`) {
			t.Errorf("%s: %s", user, w.Body)
		}
	}
	if w := l.call("admin", "PATCH", "/deployments/dep1", `{"name":"y"}`); !strings.Contains(w.Body.String(), `"role":"admin"`) {
		t.Errorf("%s", w.Body)
	}
	made := l.call("root", "POST", "/deployments", `{"id":"dep3","name":"x"}`)
	if made.Header().Get("Location") != "/api/deployments/dep3" || !strings.Contains(made.Body.String(), `"role":"admin"`) {
		t.Errorf("%v %s", made.Header(), made.Body)
	}
}

// A role counts as it is at the moment of the call.
func TestRoleCountsAtOnce(t *testing.T) {
	t.Parallel()
	l := newLimitedAPI(t, nil)
	create := func() int { return l.call("editor", "POST", "/deployments/dep1/keys", `{"name":"x"}`).Code }
	for _, step := range []struct {
		role string
		want int
	}{{"admin", 201}, {"viewer", 403}, {"admin", 201}, {"", 404}} {
		if step.role == "" {
			l.call("root", "DELETE", "/deployments/dep1/members/editor", "")
		} else {
			l.call("root", "PUT", "/deployments/dep1/members/editor", `{"role":"`+step.role+`"}`)
		}
		if got := create(); got != step.want {
			t.Errorf("as %q: %d, want %d", step.role, got, step.want)
		}
	}
}

func TestUserMayBeCalledAnything(t *testing.T) {
	t.Parallel()
	l := newLimitedAPI(t, nil)
	for segment, user := range map[string]string{
		"a%2Fb": "a/b", "..%2f..": "../..", "%2e%2e": "..", ".hidden": ".hidden", "%25": "%", "a%20b": "a b", "%C3%BC": "ü", "a%3Fb%23c": "a?b#c",
		"alice@example.com": "alice@example.com", "%3Cscript%3E": "<script>", "%22%27%26": `"'&`, "...": "...", "a+b": "a+b", "%5C": `\`, "a%2F%2Fb": "a//b",
	} {
		if w := l.call("admin", "PUT", "/deployments/dep1/members/"+segment, `{"role":"viewer"}`); w.Code != 200 {
			t.Errorf("PUT of %q: %d %s", user, w.Code, w.Body)
			continue
		}
		if w := l.call(user, "GET", "/deployments", ""); !strings.Contains(w.Body.String(), `"role":"viewer"`) {
			t.Errorf("%q is no member: %s", user, w.Body)
		}
		if w := l.call("admin", "DELETE", "/deployments/dep1/members/"+segment, ""); w.Code != 204 {
			t.Errorf("DELETE of %q: %d %s", user, w.Code, w.Body)
		}
		if w := l.call(user, "GET", "/deployments/dep1", ""); w.Code != 404 {
			t.Errorf("%q is still a member: %s", user, w.Body)
		}
	}
}

// How the gateway is built is not for everybody.
func TestFaultIsToldToAdministrators(t *testing.T) {
	t.Parallel()
	l := newLimitedAPI(t, nil)
	w := l.call("root", "POST", "/signing_keys/rotate", "")
	if w.Code != 503 || !strings.Contains(w.Body.String(), "redis.internal") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	outage := fmt.Errorf("%w: dial redis.internal:6379", keystore.ErrUnavailable)
	c := &callContext{subject: &Subject{User: "viewer"}}
	if status, text := statusOf(c.tellable(outage)); status != 503 || strings.Contains(text, "redis") {
		t.Errorf("%d %s", status, text)
	}
	for _, err := range []error{keystore.ErrAltered, keystore.ErrNotFound, forbidden("x")} {
		if !errors.Is(c.tellable(err), err) {
			t.Errorf("%v is told as %v", err, c.tellable(err))
		}
	}
	down := newAPI(t, func(api *API) {
		api.Keystore = func() (*keystore.Keystore, error) { return nil, outage }
		api.Subject = func(*http.Request) Subject { return Subject{User: "viewer"} }
	})
	if w := callAPI(t, down, "GET", "/deployments", ""); w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "redis") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestPathSpellings(t *testing.T) {
	t.Parallel()
	l := newLimitedAPI(t, nil)
	for _, path := range []string{
		"//deployments", "/deployments//dep1", "/deployments/../deployments/dep1", "/deployments/./dep1", "/deployments/dep2/../dep1",
		"/deployments/dep1/", "/deployments/dep1/..", "/DEPLOYMENTS/dep1", "/deployments/dep2/%2e%2e/dep1", "/deployments/dep2%2f..%2fdep1",
		"/deployments/DEP1", "/deployments/dep1%00", "/deployments/dep1/members/.", "/deployments/dep1/members/..", "/deployments/%64ep2", "/deployments/dep1;x/keys", "/%64eployments/dep2",
	} {
		if w := l.call("viewer", "GET", path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	// Encoded otherwise, it is the same Deployment to who decides as to who answers.
	if w := l.call("viewer", "GET", "/deployments/%64ep1", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"dep1"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestReadinessIsForAdministrators(t *testing.T) {
	t.Parallel()
	l := newLimitedAPI(t, func(api *API) {
		api.Ready = func(context.Context) (time.Duration, bool, error) { return time.Second, true, nil }
	})
	if w := l.call("root", "GET", readyPath, ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := l.call("admin", "GET", readyPath, ""); w.Code != 403 || !slices.Equal(l.refused, []string{"admin : this needs an administrator of the gateway"}) {
		t.Errorf("%d %s, told %q", w.Code, w.Body, l.refused)
	}
}

// Whoever holds the body back must not make a change with a role that was taken from them meanwhile.
func TestRoleThatIsTakenWhileTheBodyIsHeldBack(t *testing.T) {
	t.Parallel()
	l := newLimitedAPI(t, nil)
	body, client := io.Pipe()
	r := httptest.NewRequest(http.MethodPut, "/api/deployments/dep1/members/mallory", body)
	r.Header.Set("User", "admin")
	r.Header.Set("Content-Type", "application/json")
	answered := make(chan int, 1)
	go func() {
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		answered <- w.Code
	}()
	write := func(text string) {
		t.Helper()
		if _, err := io.WriteString(client, text); err != nil { // returns when it was read
			t.Fatal(err)
		}
	}
	write("{")
	if w := l.call("root", http.MethodDelete, "/deployments/dep1/members/admin", ""); w.Code != http.StatusNoContent {
		t.Fatal(w.Code, w.Body)
	}
	write(`"role":"admin"}`)
	client.Close()
	if code := <-answered; code != http.StatusNotFound {
		t.Errorf("status %d", code)
	}
	if w := l.call("root", http.MethodGet, "/deployments/dep1/members", ""); strings.Contains(w.Body.String(), "mallory") {
		t.Errorf("the members are %s", w.Body)
	}
}
