package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// validate provisions a configuration as Caddy does, and starts nothing of it.
func validate(t *testing.T, config string) error {
	t.Helper()
	var parsed caddy.Config
	if err := json.Unmarshal([]byte(config), &parsed); err != nil {
		t.Fatalf("%v in %s", err, config)
	}
	parsed.StorageRaw = json.RawMessage(fmt.Sprintf(`{"module":"file_system","root":%q}`, t.TempDir()))
	parsed.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}}}}
	return caddy.Validate(&parsed)
}

// foreign is a handler of a third party, which may sign users in.
type foreign struct{ caddyhttp.StaticResponse }

func (foreign) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.foreign_login", New: func() caddy.Module { return new(foreign) }}
}

func init() {
	caddy.RegisterModule(foreign{})
	httpcaddyfile.RegisterHandlerDirective("foreign_login", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return new(foreign), nil
	})
}

// basicAuth is the directive, with one user.
const basicAuth = `basic_auth %s {
		alice $2a$04$.dWLVjFxZ6Q1bcEceKCu.uftu3W4NRpd0tJEYnmv8z6eJQZqReEka
	}`

// Not parallel: Caddy provisions one configuration at a time.
func TestConsoleNeedsAuthenticationInFront(t *testing.T) {
	auth := fmt.Sprintf(basicAuth, "")
	forward := "forward_auth localhost:9091 {\n\t\turi /verify\n\t\tcopy_headers Remote-User\n\t}"
	for name, test := range map[string]struct {
		caddyfile string
		refused   bool
	}{
		"basic_auth":                       {"http://:8080 {\n\t" + auth + "\n\tdeployment_console\n}", false},
		"the other way round":              {"http://:8080 {\n\tdeployment_console\n\t" + auth + "\n}", false},
		"with deployment_token":            {"http://:8080 {\n\tdeployment_token\n\t" + auth + "\n\tdeployment_console\n}", false},
		"for some paths":                   {"http://:8080 {\n\t" + fmt.Sprintf(basicAuth, "/api/*") + "\n\tdeployment_console\n}", false},
		"in front of a handle":             {"http://:8080 {\n\t" + auth + "\n\thandle {\n\t\tdeployment_console\n\t}\n}", false},
		"inside a handle":                  {"http://:8080 {\n\thandle /x {\n\t\trespond x\n\t}\n\thandle {\n\t\t" + auth + "\n\t\tdeployment_console\n\t}\n}", false},
		"in a route":                       {"http://:8080 {\n\troute {\n\t\t" + auth + "\n\t\tdeployment_console\n\t}\n}", false},
		"in a route before it":             {"http://:8080 {\n\troute {\n\t\t" + auth + "\n\t}\n\tdeployment_console\n}", false},
		"forward_auth and vars":            {"http://:8080 {\n\troute {\n\t\t" + forward + "\n\t\tvars http.auth.user.id {header.Remote-User}\n\t\tdeployment_console\n\t}\n}", false},
		"map":                              {"http://:8080 {\n\troute {\n\t\tmap {header.X} {http.auth.user.id} {\n\t\t\tdefault x\n\t\t}\n\t\tdeployment_console\n\t}\n}", false},
		"a handler of a third party":       {"http://:8080 {\n\troute {\n\t\tforeign_login\n\t\tdeployment_console\n\t}\n}", false},
		"a named route":                    {"&(login) {\n\t" + auth + "\n}\n\nhttp://:8080 {\n\troute {\n\t\tinvoke login\n\t\tdeployment_console\n\t}\n}", false},
		"in a named route":                 {"&(console) {\n\tdeployment_console\n}\n\nhttp://:8080 {\n\tinvoke console\n}", false},
		"insecure_no_auth":                 {"http://:8080 {\n\tdeployment_console {\n\t\tinsecure_no_auth\n\t}\n}", false},
		"nothing":                          {"http://:8080 {\n\tdeployment_console\n}", true},
		"nothing, in a handle":             {"http://:8080 {\n\thandle {\n\t\tdeployment_console\n\t}\n}", true},
		"other things":                     {"http://:8080 {\n\tencode gzip\n\theader X y\n\trewrite /a /b\n\tdeployment_token\n\thandle /x {\n\t\trespond x\n\t}\n\tdeployment_console\n}", true},
		"behind it, in a route":            {"http://:8080 {\n\troute {\n\t\tdeployment_console\n\t\t" + auth + "\n\t}\n}", true},
		"in another handle":                {"http://:8080 {\n\thandle /x {\n\t\t" + auth + "\n\t\trespond x\n\t}\n\thandle {\n\t\tdeployment_console\n\t}\n}", true},
		"on another site":                  {"http://a.localhost:8080 {\n\t" + auth + "\n\trespond x\n}\n\nhttp://b.localhost:8080 {\n\tdeployment_console\n}", true},
		"on another site that is no other": {"http://a.localhost:8081 {\n\t" + auth + "\n\trespond x\n}\n\nhttp://b.localhost:8080 {\n\tdeployment_console\n}", true},
		"forward_auth alone":               {"http://:8080 {\n\t" + forward + "\n\tdeployment_console\n}", true},
		"tokens":                           {"http://:8080 {\n\tdeployment_auth dep1\n\tdeployment_console\n}", true},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := adapt(t, string(caddyfile.Format([]byte(test.caddyfile))))
			if err != nil {
				t.Fatal(err)
			}
			switch err := validate(t, string(config)); {
			case !test.refused && err != nil:
				t.Error(err)
			case test.refused && (err == nil || !strings.Contains(err.Error(), "nothing in front of it signs users in")):
				t.Errorf("%v, want that nothing signs users in", err)
			}
		})
	}
}

// What is written as JSON may have handlers side by side, and routes that only JSON has.
func TestConsoleInJSONNeedsAuthenticationInFront(t *testing.T) {
	const login, console = `{"handler":"authentication","providers":{"http_basic":{"accounts":[{"username":"alice","password":"$2a$04$.dWLVjFxZ6Q1bcEceKCu.uftu3W4NRpd0tJEYnmv8z6eJQZqReEka"}]}}}`, `{"handler":"deployment_console"}`
	server := func(routes string) string {
		return `{"apps":{"http":{"servers":{"a":{"listen":[":8080"],"routes":[` + routes + `]}}}}}`
	}
	for name, test := range map[string]struct {
		config  string
		refused bool
	}{
		"one route":                  {server(`{"handle":[` + login + `,` + console + `]}`), false},
		"two routes":                 {server(`{"handle":[` + login + `]},{"handle":[` + console + `]}`), false},
		"after the answer of others": {server(`{"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":":1"}],"handle_response":[{"routes":[{"handle":[{"handler":"vars","http.auth.user.id":"x"}]}]}]}]},{"handle":[` + console + `]}`), false},
		"behind it":                  {server(`{"handle":[` + console + `,` + login + `]}`), true},
		"a route of the same group":  {server(`{"group":"g","handle":[` + login + `]},{"group":"g","handle":[` + console + `]}`), true},
		"a terminal route":           {server(`{"terminal":true,"handle":[` + login + `]},{"handle":[` + console + `]}`), true},
		"a route of errors":          {`{"apps":{"http":{"servers":{"a":{"listen":[":8080"],"errors":{"routes":[{"handle":[` + console + `]}]}}}}}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := validate(t, test.config); (err != nil) != test.refused || test.refused && !strings.Contains(err.Error(), "nothing in front of it signs users in") {
				t.Errorf("%v", err)
			}
		})
	}
}
