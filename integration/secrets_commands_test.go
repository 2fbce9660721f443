package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"strings"
	"testing"
)

// runCommands runs commands, well and with secrets in the wrong place. The one output that shows a secret is not kept.
func (c *canarySite) runCommands(t *testing.T, keys canaryKeys) {
	t.Helper()
	l := c.leaks
	out, errs, _ := c.Command("", "deployment-key", "create", "dep1", "command", "--json")
	var made key
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	l.secret("the secret of a key of the command line", made.Secret)
	l.place("commands: create", errs)
	out, errs, _ = c.Command("", "deployment-key", "rotate", "dep1", made.ID, "--secret-only", "--overlap", "1h")
	l.secret("the second secret of a key of the command line", strings.TrimSpace(out))
	l.place("commands: rotate", errs)

	private := c.privateKey(t)
	badURL := c.file("bad-redis-url")
	c.write(t, "bad-redis-url", "redis://gateway:"+l.secret("a password in a URL that cannot be read", randomText())+"#x@127.0.0.1:1")
	c.write(t, "validate", "{\n\tdeployment_keys {\n\t\tredis {file."+badURL+"}\n\t\tsecret {file."+c.file("airflow")+"}\n\t}\n}\n")
	secret, mistaken := keys.misplaced.Secret, keys.misplacedToken
	type run struct {
		name, stdin string
		code        int
		args        []string
	}
	runs := []run{
		{"audit export", "", 0, []string{"deployment", "audit", "export"}},
		{"adapted config", "", 0, []string{"adapt", "--config", c.Caddyfile(), "--adapter", "caddyfile"}},
		{"explain a secret", keys.k.Secret, 1, []string{"deployment-key", "explain"}},
		{"a secret as an ID", "", 2, []string{"deployment-key", "show", secret, mistaken}},
		{"a secret as a name", "", 1, []string{"deployment-key", "create", "dep1", secret}},
		{"a secret as a flag", "", 2, []string{"deployment-key", "list", "dep1", "--" + secret}},
		{"a bad URL of Redis", "", 1, []string{"validate", "--config", c.file("validate"), "--adapter", "caddyfile"}},
	}
	if os.Getenv("DEPLOYMENT_KEYS_ATTACK") != "" {
		// Each takes seconds with the race detector on a busy machine.
		runs = append(runs, []run{
			{"list", "", 0, []string{"deployment-key", "list", "dep1", "--json"}},
			{"show", "", 0, []string{"deployment-key", "show", "dep1", keys.rotated.ID}},
			{"completion", "", 0, []string{"__complete", "deployment-key", "show", "dep1", ""}},
			{"environment", "", 0, []string{"environ"}},
			{"explain", keys.token, 0, []string{"deployment-key", "explain", "--deployment", "dep1", "--json"}},
			{"a token as an argument", "", 2, []string{"deployment-key", "explain", mistaken}},
			{"a secret as a scope", "", 2, []string{"deployment-key", "create", "dep1", "x", "--scope", secret}},
			{"a secret as an address", "", 2, []string{"deployment-key", "list", "dep1", "--address", secret}},
			{"a token as a command", "", 2, []string{"deployment-key", mistaken}},
			{"a private key that does not fit", "", 2, []string{"deployment-key", "list", "dep1", "--address", "https://127.0.0.1:1", "--cert", private, "--key", private}},
		}...)
	}
	for _, command := range runs {
		out, errs, code := c.Command(command.stdin, command.args...)
		l.place("commands: "+command.name, out+errs)
		if code != command.code {
			t.Errorf("%s: exit %d, want %d: %.500s", command.name, code, command.code, errs)
		}
	}
}

// privateKey is a file with the private key of a client's certificate, whose certificate is missing.
func (c *canarySite) privateKey(t *testing.T) (path string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	c.leaks.secret("the private key of a certificate", string(raw))
	c.write(t, "client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return c.file("client.key")
}
