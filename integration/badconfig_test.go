package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever writes a config that cannot be meant is told so by caddy validate, with what to write instead.
func TestBadConfigIsRefusedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	global := func(lines ...string) string {
		return "{\n\tdeployment_keys {\n\t\t" + strings.Join(lines, "\n\t\t") + "\n\t}\n}\n"
	}
	site := func(lines string) string { return "http://:8080 {\n\t" + lines + "\n}\n" }
	const aSecret = "secret {env.SOME_SECRET}"
	tests := map[string]struct {
		caddyfile string
		want      []string
		hidden    string // what must not be in the output
	}{
		"unknown option":                  {global("rediss redis://127.0.0.1"), []string{"unknown option", `"rediss"`, "token_lifetime"}, ""},
		"unknown directive":               {site("deployment_authorize dep1"), []string{"deployment_authorize"}, ""},
		"two blocks":                      {"{\n\tdeployment_keys\n\tdeployment_keys\n}\n", []string{"two deployment_keys blocks"}, ""},
		"redis URL without a scheme":      {global("redis 127.0.0.1:6379", aSecret), []string{"redis URL", "redis://"}, ""},
		"redis URL of another scheme":     {global("redis http://127.0.0.1:6379", aSecret), []string{"redis URL", "must begin with redis://"}, ""},
		"redis URL without a host":        {global("redis redis://", aSecret), []string{"redis URL", "no host"}, ""},
		"redis URL, database":             {global("redis redis://u:hunter2@127.0.0.1/keys", aSecret), []string{"redis URL", "database"}, "hunter2"},
		"redis URL, port, with password":  {global("redis redis://u:hunter2@127.0.0.1:x/0", aSecret), []string{"redis URL", "percent-encoded"}, "hunter2"},
		"redis URL, / in the password":    {global("redis redis://u:hunter2/x@127.0.0.1/0", aSecret), []string{"redis URL"}, "hunter2"},
		"redis URL, password in variable": {global("redis {env.BAD_URL}", aSecret), []string{"redis URL"}, "hunter2"},
		"redis variable not set":          {global("redis {env.NOT_SET}", aSecret), []string{"redis", "NOT_SET"}, ""},
		"redis empty by substitution":     {global(`redis "{$NOT_SET}"`, aSecret), []string{"redis is empty"}, ""},
		"redis without secret":            {global("redis redis://127.0.0.1"), []string{"openssl rand -base64 32", "secret {file./run/secrets/deployment_keys}"}, ""},
		"secret variable not set":         {global("secret {env.NOT_SET}"), []string{"secret", "NOT_SET"}, ""},
		"secret file missing":             {global("secret {file./does/not/exist}"), []string{"secret", "/does/not/exist"}, ""},
		"secret too short":                {global("secret {file." + short + "}"), []string{"10 characters", "at least 32", "openssl rand"}, "0123456789"},
		"secret in the config":            {global("secret 0123456789abcdef0123456789abcdef"), []string{"stands in the configuration", "{env.NAME}"}, "0123456789abcdef"},
		"secret half in the config":       {global("secret 0123456789abcdef{env.SOME_SECRET}"), []string{"stands in the configuration"}, "0123456789abcdef"},
		"token_lifetime 0":                {global("token_lifetime 0"), []string{"token_lifetime 0s", "1s to 744h"}, ""},
		"token_lifetime negative":         {global("token_lifetime -1h"), []string{"token_lifetime -1h", "1s to 744h"}, ""},
		"token_lifetime too long":         {global("token_lifetime 1000h"), []string{"token_lifetime 1000h", "1s to 744h"}, ""},
		"token_lifetime nonsense":         {global("token_lifetime long"), []string{"token_lifetime long", "such as 24h"}, ""},
		"max_staleness 0":                 {global("max_staleness 0s"), []string{"max_staleness 0s", "1s to 1h"}, ""},
		"issuer with a path":              {global("issuer https://auth.example.com/oauth"), []string{"issuer", "without a path"}, ""},
		"issuer without a scheme":         {global("issuer auth.example.com"), []string{"issuer", "such as https://"}, ""},
		"issuer with a password":          {global("issuer https://u:hunter2@auth.example.com"), []string{"issuer"}, ""},
		"issuer variable not set":         {global("issuer {env.NOT_SET}"), []string{"issuer", "NOT_SET"}, ""},
		"audience twice":                  {global("audience a a"), []string{`audience "a"`, "twice"}, ""},
		"signing_algorithm":               {global("signing_algorithm HS256"), []string{"signing_algorithm", "HS256", "ES256"}, ""},
		"signing_algorithm none":          {global("signing_algorithm none"), []string{"signing_algorithm", "ES256"}, ""},
		"no Deployment":                   {site("deployment_auth"), []string{"which Deployment", "any_deployment"}, ""},
		"* for a Deployment":              {site("deployment_auth *"), []string{"which Deployment", "any_deployment"}, ""},
		"a matcher for a Deployment":      {site("deployment_auth /dep1/*"), []string{"which Deployment"}, ""},
		"a Deployment that cannot be":     {site("deployment_auth Dep_1"), []string{`"Dep_1"`, "DNS label"}, ""},
		"a Deployment and any_deployment": {site("deployment_auth dep1 {\n\t\tany_deployment\n\t}"), []string{"exclude each other"}, ""},
		"unknown scope":                   {site("deployment_auth dep1 {\n\t\tscope airflow\n\t}"), []string{"unknown scope", "deploy, airflow:read, airflow:write"}, ""},
		"a method in lower case":          {site("deployment_auth dep1 {\n\t\tscope deploy get\n\t}"), []string{`"get"`, "in capitals"}, ""},
		"realm with a quote":              {site("deployment_auth dep1 {\n\t\trealm `a\"b`\n\t}"), []string{"realm", "without quotes"}, ""},
		"deployment_token with arguments": {site("deployment_token /oauth/* dep1"), []string{"deployment_token", "argument"}, ""},
	}
	g := newGateway(t, "", withEnv("SOME_SECRET="+newMasterSecret(), "BAD_URL=redis://u:hunter2@[127.0.0.1/0"))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "Caddyfile")
			if err := os.WriteFile(file, []byte(test.caddyfile), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := g.Run("validate", "--config", file, "--adapter", "caddyfile")
			if err == nil {
				t.Fatalf("caddy validate accepts it:\n%s", out)
			}
			said := lastMessage(out)
			for _, want := range test.want {
				if !strings.Contains(said, want) {
					t.Errorf("the error does not say %q: %s", want, said)
				}
			}
			if test.hidden != "" && strings.Contains(out, test.hidden) {
				t.Errorf("the output shows a secret:\n%s", out)
			}
		})
	}
}

// lastMessage is what Caddy ends with when it fails; the lines before are its log.
func lastMessage(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var entry struct{ Msg string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &entry); err != nil {
		return out
	}
	return entry.Msg
}
