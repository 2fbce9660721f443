package admin

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/deploymentkeys/gateway/keystore"
)

func TestReadyAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method string
		age    time.Duration
		known  bool
		err    error
		status int
		body   string
	}{
		"ready":                         {"GET", 412_345 * time.Microsecond, true, nil, 200, `{"ready":true,"age_seconds":0.412}`},
		"an age that floats round":      {"GET", 1574 * time.Millisecond, true, nil, 200, `{"ready":true,"age_seconds":1.574}`},
		"knows nothing":                 {"GET", 0, false, nil, 200, `{"ready":true,"age_seconds":null}`},
		"not ready":                     {"GET", 12 * time.Second, true, keystore.ErrUnavailable, 503, `{"error":"store unavailable","ready":false,"age_seconds":12}`},
		"not ready, whatever the error": {"GET", 0, false, errors.New("not <that>"), 503, `{"error":"not <that>","ready":false,"age_seconds":null}`},
		"HEAD":                          {"HEAD", 0, true, nil, 200, `{"ready":true,"age_seconds":0}`}, // net/http leaves it out
		"POST":                          {"POST", 0, true, nil, 405, `{"error":"the method must be one of: GET, HEAD"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, func(a *API) {
				a.Keystore = func() (*keystore.Keystore, error) { return nil, errors.New("must not be asked for") }
				a.Ready = func(context.Context) (time.Duration, bool, error) { return test.age, test.known, test.err }
			})
			w := callAPI(t, api, test.method, readyPath, "")
			if w.Code != test.status || strings.TrimSpace(w.Body.String()) != test.body {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, test.status, test.body)
			}
			if got := w.Header().Get("Retry-After") != ""; got != (test.status == 503) {
				t.Errorf("Retry-After is there: %v", got)
			}
			if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (test.status == 405) {
				t.Errorf("Allow %q", allow)
			}
		})
	}
}

// An API that is not told how to find out has no such path, and no Deployment has that ID.
func TestReadyIsOptional(t *testing.T) {
	t.Parallel()
	api := newAPI(t, func(*API) {})
	if w := callAPI(t, api, "GET", readyPath, ""); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if keystore.ValidateDeploymentID("-") == nil {
		t.Error("a Deployment may be named -")
	}
}

// The endpoint speaks for the configuration that runs. Not parallel: there is one in a process.
func TestEndpointIsReadyWithTheGateway(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	endpoint := new(Endpoint)
	if err := endpoint.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	ask := func() *httptest.ResponseRecorder { return callAPI(t, endpoint.handler, "GET", readyPath, "") }
	load := func(apps string) {
		config := `{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"writer":{"output":"discard"}}}},"apps":{` + apps + `}}`
		if err := caddy.Load([]byte(config), true); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	for range 2 {
		load("")
		if w := ask(); w.Code != 503 || !strings.Contains(w.Body.String(), `"error":"store unavailable: the running configuration has no deployment_keys`) {
			t.Errorf("without the app: %d %s", w.Code, w.Body)
		}
		load(`"deployment_keys":{}`)
		if w := ask(); w.Code != 200 || !strings.HasPrefix(w.Body.String(), `{"ready":true,"age_seconds":`) {
			t.Errorf("with the app: %d %s", w.Code, w.Body)
		}
	}
}
