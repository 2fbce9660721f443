package integration

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// wantIdentity holds that the upstream was told who the key is, once, and nothing else in any spelling.
func wantIdentity(t *testing.T, got seen, k key, scopes string) {
	t.Helper()
	want := http.Header{"X-Deployment-Id": {k.DeploymentID}, "X-Deployment-Key-Id": {k.ID}, "X-Deployment-Scopes": {scopes}}
	for name, values := range got.Header {
		like := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if strings.HasPrefix(like, "x-deployment-") && !slices.Equal(values, want[name]) {
			t.Errorf("the upstream got %s: %q, want %q", name, values, want[name])
		}
	}
	for name := range want {
		if _, ok := got.Header[name]; !ok {
			t.Errorf("the upstream did not get %s: %v", name, got.Header)
		}
	}
	for name := range got.Trailer {
		if strings.HasPrefix(strings.ToLower(name), "x-deployment") {
			t.Errorf("the upstream got the trailer %s", name)
		}
	}
}

// What a client can write into a request in order to be somebody else to the upstream, or to have another request
// served than the one that was decided on. Other spellings, and Connection, are among the incidents.
func TestUpstreamLearnsTheIdentityFromTheGatewayAlone(t *testing.T) {
	t.Parallel()
	to := startUpstream(t)
	g, k, token := proxySite(t, to)
	tests := map[string]struct {
		lines  []string
		absent []string // what the upstream must not get
	}{
		"nothing special": {},
		"the headers":     {lines: []string{"X-Deployment-Id: dep2", "X-Deployment-Key-Id: other", "X-Deployment-User: root", "X-Deployment-Scopes: all"}},
		"twice":           {lines: []string{"X-Deployment-Id: dep2", "X-Deployment-Id: dep3"}},
		"empty":           {lines: []string{"X-Deployment-Id:", "X-Deployment-User:"}},
		"method override": {
			lines: []string{
				"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "x_method_override: DELETE",
				"X-Original-URL: /dep2/api", "X-Rewrite-URL: /dep2/api",
			},
			absent: []string{"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g.raw(t, rawGet("/dep1/api", token, test.lines...)).Want(http.StatusOK)
			got := to.takeOne(t)
			wantIdentity(t, got, k, allScopes)
			for name := range got.Header {
				if slices.Contains(append(test.absent, "authorization"), strings.ReplaceAll(strings.ToLower(name), "_", "-")) {
					t.Errorf("the upstream got %s", name)
				}
			}
			if got.Method != http.MethodGet || got.Target != "/dep1/api" {
				t.Errorf("the upstream got %s %s", got.Method, got.Target)
			}
		})
	}
}

func TestRequestsThatCouldBeReadInTwoWaysAreRefused(t *testing.T) {
	t.Parallel()
	to := startUpstream(t)
	g, _, token := proxySite(t, to)
	chunked := func(trailer string) string {
		return "POST /dep1/api HTTP/1.1\nHost: x\nConnection: close\nAuthorization: Bearer " + token +
			"\nTransfer-Encoding: chunked\nTrailer: " + trailer + "\n\n1\na\n0\n" + trailer + ": dep2\n\n"
	}
	for name, request := range map[string]string{
		"trailer":                                   chunked("X-Deployment-Id"),
		"trailer with underscores":                  chunked("X_Deployment_User"),
		"trailer for credentials":                   chunked("X-Deployment-Scopes, Authorization"),
		"two Authorization headers":                 rawGet("/dep1/api", token, "Authorization: Bearer "+token),
		"two Authorization headers, second is junk": rawGet("/dep1/api", token, "authorization: Basic eDp5"),
		"two tokens in one header":                  rawGet("/dep1/api", token+", Bearer "+token),
	} {
		t.Run(name, func(t *testing.T) {
			answer := g.raw(t, request)
			// A trailer of Authorization is one that net/http itself refuses, with a text.
			if answer.Want(http.StatusBadRequest); answer.Header.Get("Content-Type") == "application/json" {
				wantRefusal(t, answer, http.StatusBadRequest, "invalid_request")
			}
			if got := to.take(); len(got) > 0 {
				t.Errorf("the upstream got %+v", got)
			}
		})
	}
	t.Run("any other trailer passes", func(t *testing.T) {
		g.raw(t, chunked("X-Checksum")).Want(http.StatusOK)
		if got := to.takeOne(t); got.Trailer.Get("X-Checksum") != "dep2" {
			t.Errorf("the upstream got the trailers %v", got.Trailer)
		}
	})
	// net/http takes every trailer that comes for announced as soon as one was.
	t.Run("undeclared trailers beside a declared one", func(t *testing.T) {
		request := strings.Replace(chunked("X-Checksum"), "X-Checksum: dep2\n",
			"X-Checksum: dep2\nX-Deployment-Id: dep2\nx_deployment_key_id: dep2\nAuthorization: dep2\nX-Other: dep2\n", 1)
		g.raw(t, request).Want(http.StatusOK)
		if got := to.takeOne(t); len(got.Trailer) != 1 || got.Trailer.Get("X-Checksum") != "dep2" {
			t.Errorf("the upstream got the trailers %v", got.Trailer)
		}
	})
	// A trailer that was not announced is dropped on the way.
	t.Run("undeclared trailer", func(t *testing.T) {
		request := strings.Replace(chunked("X-Deployment-Id"), "Trailer: X-Deployment-Id\n", "", 1)
		g.raw(t, request).Want(http.StatusOK)
		if got := to.takeOne(t); len(got.Trailer) > 0 {
			t.Errorf("the upstream got the trailers %v", got.Trailer)
		}
	})
}

func TestAuthorizationReachesTheUpstreamOnlyWherePassed(t *testing.T) {
	t.Parallel()
	to := startUpstream(t)
	g, k, token := proxySite(t, to)
	basicHeader := func(r *http.Request) string { return r.Header.Get("Authorization") }
	request, err := http.NewRequest(http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(k.ID, k.Secret)
	for _, test := range []struct {
		route  string
		option requestOption
		want   []string
	}{
		{plainRoute, bearer(token), nil},
		{stripRoute, bearer(token), nil},
		{passRoute, bearer(token), []string{"Bearer " + token}},
		{passRoute, basic(k.ID, k.Secret), []string{basicHeader(request)}},
	} {
		call(t, http.MethodGet, g.URL(g.port, test.route+"/dep1/api"), nil, test.option).Want(http.StatusOK)
		got := to.takeOne(t)
		if !slices.Equal(got.Header["Authorization"], test.want) {
			t.Errorf("behind %q the upstream got %d Authorization headers, want %d", test.route, len(got.Header["Authorization"]), len(test.want))
		}
		wantIdentity(t, got, k, allScopes)
	}
}

func TestPlaceholdersAndAccessLogHaveTheIdentity(t *testing.T) {
	t.Parallel()
	to := startUpstream(t)
	g, k, token := proxySite(t, to)
	body := call(t, http.MethodGet, g.URL(g.port, "/whoami/dep1"), nil, bearer(token)).Want(http.StatusOK).Body
	if want := k.ID + "|dep1|" + allScopes; string(body) != want {
		t.Errorf("the placeholders are %q, want %q", body, want)
	}
	call(t, http.MethodGet, g.URL(g.port, "/whoami/dep2"), nil, bearer(token)).Want(http.StatusForbidden)
	users := func(uri string) (users []string) {
		for line := range strings.Lines(g.Logs()) {
			var entry struct {
				Logger  string `json:"logger"`
				User    string `json:"user_id"`
				Request struct {
					URI string `json:"uri"`
				} `json:"request"`
			}
			// Not every line is of JSON, and one may be written at this moment.
			if json.Unmarshal([]byte(line), &entry) == nil &&
				strings.HasPrefix(entry.Logger, "http.log.access") && entry.Request.URI == uri {
				users = append(users, entry.User)
			}
		}
		return users
	}
	eventually(t, "the access log has both requests", func() bool {
		return len(users("/whoami/dep1")) == 1 && len(users("/whoami/dep2")) == 1
	})
	if got := users("/whoami/dep1"); got[0] != k.ID {
		t.Errorf("the access log has the user %q, want the key ID %q", got[0], k.ID)
	}
	if got := users("/whoami/dep2"); got[0] != "" {
		t.Errorf("the access log has the user %q for a request that was refused, want none", got[0])
	}
}
