package caddymodule

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
)

var (
	secretA = strings.Repeat("a", minSecretLength)
	secretB = strings.Repeat("b", minSecretLength)
	secretC = strings.Repeat("c", minSecretLength)
)

// withStore calls a function with the embedded store in a directory.
func withStore(t *testing.T, directory string, use func(store keystore.Store) error) {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(directory, storeFile), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(use(store), store.Close()); err != nil {
		t.Fatal(err)
	}
}

// newSecretStore makes an embedded store with one Deployment under a secret, and files beside it.
func newSecretStore(t *testing.T, master string, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	withStore(t, directory, func(store keystore.Store) error {
		_, err := keystore.New(store, []byte(master)).CreateDeployment(t.Context(), secretChanger, keystore.Deployment{ID: "dep1", Name: "n"})
		return err
	})
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// wantSecret holds that a secret opens the store in a directory and that all is still there.
func wantSecret(t *testing.T, directory, master string) {
	t.Helper()
	withStore(t, directory, func(store keystore.Store) error {
		_, err := keystore.New(store, []byte(master)).Deployment(t.Context(), "dep1")
		return err
	})
}

// Whenever a change was interrupted, the next one finishes it.
func TestChangeOfTheLocalSecret(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		store string            // its secret
		files map[string]string // beside it
		says  string
	}{
		"not begun":                     {secretA, map[string]string{"secret": secretA + "\n"}, changedStore},
		"secret without a newline":      {secretA, map[string]string{"secret": secretA}, changedStore},
		"new file written":              {secretA, map[string]string{"secret": secretA, "secret.new": secretB}, changedStore},
		"new file half written":         {secretA, map[string]string{"secret": secretA, ".secret-123": secretB[:7]}, changedStore},
		"new file of another change":    {secretA, map[string]string{"secret": secretA, "secret.new": secretC}, changedStore},
		"new file empty":                {secretA, map[string]string{"secret": secretA, "secret.new": ""}, changedStore},
		"store changed":                 {secretB, map[string]string{"secret": secretA, "secret.new": secretB}, changedStore},
		"store changed, to another":     {secretC, map[string]string{"secret": secretA, "secret.new": secretC}, changedStore},
		"store changed, secret lost":    {secretB, map[string]string{"secret.new": secretB}, changedStore},
		"store changed, secret cut":     {secretB, map[string]string{"secret": "aaa", "secret.new": secretB}, changedStore},
		"done":                          {secretB, map[string]string{"secret": secretB}, unchangedStore},
		"done, and another one begun":   {secretB, map[string]string{"secret": secretB, "secret.new": secretC}, unchangedStore},
		"done, and begun with the same": {secretB, map[string]string{"secret": secretB, "secret.new": secretB}, unchangedStore},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := newSecretStore(t, test.store, test.files)
			change := secretChange{new(App), storePlace{directory: directory}, []byte(secretB)}
			for round, says := range []string{test.says, unchangedStore} {
				next, err := change.embedded(t.Context())
				if err != nil || !strings.HasPrefix(next, says) {
					t.Fatalf("round %d: %q, %v, want %q", round, next, err, says)
				}
				if written, err := os.ReadFile(filepath.Join(directory, secretFile)); err != nil || strings.TrimSpace(string(written)) != secretB {
					t.Errorf("the file has %q: %v", written, err)
				}
				if _, err := os.Stat(filepath.Join(directory, pendingSecretFile)); err == nil {
					t.Error("secret.new is still there")
				}
				if info, err := os.Stat(filepath.Join(directory, secretFile)); err == nil && info.Mode().Perm() != 0o600 {
					t.Errorf("the file has the mode %o", info.Mode().Perm())
				}
				wantSecret(t, directory, secretB)
			}
		})
	}
}

// A failingStore loses the answer to a change, or the change with it.
type failingStore struct {
	keystore.Store
	loses   bool
	pending func() // called before a change
}

func (s failingStore) Apply(ctx context.Context, change keystore.Change) error {
	s.pending()
	if s.loses {
		return keystore.ErrUnavailable
	}
	return errors.Join(s.Store.Apply(ctx, change), keystore.ErrUnavailable)
}

// At no moment the store has a secret that is in no file.
func TestChangeOfTheLocalSecretWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, loses := range map[string]bool{"made": false, "not made": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := newSecretStore(t, secretA, map[string]string{"secret": secretA})
			change := secretChange{new(App), storePlace{directory: directory}, []byte(secretB)}
			kept := func() {
				t.Helper()
				for file, want := range map[string]string{secretFile: secretA, pendingSecretFile: secretB} {
					if got, err := os.ReadFile(filepath.Join(directory, file)); err != nil || strings.TrimSpace(string(got)) != want {
						t.Errorf("%s has %q: %v", file, got, err)
					}
				}
			}
			withStore(t, directory, func(store keystore.Store) error {
				next, err := change.local(t.Context(), failingStore{store, loses, kept})
				if !errors.Is(err, keystore.ErrUnavailable) || next != "" {
					t.Errorf("%q, %v, want that the store is unavailable", next, err)
				}
				return nil
			})
			kept()
			if next, err := change.embedded(t.Context()); err != nil || !strings.HasPrefix(next, changedStore) {
				t.Errorf("again: %q, %v", next, err)
			}
			wantSecret(t, directory, secretB)
		})
	}
}

// A change that cannot be made leaves all as it was.
func TestChangeOfTheLocalSecretThatIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string // the store has secretA
		is    error
		says  string
	}{
		"another secret":                   {map[string]string{"secret": secretC}, keystore.ErrWrongSecret, "wrong master secret"},
		"another secret, and another next": {map[string]string{"secret": secretC, "secret.new": secretB}, keystore.ErrWrongSecret, "wrong master secret"},
		"no secret":                        {nil, nil, "is missing"},
		"secret cut off":                   {map[string]string{"secret": secretA[:9]}, nil, "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := newSecretStore(t, secretA, test.files)
			next, err := secretChange{new(App), storePlace{directory: directory}, []byte(secretB)}.embedded(t.Context())
			if err == nil || next != "" || (test.is != nil && !errors.Is(err, test.is)) ||
				!strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), directory) {
				t.Fatalf("%q, %v, want an error with %q", next, err, test.says)
			}
			for _, secret := range []string{secretA, secretB, secretC} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a secret: %v", err)
				}
			}
			for _, name := range []string{secretFile, pendingSecretFile} {
				if left, _ := os.ReadFile(filepath.Join(directory, name)); string(left) != test.files[name] {
					t.Errorf("%s has %q, want %q", name, left, test.files[name])
				}
			}
			wantSecret(t, directory, secretA)
		})
	}
}

func TestChangeOfAConfiguredSecret(t *testing.T) {
	t.Parallel()
	directory := newSecretStore(t, secretA, nil)
	change := func(before, after string) (string, error) {
		return secretChange{&App{Secret: "{env.SECRET}"}, storePlace{directory: directory, master: []byte(before)}, []byte(after)}.embedded(t.Context())
	}
	if next, err := change(secretC, secretB); !errors.Is(err, keystore.ErrWrongSecret) || !strings.Contains(err.Error(), "{env.SECRET}") {
		t.Errorf("%q, %v, want an error that names the secret's place", next, err)
	}
	wantSecret(t, directory, secretA)
	for _, test := range []struct{ before, says string }{
		{secretA, changedStore},
		{secretA, unchangedStore}, // the answer was lost
		{secretB, unchangedStore}, // and the new one is configured already
	} {
		if next, err := change(test.before, secretB); err != nil || !strings.HasPrefix(next, test.says) || !strings.Contains(next, "{env.SECRET}") {
			t.Errorf("%q, %v, want %q", next, err, test.says)
		}
		wantSecret(t, directory, secretB)
	}
	if next, err := change(secretA, secretC); !errors.Is(err, keystore.ErrWrongSecret) {
		t.Errorf("with the secret of before: %q, %v", next, err)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, want the store alone: %v", entries, err)
	}
}

// Neither is a store made where there is none, nor one set up that is empty, nor one waited for.
func TestChangeSecretOfNoStore(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	change := secretChange{new(App), storePlace{directory: directory}, []byte(secretB)}
	if next, err := change.embedded(t.Context()); err == nil || !strings.Contains(err.Error(), directory) {
		t.Errorf("without a store: %q, %v", next, err)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 0 {
		t.Errorf("the directory has %v: %v", entries, err)
	}
	withStore(t, directory, func(store keystore.Store) error {
		if next, err := change.embedded(t.Context()); err == nil || !strings.Contains(err.Error(), "stopped first") {
			t.Errorf("of a store that is used: %q, %v", next, err)
		}
		return nil
	})
	if next, err := change.embedded(t.Context()); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("of an empty store: %q, %v", next, err)
	}
	withStore(t, directory, func(store keystore.Store) error {
		initialized, err := keystore.Initialized(context.Background(), store)
		if initialized {
			t.Error("the store was set up")
		}
		return err
	})
}

func TestChangeSecretArguments(t *testing.T) {
	t.Parallel()
	const good = `{"apps":{"deployment_keys":{"redis":"redis://127.0.0.1:1","secret":"{env.DK_NONE}"}}}`
	for name, test := range map[string]struct{ config, secret, says string }{
		"short":           {good, " " + strings.Repeat("x", minSecretLength-1) + "\n", "has 31 characters"},
		"empty":           {good, "", "has 0 characters"},
		"no JSON":         {"{", secretB, "the configuration"},
		"no apps":         {`{}`, secretB, "is it the gateway's?"},
		"other apps":      {`{"apps":{"http":{"servers":{"s":{"routes":[{"handle":[{"handler":"static_response"}]}]}}}}}`, secretB, "is it the gateway's?"},
		"unknown option":  {`{"apps":{"deployment_keys":{"redsi":"x"}}}`, secretB, `unknown field "redsi"`},
		"secret not set":  {good, secretB, "secret"},
		"secret in clear": {`{"apps":{"deployment_keys":{"secret":"` + secretA + `"}}}`, secretB, "stands in the configuration"},
		"redis alone":     {`{"apps":{"deployment_keys":{"redis":"redis://127.0.0.1:1"}}}`, secretB, "redis needs a master secret"},
		"no URL of Redis": {`{"apps":{"deployment_keys":{"redis":"http://127.0.0.1"}}}`, secretB, "redis"},
	} {
		next, err := ChangeSecret(t.Context(), []byte(test.config), []byte(test.secret))
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), secretA) || strings.Contains(err.Error(), secretB) {
			t.Errorf("%s: %q, %v, want an error with %q", name, next, err, test.says)
		}
	}
}
