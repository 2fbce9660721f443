package airflow

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

func TestAirflowRoles(t *testing.T) {
	t.Parallel()
	const read, write, deploy = keystore.ScopeAirflowRead, keystore.ScopeAirflowWrite, keystore.ScopeDeploy
	type roles = map[keystore.Scopes]string
	for name, test := range map[string]struct {
		configured map[string]string
		want       roles
	}{
		"default":          {nil, roles{read: "VIEWER", write: "USER", read | write: "USER", deploy: "", read | deploy: "VIEWER"}},
		"one is changed":   {map[string]string{"airflow:write": "OP"}, roles{read: "VIEWER", write: "OP", read | write | deploy: "OP"}},
		"one more":         {map[string]string{"deploy": "ADMIN"}, roles{read: "VIEWER", deploy: "ADMIN", read | deploy: "ADMIN"}},
		"less for writers": {map[string]string{"airflow:read": "USER", "airflow:write": "VIEWER"}, roles{write: "VIEWER", read | write: "USER"}},
	} {
		h := new(Token)
		var err error
		if h.roles, err = rolesOf(test.configured); err != nil {
			t.Fatal(err)
		}
		for scopes, want := range test.want {
			if got, ok := h.roleOf(scopes); got != want || ok != (want != "") {
				t.Errorf("%s: %s gives %q, want %q", name, scopes, got, want)
			}
		}
	}
	for _, bad := range []map[string]string{{"airflow:read": "viewer"}, {"airflow:read": ""}, {"read": "VIEWER"}} {
		if _, err := rolesOf(bad); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

func TestAirflowTokenIsOfTheCaller(t *testing.T) {
	t.Parallel()
	h, app := newTestToken(t)
	var got *http.Request
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		got = r
		return nil
	})
	r := withReplacer(httptest.NewRequest(http.MethodGet, "/dep1/api/v2/dags", nil))
	r.Header.Set("Cookie", "_token=x")
	r.Header.Set("Connection", "Authorization")
	r.Header["x_forwarded_prefix"] = []string{"/x"}
	caddyhttp.SetVar(r.Context(), "deployment_keys.identity", &access.Identity{KeyID: "key1", DeploymentID: "dep1", Scopes: keystore.ScopeAirflowRead})
	if err := h.ServeHTTP(httptest.NewRecorder(), r, next); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Cookie", "Connection", "x_forwarded_prefix"} {
		if values, ok := got.Header[name]; ok {
			t.Errorf("Airflow gets %s: %q", name, values)
		}
	}
	raw := strings.TrimPrefix(got.Header.Get("Authorization"), "Bearer ")
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		Role     string `json:"role"`
		IssuedAt int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Issuer != testIssuer || claims.Subject != "key1" || claims.Audience != "airflow:dep1" || claims.Role != "VIEWER" ||
		claims.Expires-claims.IssuedAt != int64(defaultLifetime/time.Second) {
		t.Errorf("the claims are %+v", claims)
	}
	// The gateway takes it for nothing.
	if _, refused := app.authority.Verify(t.Context(), raw); refused == nil || refused.Code != access.CodeInvalidToken {
		t.Errorf("as an access token: %v", refused)
	}
}

func TestAirflowTokenIsForTheAPIAlone(t *testing.T) {
	t.Parallel()
	h, _ := newTestToken(t)
	for path, want := range map[string]int{
		"/dep1/api/v2/dags": 200, "/api/v2/dags": 200, "/dep2/api/v2/dags": 404, "/dep1/auth/token": 404, "/dep1/api/v2/auth/logout": 404,
	} {
		w := httptest.NewRecorder()
		err := h.ServeHTTP(w, ofDep1(http.MethodGet, path, nil), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusOK)
			return nil
		}))
		if err != nil || w.Code != want {
			t.Errorf("%s: %v, status %d, want %d", path, err, w.Code, want)
		}
	}
}

func TestAirflowTokenNeedsACaller(t *testing.T) {
	t.Parallel()
	h, _ := newTestToken(t)
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		t.Error("the request is passed on")
		return nil
	})
	r := withReplacer(httptest.NewRequest(http.MethodGet, "/api/v2/dags", nil))
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	repl.Set("http.auth.user.deployment", "dep1")
	if err := h.ServeHTTP(httptest.NewRecorder(), r, next); err == nil {
		t.Error("without deployment_auth it answers")
	}
	caddyhttp.SetVar(r.Context(), "deployment_keys.identity", &access.Identity{KeyID: "key1", DeploymentID: "dep1", Scopes: keystore.ScopeDeploy})
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, r, next); err != nil || w.Code != http.StatusForbidden || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("without a scope that has a role: %v, status %d", err, w.Code)
	}
}

// A client whose token was good is not told that it was not.
func TestAirflowThatDoesNotTrustTheGateway(t *testing.T) {
	t.Parallel()
	h, _ := newTestToken(t)
	f := newFakeAirflow() // takes none but its own
	w := ask(t, h, f, http.MethodPost, "/dep1/api/v2/dags", "x")
	wantStatus(t, w, http.StatusServiceUnavailable)
	if len(f.bodies) != 0 || f.logins != 0 {
		t.Error("Airflow is asked again")
	}
}
