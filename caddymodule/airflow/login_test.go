package airflow

import (
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

// fakeAirflow gives tokens and says which ones it takes, for what a real one does not do on demand.
type fakeAirflow struct {
	mu       sync.Mutex
	logins   int
	lifetime time.Duration
	fail     int             // status of logins, or 0
	taken    map[string]bool // tokens that are taken
	refusal  int             // status for the others
	bodies   []string        // of requests with a token that is taken
}

func newFakeAirflow() *fakeAirflow {
	return &fakeAirflow{lifetime: time.Hour, taken: make(map[string]bool), refusal: http.StatusForbidden}
}

// RoundTrip is a login.
func (f *fakeAirflow) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	switch {
	case f.fail != 0:
		w.WriteHeader(f.fail)
	case r.URL.String() != "http://airflow.test/etl/auth/token" || string(body) != `{"password":"pw","username":"gateway"}`:
		w.WriteHeader(http.StatusTeapot)
	default:
		claims := fmt.Sprintf(`{"iat":1000,"exp":%d,"n":%d}`, 1000+int(f.lifetime.Seconds()), f.logins)
		token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
		f.taken[token] = true
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"access_token":%q}`, token)
	}
	return w.Result(), nil
}

// ServeHTTP is the API, as the handler after the one under test.
func (f *fakeAirflow) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.Header().Set("Set-Cookie", "_token=x")
	if !f.taken[token] {
		w.Header().Set("X-Refused", "yes")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.WriteHeader(f.refusal)
			_, err := io.WriteString(w, `{"detail":"Invalid JWT token"}`)
			return err
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(f.refusal)
		packed := gzip.NewWriter(w)
		_, err := io.WriteString(packed, `{"detail":"Invalid JWT token"}`)
		return errors.Join(err, packed.Close())
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	f.bodies = append(f.bodies, string(body))
	if strings.HasSuffix(r.URL.Path, "/forbidden") {
		w.WriteHeader(http.StatusForbidden)
		_, err = io.WriteString(w, `{"detail":"Forbidden"}`)
		return err
	}
	_, err = io.WriteString(w, "passed")
	return err
}

func (f *fakeAirflow) revokeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.taken)
}

// newTestLogin is a handler for the Airflow of dep1, whose time is that of the test.
func newTestLogin(f *fakeAirflow) *Login {
	session := newSession("http://airflow.test/etl", "gateway", "pw")
	session.client.Transport = f
	return &Login{
		Deployment: "dep1", path: "/etl", session: session,
		app: new(testGateway),
	}
}

// ofDep1 is a request as one that deployment_auth has let pass for a key of dep1.
func ofDep1(method, path string, body io.Reader) *http.Request {
	return requestOf(&access.Identity{KeyID: "key", DeploymentID: "dep1", Scopes: keystore.AllScopes}, method, path, body)
}

// ask sends a request as one that deployment_auth has let pass.
func ask(t *testing.T, h caddyhttp.MiddlewareHandler, f *fakeAirflow, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := ofDep1(method, path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, r, f); err != nil {
		t.Fatal(err)
	}
	return w
}

func wantStatus(t *testing.T, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		t.Error("a 503 without Retry-After")
	}
	for _, name := range []string{"Set-Cookie", "X-Refused", "Content-Encoding"} {
		if w.Header().Get(name) != "" {
			t.Errorf("the answer has %s", name)
		}
	}
}

func TestAirflowLoginIsUsedUntilItIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAirflow()
		h := newTestLogin(f)
		use := func(logins int) {
			t.Helper()
			wantStatus(t, ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusOK)
			synctest.Wait()
			if f.logins != logins {
				t.Errorf("%d logins, want %d", f.logins, logins)
			}
		}
		use(1)
		time.Sleep(47 * time.Minute)
		use(1)
		time.Sleep(2 * time.Minute) // past 80 % of an hour: renewed while the old one serves
		use(2)
		use(2)
		time.Sleep(2 * time.Hour) // expired
		use(3)
	})
}

func TestAirflowLoginIsOneForAll(t *testing.T) {
	t.Parallel()
	f := newFakeAirflow()
	h := newTestLogin(f)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { wantStatus(t, ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusOK) })
	}
	all.Wait()
	if f.logins != 1 {
		t.Errorf("%d logins, want 1", f.logins)
	}
}

func TestAirflowTokenThatIsRefusedIsReplaced(t *testing.T) {
	t.Parallel()
	for _, refusal := range []int{http.StatusForbidden, http.StatusUnauthorized} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeAirflow()
			f.refusal = refusal
			h := newTestLogin(f)
			wantStatus(t, ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusOK)

			time.Sleep(2 * time.Second)
			f.revokeAll()
			wantStatus(t, ask(t, h, f, http.MethodPost, "/etl/api/v2/dags", "the body"), http.StatusOK)
			if got := f.bodies[len(f.bodies)-1]; got != "the body" || f.logins != 2 {
				t.Errorf("%d logins, and the repeated body is %q", f.logins, got)
			}

			// A body that cannot be had twice: the client has to send it again.
			time.Sleep(2 * time.Second)
			f.revokeAll()
			long := strings.Repeat("x", mostRepeatable+1)
			wantStatus(t, ask(t, h, f, http.MethodPost, "/etl/api/v2/dags", long), http.StatusServiceUnavailable)
			wantStatus(t, ask(t, h, f, http.MethodPost, "/etl/api/v2/dags", long), http.StatusOK)
			if f.logins != 3 {
				t.Errorf("%d logins, want 3", f.logins)
			}

			// An Airflow that takes none of its tokens is not asked for one with each request.
			time.Sleep(2 * time.Second)
			f.revokeAll()
			for range 5 {
				f.mu.Lock()
				f.taken = map[string]bool{}
				f.mu.Unlock()
				_ = ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", "")
			}
			if f.logins > 4 {
				t.Errorf("%d logins, want 4 at most", f.logins)
			}
		})
	}
}

func TestAirflowThatGivesNoToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAirflow()
		f.fail = http.StatusUnauthorized
		h := newTestLogin(f)
		for range 10 {
			wantStatus(t, ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusServiceUnavailable)
		}
		if f.logins != 1 {
			t.Errorf("%d logins within a second, want 1", f.logins)
		}
		f.fail = 0
		time.Sleep(loginInterval)
		wantStatus(t, ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusOK)
	})
}

func TestAirflowsOwnRefusalIsTheClients(t *testing.T) {
	t.Parallel()
	f := newFakeAirflow()
	w := ask(t, newTestLogin(f), f, http.MethodGet, "/etl/api/v2/forbidden", "")
	wantStatus(t, w, http.StatusForbidden)
	if got := w.Body.String(); got != `{"detail":"Forbidden"}` || f.logins != 1 {
		t.Errorf("the client gets %s after %d logins", got, f.logins)
	}
}

func TestAirflowLoginIsGivenToNobodyElse(t *testing.T) {
	t.Parallel()
	f := newFakeAirflow()
	h := newTestLogin(f)
	// No deployment_auth before it, whatever else says who it is.
	r := withReplacer(httptest.NewRequest(http.MethodGet, "/etl/api/v2/dags", nil))
	caddyhttp.SetVar(r.Context(), "deployment_keys.identity", "dep1")
	if err := h.ServeHTTP(httptest.NewRecorder(), r, f); err == nil || !strings.Contains(err.Error(), "deployment_auth") {
		t.Errorf("without an identity: %v", err)
	}
	// Another Deployment, let pass by a route for any.
	caddyhttp.SetVar(r.Context(), "deployment_keys.identity", &access.Identity{KeyID: "key", DeploymentID: "dep2", Scopes: keystore.AllScopes})
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, r, f); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, w, http.StatusForbidden)
	for _, path := range []string{"/", "/etl/auth/token", "/etl/api/v2/auth/logout", "/etl/api/v2/auth", "/dep2/api/v2/dags", "/etl/execution/x", "/etl/api/v2"} {
		wantStatus(t, ask(t, h, f, http.MethodGet, path, ""), http.StatusNotFound)
	}
	wantStatus(t, ask(t, h, f, http.MethodGet, "/etl/api/v2/../../auth/token", ""), http.StatusBadRequest)
	if f.logins != 0 {
		t.Errorf("%d logins, want none", f.logins)
	}
}

// Airflow serves its API at the root as well. Behind a host of several Airflows it may be another one.
func TestAirflowLoginIsNotForTheRoot(t *testing.T) {
	t.Parallel()
	f := newFakeAirflow()
	h := newTestLogin(f)
	wantStatus(t, ask(t, h, f, http.MethodGet, "/api/v2/dags", ""), http.StatusNotFound)
	if f.logins != 0 {
		t.Errorf("%d logins, want none", f.logins)
	}
	h.path = "" // of a URL without a path
	wantStatus(t, ask(t, h, f, http.MethodGet, "/api/v2/dags", ""), http.StatusOK)
	wantStatus(t, ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusNotFound)
	wantStatus(t, ask(t, h, f, http.MethodGet, "/api/v2/auth/logout", ""), http.StatusNotFound)
}

func TestLifetimeOfAnAirflowToken(t *testing.T) {
	t.Parallel()
	part := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
	}
	for raw, want := range map[string]time.Duration{
		part(`{"iat":1000,"exp":87400}`): 24 * time.Hour,
		part(`{"iat":1000,"exp":1060}`):  time.Minute,
		part(`{"iat":1000,"exp":1e18}`):  maxLoginLifetime,
		part(`{"iat":1000,"exp":1000}`):  defaultLoginLifetime,
		part(`{"exp":1000}`):             defaultLoginLifetime,
		part(`{"iat":"x","exp":1e300}`):  defaultLoginLifetime,
		"no token":                       defaultLoginLifetime,
		"a.%%.c":                         defaultLoginLifetime,
	} {
		if got := lifetimeOf(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestAirflowLoginConfiguration(t *testing.T) {
	t.Setenv("AIRFLOW_TEST_PASSWORD", "pw")
	t.Setenv("AIRFLOW_TEST_EMPTY", "")
	good := Login{Deployment: "etl", URL: "http://127.0.0.1:1/etl/", Username: "gateway", Password: "{env.AIRFLOW_TEST_PASSWORD}"}
	if err := good.prepare(); err != nil || good.path != "/etl" || good.session.password != "pw" {
		t.Errorf("%v: path %q", err, good.path)
	}
	for want, change := range map[string]func(*Login){
		`id ""`:              func(h *Login) { h.Deployment = "" },
		"stands in":          func(h *Login) { h.Password = "pw" },
		"password is":        func(h *Login) { h.Password = "" },
		"password":           func(h *Login) { h.Password = "{env.AIRFLOW_TEST_EMPTY}" },
		"username is":        func(h *Login) { h.Username = "" },
		"url is":             func(h *Login) { h.URL = "" },
		"url ftp://x":        func(h *Login) { h.URL = "ftp://x" },
		"url http://u:p@x":   func(h *Login) { h.URL = "http://u:p@x" },
		"url http://x/?a=b":  func(h *Login) { h.URL = "http://x/?a=b" },
		"url http://x/../y":  func(h *Login) { h.URL = "http://x/../y" },
		"url http://x/%2e/y": func(h *Login) { h.URL = "http://x/%2e/y" },
	} {
		bad := Login{Deployment: "etl", URL: "http://127.0.0.1:1/etl", Username: "gateway", Password: "{env.AIRFLOW_TEST_PASSWORD}"}
		change(&bad)
		if err := bad.prepare(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
}
