package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/deploymentkeys/gateway/caddymodule/airflow"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the directives that stand beside ours

	_ "github.com/deploymentkeys/gateway/caddymodule"
)

var update = flag.Bool("update", false, "write what the adapter makes of testdata/*.caddyfiletest into these files")

// dashes divide a file of testdata: before them a Caddyfile, after them the JSON that it stands for.
const dashes = "----------\n"

// What a Caddyfile stands for is a contract: people keep the JSON too.
func TestCaddyfileAdaptsTo(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata has %d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, found := strings.Cut(string(content), dashes)
			if !found && !*update {
				t.Fatalf("%s has no line of dashes", file)
			}
			got := adapt(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+dashes+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s adapts to\n%s\nwant\n%s", file, got, want)
			}
		})
	}
}

// adapt is the JSON of a Caddyfile, which must be one that `caddy fmt` has nothing to say about.
func adapt(t *testing.T, input string) string {
	t.Helper()
	raw, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range warnings {
		t.Errorf("warning: %s", warning)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, raw, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return indented.String() + "\n"
}

// The rest of what a Caddyfile may say wrongly is in the tests of the whole gateway: only there Caddy prints it.
func TestCaddyfileIsRefused(t *testing.T) {
	t.Parallel()
	global := func(lines string) string { return "{\n\tdeployment_keys {\n" + lines + "\n\t}\n}\n" }
	site := func(lines string) string { return "http://:8080 {\n" + lines + "\n}\n" }
	for name, test := range map[string]struct{ input, want string }{
		"an argument of the block":      {"{\n\tdeployment_keys x\n}\n", "deployment_keys"},
		"option without a value":        {global("issuer"), "issuer"},
		"option with two values":        {global("redis a b"), "at Caddyfile:3"},
		"option that is empty":          {global(`redis ""`), "redis is empty"},
		"option twice":                  {global("issuer https://a\nissuer https://b"), "issuer is there more than once"},
		"audience without a value":      {global("audience"), "audience"},
		"duration without a unit":       {global("token_lifetime 10"), "token_lifetime 10"},
		"two Deployments":               {site("deployment_auth dep1 dep2"), "deployment_auth"},
		"empty Deployment":              {site(`deployment_auth ""`), "the Deployment is empty"},
		"scope without a name":          {site("deployment_auth dep1 {\nscope\n}"), "scope"},
		"basic with a value":            {site("deployment_auth dep1 {\nbasic on\n}"), "at Caddyfile:3"},
		"unknown option of the check":   {site("deployment_auth dep1 {\nrole admin\n}"), `unknown option "role" of deployment_auth`},
		"Airflow of no Deployment":      {site("deployment_airflow_login {\nusername x\n}"), "deployment_airflow_login"},
		"unknown option of a login":     {site("deployment_airflow_login etl {\nuser x\n}"), `unknown option "user" of deployment_airflow_login`},
		"empty password":                {site("deployment_airflow_login etl {\npassword \"\"\n}"), "password is empty"},
		"a token of a Deployment":       {site("deployment_airflow_token etl"), "deployment_airflow_token"},
		"role without a name":           {site("deployment_airflow_token {\nrole airflow:read\n}"), "after 'airflow:read'"},
		"two roles of a scope":          {site("deployment_airflow_token {\nrole deploy OP\nrole deploy USER\n}"), "role of deploy is there more than once"},
		"unknown option of a token":     {site("deployment_airflow_token {\naudience x\n}"), `unknown option "audience" of deployment_airflow_token`},
		"key without a file":            {site("deployment_airflow_jwks {\nkey etl\n}"), "after 'etl'"},
		"unknown option of a key set":   {site("deployment_airflow_jwks {\nurl x\n}"), `unknown option "url" of deployment_airflow_jwks`},
		"a block of the token endpoint": {site("deployment_token {\nrealm x\n}"), "deployment_token has no options"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(test.input), map[string]any{"filename": "Caddyfile"})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one with %q", err, test.want)
			}
		})
	}
}
