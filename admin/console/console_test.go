package console

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestWhoARequestIsFrom(t *testing.T) {
	t.Parallel()
	keyID := strings.Repeat("0", 24)
	for name, test := range map[string]struct {
		user     string
		set      map[string]any // further placeholders
		insecure bool
		want     user
		reason   string
	}{
		"a user":                      {user: "vera", want: user{name: "vera", signedIn: true}},
		"an administrator":            {user: "root", want: user{name: "root", signedIn: true, administrator: true}},
		"nobody":                      {reason: "nobody is signed in"},
		"another way to write root":   {user: "ROOT", want: user{name: "ROOT", signedIn: true}},
		"root with a space":           {user: "root ", reason: "begins or ends with a space"},
		"root with a line break":      {user: "root\n", reason: "begins or ends with a space"},
		"a control character":         {user: "ro\x00ot", reason: "control characters"},
		"not UTF-8":                   {user: "root\xff", reason: "not acceptable"},
		"too long":                    {user: strings.Repeat("r", 257), reason: "not acceptable"},
		"a key":                       {user: keyID, reason: "keys and clients"},
		"a key with a token":          {user: keyID, set: map[string]any{"http.auth.user.deployment": "dep1"}, reason: "nobody is signed in"},
		"a user with a token":         {user: "root", set: map[string]any{"http.auth.user.deployment": "dep1"}, reason: "nobody is signed in"},
		"a candidate":                 {set: map[string]any{"http.auth.candidate.id": "root"}, reason: "nobody is signed in"},
		"anonymous":                   {insecure: true, want: user{name: "anonymous", administrator: true}},
		"anonymous, without insecure": {user: "anonymous", want: user{name: "anonymous", signedIn: true}},
		"a user, with insecure":       {user: "vera", insecure: true, want: user{name: "vera", signedIn: true, administrator: true}},
		"odd characters":              {user: `<b>"'&/\ü`, want: user{name: `<b>"'&/\ü`, signedIn: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(func(c *Console) { c.InsecureNoAuth = test.insecure })
			r, repl := httptest.NewRequest("GET", "http://localhost/api/me", nil), caddy.NewReplacer()
			if test.user != "" {
				repl.Set("http.auth.user.id", test.user)
			}
			for placeholder, value := range test.set {
				repl.Set(placeholder, value)
			}
			w := httptest.NewRecorder()
			r = caddyhttp.PrepareRequest(r, repl, w, &caddyhttp.Server{})
			got := c.identify(r)
			if reason := got.reason; test.reason != "" {
				if got.name != "" || got.administrator || !strings.Contains(reason, test.reason) {
					t.Errorf("%+v, want nobody because %s", got, test.reason)
				}
			} else if got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
			if err := c.ServeHTTP(w, r, nil); err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: http.StatusForbidden, false: http.StatusOK}[test.reason != ""]; w.Code != want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestMe(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for target, want := range map[string]map[string]me{
		"https://console.example.com/api/me": {
			"vera": {User: "vera", TokenEndpoint: "https://console.example.com/token"},
			"root": {User: "root", Administrator: true, TokenEndpoint: "https://console.example.com/token"},
		},
		"http://console.example.com:8080/api/me": {"vera": {User: "vera", TokenEndpoint: "http://console.example.com:8080/token"}},
	} {
		for user, want := range want {
			var got me
			w := c.get(t, user, target)
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if strings.Join(got.Scopes, " ") != "deploy airflow:read airflow:write" {
				t.Errorf("scopes %q", got.Scopes)
			}
			if got.Scopes = nil; got.User != want.User || got.Administrator != want.Administrator || got.TokenEndpoint != want.TokenEndpoint || got.Issuer != "" {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
	}
	insecure := newConsole(func(c *Console) { c.InsecureNoAuth = true })
	if w := insecure.get(t, "", "http://localhost/api/me"); !strings.Contains(w.Body.String(), `"user":"anonymous","administrator":true,"token_endpoint":""`) {
		t.Errorf("%s", w.Body)
	}
	if w := c.serve(t, "vera", httptest.NewRequest("POST", "/api/me", nil)); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// everyPath is a path of each kind, and what a user is answered there.
var everyPath = map[string]int{
	"/": http.StatusFound, "/deployments": 200, "/deployments/dep1": 200, "/deployments/dep1/keys": 200, "/deployments/dep1/members": 200,
	"/deployments/dep1/audit": 200, "/deployments/dep1/connect": 200, "/token": 200, "/assets/x/none.js": 404, "/nope": 404,
	"/deployments/Dep1": 404, "/deployments/dep1/nope": 404, "/deployments/dep1/keys/": 404, "/deployments/": 404, "/token/": 404, "/favicon.ico": 404,
	"/api": 404, "/api/": 404, "/api/nope": 404, "/api/me": 200, "/api/me/": 404, "/api/deployments": passed, "/api/deployments/dep1/keys": passed,
	"/apix/deployments": 404, "/API/deployments": 404,
	// Spellings that another reader of the path could take for one of the above.
	"//": 404, "//deployments": 404, "/deployments//dep1": 404, "/api//deployments": 404, "//api/deployments": 404, "/api/../deployments": 404,
	"/api/./deployments": 404, "/deployments/../api/me": 404, "/x/../deployments": 404, "/deployments/.": 404, "/deployments/..": 404,
	"/%2e%2e/deployments": 404, "/api/%2e%2e/deployments": 404, "/api%2fdeployments": 404, "/api%2Fme": 404, "/deployments%2fdep1": 404,
	"/deployments/%2e": 404, "/deployments/dep1%2fkeys": 404, "/assets/%2e%2e/pages/layout.html": 404, "/assets/x/..%2fpages%2flayout.html": 404,
	"/assets/x/": 404, "/assets/": 404, "/assets": 404, `/api\deployments`: 404, "/deployments;x": 404, "/deployments/dep1;x": 404,
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for path, status := range everyPath {
		for _, user := range []string{"vera", "root", ""} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"} {
				if path == "/token" && method == "POST" {
					continue // with a whole gateway
				}
				r := httptest.NewRequest(method, "https://console.example.com/", nil)
				if err := setTarget(r, path); err != nil {
					t.Fatal(err)
				}
				w := c.serve(t, user, r)
				for name, value := range map[string]string{
					"Content-Security-Policy":    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
					"X-Content-Type-Options":     "nosniff",
					"Referrer-Policy":            "no-referrer",
					"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
					"Cache-Control": "no-store",
				} {
					if got := w.Header().Get(name); got != value {
						t.Errorf("%s %s by %q: %s is %q", method, path, user, name, got)
					}
				}
				if w.Header().Get("Set-Cookie") != "" {
					t.Errorf("%s %s sets a cookie", method, path)
				}
				if method == "GET" && user != "" && w.Code != status {
					t.Errorf("GET %s by %s is answered %d, want %d", path, user, w.Code, status)
				}
				if user == "" && w.Code < 400 {
					t.Errorf("%s %s by nobody is answered %d %s", method, path, w.Code, w.Body)
				}
				isJSON := strings.HasPrefix(w.Header().Get("Content-Type"), "application/json")
				if strings.HasPrefix(path, "/api/") && !isJSON {
					t.Errorf("%s %s by %q is answered with %q", method, path, user, w.Header().Get("Content-Type"))
				}
			}
		}
	}
}

// setTarget gives a request the path as a client could have sent it.
func setTarget(r *http.Request, path string) (err error) {
	r.RequestURI = path
	r.URL.Path, r.URL.RawPath = path, ""
	if strings.Contains(path, "%") {
		u, err := r.URL.Parse("http://x" + path)
		if err != nil {
			return err
		}
		r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
		if r.URL.RawPath == "" {
			r.URL.RawPath = path
		}
	}
	return nil
}

func TestPagesAreRead(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for _, path := range []string{"/deployments", "/deployments/dep1", "/deployments/dep1/members"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			w := c.serve(t, "root", httptest.NewRequest(method, path, strings.NewReader("name=x")))
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
}

// Who is refused is told what the site lacks, and gets none of what the page is for users.
func TestNobodyIsToldWhatIsMissing(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for _, path := range []string{"/", "/deployments", "/deployments/dep1/audit", "/token"} {
		w := c.get(t, "", path)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "in front of deployment_console") || strings.Contains(w.Body.String(), "dep1") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := c.get(t, "", "/api/deployments"); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `{"error":"nobody is signed in`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// What they see must look like something.
	if w := c.get(t, "", "/assets/"+assetVersion+"/console.css"); w.Code != 200 {
		t.Errorf("the stylesheet is answered %d", w.Code)
	}
}

func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		console Console
		want    string
	}{
		"administrators of a site that has no users": {Console{InsecureNoAuth: true, Administrators: []string{"root"}}, "leave out administrator, or insecure_no_auth"},
		"an administrator twice":                     {Console{Administrators: []string{"root", "vera", "root"}}, "administrator root is there twice"},
		"an empty administrator":                     {Console{Administrators: []string{""}}, "administrator: user \"\" is not acceptable"},
		"an administrator with a space":              {Console{Administrators: []string{"root "}}, "begins or ends with a space"},
		"an administrator like a key":                {Console{Administrators: []string{strings.Repeat("0", 24)}}, "keys and clients"},
		"an administrator by placeholder":            {Console{Administrators: []string{"{env.ROOT}"}}, "no placeholders"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
			defer cancel()
			if err := test.console.Provision(ctx); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
