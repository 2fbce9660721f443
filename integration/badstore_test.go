package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// wantStartError starts a gateway that must refuse to, and end with an error in which all parts are.
func wantStartError(t *testing.T, g *gateway, parts ...string) {
	t.Helper()
	err := g.TryStart()
	if err == nil {
		g.Kill()
		t.Fatalf("the gateway starts, want an error with %q", parts)
	}
	said := lastMessage(err.Error())
	for _, part := range parts {
		if !strings.Contains(said, part) {
			t.Errorf("the error does not say %q: %s", part, said)
		}
	}
}

func dataFile(g *gateway, name string) string {
	return filepath.Join(g.DataDir(), "deployment_keys", name)
}

func TestDataDirectoryThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Permissions would not stop a test that runs as root; a file in the place of a directory stops everybody.
	g := newSite(t, embedded(t), withEnv("XDG_DATA_HOME="+filepath.Join(file, "data")))
	wantStartError(t, g.gateway, filepath.Join(file, "data", "caddy", "deployment_keys", "keys.db"), "not a directory")
}

func TestSecondProcessOnTheSameFile(t *testing.T) {
	t.Parallel()
	first := startSite(t, embedded(t))
	first.newDeployment(t, "dep1")
	token := first.token(t, first.newKey(t, "dep1"))

	// What caddy validate takes is the part of a start that is not the wait for the lock.
	begin := time.Now()
	if out, err := first.Run("validate", "--config", first.Caddyfile(), "--adapter", "caddyfile"); err != nil {
		t.Errorf("caddy validate beside a gateway that runs: %v\n%s", err, out)
	}
	startTime := time.Since(begin)

	second := newSite(t, embedded(t), withFolder(first.Dir()))
	begin = time.Now()
	wantStartError(t, second.gateway, dataFile(first.gateway, "keys.db"), "used by another process")
	if took, most := time.Since(begin), 2*time.Second+2*startTime; took > most {
		t.Errorf("the second process ended after %s, want %s at most", took, most)
	}

	first.get(t, "dep1", token).Want(http.StatusOK)
	first.newKey(t, "dep1")
	first.Stop()
	second.Start()
	second.get(t, "dep1", token).Want(http.StatusOK)
}

func TestEmbeddedStoreMakesItsFilesForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	g := startSite(t, embedded(t))
	for name, want := range map[string]os.FileMode{"": 0o700, "keys.db": 0o600, "secret": 0o600} {
		info, err := os.Stat(dataFile(g.gateway, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has the mode %o, want %o", info.Name(), got, want)
		}
	}
	entries, err := os.ReadDir(dataFile(g.gateway, ""))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the directory has %v, want keys.db and secret alone", entries)
	}
}

func TestEmbeddedStoreWithAMasterSecretThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	damage := map[string]struct {
		do   func(path string) error
		want string // besides the path
	}{
		"deleted":   {os.Remove, "missing"},
		"truncated": {func(path string) error { return os.Truncate(path, 10) }, "cut off"},
		"emptied":   {func(path string) error { return os.Truncate(path, 0) }, "cut off"},
		"replaced": {func(path string) error {
			return os.WriteFile(path, []byte(newMasterSecret()+"\n"), 0o600)
		}, "wrong master secret"},
	}
	for name, test := range damage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startSite(t, embedded(t))
			g.newDeployment(t, "dep1")
			token := g.token(t, g.newKey(t, "dep1"))
			g.Stop()
			path := dataFile(g.gateway, "secret")
			kept, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.do(path); err != nil {
				t.Fatal(err)
			}
			damaged, _ := os.ReadFile(path) // "deleted" has none
			wantStartError(t, g.gateway, dataFile(g.gateway, ""), test.want)
			if after, _ := os.ReadFile(path); string(after) != string(damaged) {
				t.Error("the gateway has written a secret over the one that it could not use")
			}
			if err := os.WriteFile(path, kept, 0o600); err != nil {
				t.Fatal(err)
			}
			g.Start()
			g.get(t, "dep1", token).Want(http.StatusOK)
		})
	}
}

// The same for a secret that is configured, on both stores.
func TestConfiguredSecretThatIsNotThatOfTheStore(t *testing.T) {
	t.Parallel()
	stores := map[string]func(*testing.T) store{
		"embedded": func(*testing.T) store {
			master := newMasterSecret()
			return store{options: "secret {env.DK_SECRET}", env: []string{"DK_SECRET=" + master}, master: master}
		},
		"redis": onRedis,
	}
	for name, newStore := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			right := startSite(t, s)
			right.newDeployment(t, "dep1")
			k := right.newKey(t, "dep1")
			token := right.token(t, k)
			right.Stop()

			other := s
			other.master = newMasterSecret()
			other.env = append(append([]string{}, s.env...), "DK_SECRET="+other.master)
			wrong := newSite(t, other, withFolder(right.Dir()))
			wantStartError(t, wrong.gateway, "wrong master secret", "configure that one")
			for _, secret := range []string{s.master, other.master} {
				if strings.Contains(wrong.Logs(), secret) {
					t.Error("the error shows a master secret")
				}
			}

			right.Start()
			right.get(t, "dep1", token).Want(http.StatusOK)
			right.get(t, "dep1", right.token(t, k)).Want(http.StatusOK)
		})
	}
}

// A reload may change the secret of an embedded store that stays open. The wrong one is refused, and the one before it
// goes on.
func TestReloadWithAnotherSecretIsRefused(t *testing.T) {
	t.Parallel()
	s := store{options: "secret {env.DK_SECRET}", env: []string{"DK_SECRET=" + newMasterSecret(), "OTHER=" + newMasterSecret()}}
	g := startSite(t, s)
	g.newDeployment(t, "dep1")
	token := g.token(t, g.newKey(t, "dep1"))
	other := s
	other.options = "secret {env.OTHER}"
	if err := g.TryReload(tourCaddyfile(g.port, other)); err == nil || !strings.Contains(err.Error(), "wrong master secret") {
		t.Errorf("the reload with another secret: %v, want an error about it", err)
	}
	g.get(t, "dep1", token).Want(http.StatusOK)
	g.newKey(t, "dep1")
}

func TestStoreFileThatIsNotAStore(t *testing.T) {
	t.Parallel()
	g := startSite(t, embedded(t))
	g.Stop()
	path := dataFile(g.gateway, "keys.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"a text":  []byte(strings.Repeat("these are not the keys that you are looking for\n", 400)),
		"cut off": whole[:3*os.Getpagesize()], // in the middle of what is used, not of what is kept free at the end
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			wantStartError(t, g.gateway, path)
			if after, err := os.ReadFile(path); err != nil || string(after) != string(content) {
				t.Errorf("the gateway has changed a file that it refused: %v", err)
			}
		})
	}
}
