package integration

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// changeSecret runs the command with the gateway's configuration.
func (s *site) changeSecret(newSecretFile string) (stdout, stderr string, code int) {
	return s.Command("", "deployment-secret", "change", "--config", s.Caddyfile(), "--adapter", "caddyfile", "--new-secret-file", newSecretFile)
}

// wantSecretChanged holds that the command succeeds, says something, and shows no secret.
func (s *site) wantSecretChanged(t *testing.T, newSecretFile, says string, secrets ...string) {
	t.Helper()
	out, errs, code := s.changeSecret(newSecretFile)
	if code != 0 || !strings.Contains(out, says) {
		t.Fatalf("exit %d, want 0 and %q: %s%s", code, says, out, errs)
	}
	wantNoSecrets(t, out+errs, secrets...)
}

// wantSecretKept holds that the command fails and says why.
func (s *site) wantSecretKept(t *testing.T, newSecretFile string, says ...string) {
	t.Helper()
	out, errs, code := s.changeSecret(newSecretFile)
	if code != 1 || out != "" {
		t.Errorf("exit %d, want 1: %s%s", code, out, errs)
	}
	for _, part := range says {
		if !strings.Contains(errs, part) {
			t.Errorf("the error does not say %q: %s", part, errs)
		}
	}
}

func wantNoSecrets(t *testing.T, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, strings.TrimSpace(secret)) {
			t.Errorf("a secret is shown in %s", text)
		}
	}
}

// keySet is what resource servers read.
func (s *site) keySet(t *testing.T) []byte {
	t.Helper()
	return call(t, http.MethodGet, s.URL(s.port, "/.well-known/jwks.json"), nil).Want(http.StatusOK).Body
}

// secretAt writes a new secret to a file of its own.
func secretAt(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	writeTestFile(t, path, content)
	return path
}

// issued is what a gateway gave out before its store got another secret, and that has to work after.
type issued struct {
	k      key
	token  string
	keySet []byte
}

func (s *site) issue(t *testing.T) issued {
	t.Helper()
	s.newDeployment(t, "dep1")
	k := s.newKey(t, "dep1")
	return issued{k, s.token(t, k), s.keySet(t)}
}

func (before issued) wantAlive(t *testing.T, s *site) {
	t.Helper()
	s.get(t, "dep1", before.token).Want(http.StatusOK)
	s.get(t, "dep1", s.token(t, before.k)).Want(http.StatusOK)
	if after := s.keySet(t); !bytes.Equal(after, before.keySet) {
		t.Errorf("the key set is %s, want the one before, %s", after, before.keySet)
	}
	s.deleteKey(t, s.newKey(t, "dep1"))
}

// The embedded store with the secret that it has made itself.
func TestLocalSecretIsChanged(t *testing.T) {
	t.Parallel()
	g := startSite(t, embedded(t))
	before := g.issue(t)
	path := dataFile(g.gateway, "secret")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret := newMasterSecret()
	newFile := secretAt(t, secret+"\n")

	g.wantSecretKept(t, newFile, dataFile(g.gateway, "keys.db"), "used by another process", "stopped first")
	before.wantAlive(t, g)
	g.Stop()
	g.wantSecretChanged(t, newFile, "The store has the new secret. ", secret, string(old))
	g.Start()
	before.wantAlive(t, g)
	g.Stop()
	if written, err := os.ReadFile(path); err != nil || string(written) != secret+"\n" {
		t.Errorf("the file of the secret is not the new one: %v", err)
	}

	// A crash between the change of the store and that of the file.
	writeTestFile(t, path, string(old))
	writeTestFile(t, path+".new", secret+"\n")
	wantStartError(t, g.gateway, "wrong master secret", "has been given another one")
	wantNoSecrets(t, g.Logs(), secret, string(old))
	g.wantSecretChanged(t, newFile, "The store has the new secret. ", secret, string(old))
	g.Start()
	before.wantAlive(t, g)
	g.Stop()
	g.wantSecretChanged(t, newFile, "nothing was changed", secret)

	// The old one alone opens nothing, and the command does not make it worse.
	writeTestFile(t, path, string(old))
	g.wantSecretKept(t, secretAt(t, newMasterSecret()), "wrong master secret", path)
	wantStartError(t, g.gateway, "wrong master secret")
	writeTestFile(t, path, secret)
	g.Start()
	before.wantAlive(t, g)
}

// The embedded store with a secret that is configured.
func TestConfiguredSecretIsChanged(t *testing.T) {
	t.Parallel()
	old, secret := newMasterSecret(), newMasterSecret()
	path, newFile := secretAt(t, old), secretAt(t, "\n"+secret+"\n")
	g := startSite(t, store{options: "secret {file." + path + "}"})
	before := g.issue(t)
	g.wantSecretKept(t, newFile, "used by another process")
	g.Stop()
	g.wantSecretChanged(t, newFile, "put the new secret where the gateway's configuration has it from, {file."+path+"}", old, secret)
	wantStartError(t, g.gateway, "wrong master secret")
	g.wantSecretChanged(t, newFile, "nothing was changed", old, secret)
	writeTestFile(t, path, secret)
	g.Start()
	before.wantAlive(t, g)
	g.Stop()
	writeTestFile(t, path, old)
	g.wantSecretKept(t, secretAt(t, newMasterSecret()), "wrong master secret", "{file."+path+"}")
	writeTestFile(t, path, secret)
	g.Start()
	before.wantAlive(t, g)
	if _, err := os.Stat(dataFile(g.gateway, "secret")); err == nil {
		t.Error("a secret was written to the data directory, where none is read")
	}
}

// On Redis the gateways go on meanwhile.
func TestSecretInRedisIsChangedUnderLoad(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	old, secret := newMasterSecret(), newMasterSecret()
	path, newFile := secretAt(t, old), secretAt(t, secret)
	s := store{options: "redis {env.REDIS_URL}\n\t\tsecret {file." + path + "}", env: []string{"REDIS_URL=" + server.URL()}, redis: server}
	a, b := startSite(t, s), startSite(t, s)
	before := a.issue(t)
	b.get(t, "dep1", before.token).Want(http.StatusOK)

	watches := []*watch{startWatch(t, a, "dep1", before.token), startWatch(t, b, "dep1", before.token)}
	a.wantSecretChanged(t, newFile, "before any of them is restarted", old, secret)
	for _, node := range []*site{a, b} {
		before.wantAlive(t, node)
	}
	// A gateway that starts before the new secret is configured says so, and harms nothing.
	early := newSite(t, s)
	wantStartError(t, early.gateway, "wrong master secret", "has been given another one")
	wantNoSecrets(t, early.Logs(), old, secret)
	a.wantSecretChanged(t, newFile, "nothing was changed", old, secret)

	writeTestFile(t, path, secret)
	// The text of the configuration is the same; without --force Caddy would leave it at that.
	if out, err := b.Run("reload", "--force", "--config", b.Caddyfile(), "--adapter", "caddyfile"); err != nil {
		t.Errorf("reload with the new secret: %v\n%s", err, out)
	}
	early.Start()
	for _, node := range []*site{a, b, early} {
		before.wantAlive(t, node)
	}
	for _, w := range watches {
		w.wantOnly(t, "during the change", http.StatusOK)
	}
	a.Restart()
	b.Restart()
	for _, node := range []*site{a, b, early} {
		before.wantAlive(t, node)
	}

	writeTestFile(t, path, old)
	a.wantSecretKept(t, secretAt(t, newMasterSecret()), "wrong master secret", "{file."+path+"}")
	writeTestFile(t, path, secret)
	a.Restart()
	before.wantAlive(t, a)
	server.Stop()
	a.wantSecretKept(t, secretAt(t, newMasterSecret()), "store unavailable", server.Addr())
}

func TestChangeSecretCommandThatIsCalledWrongly(t *testing.T) {
	t.Parallel()
	g := newSite(t, embedded(t))
	short, good := secretAt(t, "short"), secretAt(t, newMasterSecret())
	other, foreign := filepath.Join(t.TempDir(), "other.json"), filepath.Join(t.TempDir(), "Caddyfile")
	writeTestFile(t, other, "{")
	writeTestFile(t, foreign, "http://:1 {\n\trespond ok\n}\n")
	config := g.Caddyfile()
	for name, test := range map[string]struct {
		arguments []string
		code      int
		says      string
	}{
		"no configuration":         {[]string{"--new-secret-file", good}, 2, "--config"},
		"no file":                  {[]string{"--config", config}, 2, "--new-secret-file"},
		"a secret as an argument":  {[]string{"--config", config, "--new-secret-file", good, newMasterSecret()}, 2, "no arguments"},
		"unknown flag":             {[]string{"--new-secret", "x"}, 2, "unknown flag"},
		"file missing":             {[]string{"--config", config, "--new-secret-file", good + ".none"}, 2, "no such file"},
		"file too large":           {[]string{"--config", config, "--new-secret-file", secretAt(t, strings.Repeat("a", 65<<10))}, 2, "larger than"},
		"configuration missing":    {[]string{"--config", config + ".none", "--new-secret-file", good}, 1, "no such file"},
		"configuration broken":     {[]string{"--config", other, "--new-secret-file", good}, 1, "not valid JSON"},
		"configuration of another": {[]string{"--config", foreign, "--new-secret-file", good}, 1, "is it the gateway's?"},
		"short":                    {[]string{"--config", config, "--new-secret-file", short}, 1, "has 5 characters, at least 32"},
		"no store":                 {[]string{"--config", config, "--new-secret-file", good}, 1, dataFile(g.gateway, "keys.db")},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := g.Command("", append([]string{"deployment-secret", "change"}, test.arguments...)...)
			if code != test.code || out != "" || !strings.Contains(errs, "Error: ") || !strings.Contains(errs, test.says) {
				t.Errorf("exit %d, want %d and %q: %s%s", code, test.code, test.says, out, errs)
			}
		})
	}
	if _, err := os.Stat(g.DataDir()); err == nil {
		t.Error("a data directory was made")
	}
}
