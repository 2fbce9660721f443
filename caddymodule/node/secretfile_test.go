package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Of several first starts at the same time one makes the secret. Nobody sees a part of it.
func TestNewSecretFileIsWhole(t *testing.T) {
	t.Parallel()
	for range 50 {
		path := filepath.Join(t.TempDir(), secretFile)
		contents := []string{secretA, secretB, secretC}
		errs := make([]error, len(contents))
		ended := make(chan struct{})
		var reader, starts sync.WaitGroup
		reader.Go(func() {
			for {
				if read, err := os.ReadFile(path); err == nil && len(read) > 0 && !slices.Contains(contents, string(read)) {
					t.Errorf("somebody reads %q", read)
				}
				select {
				case <-ended:
					return
				default:
				}
			}
		})
		for i, content := range contents {
			starts.Go(func() { errs[i] = writeNew(path, content) })
		}
		starts.Wait()
		close(ended)
		reader.Wait()
		read, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		for i, err := range errs {
			switch {
			case err == nil && string(read) != contents[i]:
				t.Errorf("the file has %q, and the one who made it wrote %q", read, contents[i])
			case err == nil:
				made++
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		}
		if made != 1 {
			t.Errorf("%d have made the file: %v", made, errs)
		}
		if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
			t.Errorf("%v is left: %v", left, err)
		}
	}
}

// What an interrupted first start leaves is not read as a secret, and does not keep the next one from starting.
func TestFirstStartAfterAnInterruptedOne(t *testing.T) {
	t.Parallel()
	for name, left := range map[string]map[string]string{
		"nothing written": {".secret-1": ""},
		"half written":    {".secret-1": secretA[:20]},
		"written":         {".secret-1": secretA},
		"name taken":      {".secret-1": secretA, secretFile: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := t.TempDir()
			for name, content := range left {
				if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				n, err := Place{Directory: directory}.openEmbedded(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := n.Destruct(); err != nil {
					t.Error(err)
				}
			}
			secret, err := localSecret(filepath.Join(directory, secretFile), false)
			if err != nil || strings.Contains(string(secret), secretA[:20]) {
				t.Errorf("the secret is %q: %v", secret, err)
			}
		})
	}
	// Of a store that has been set up, the empty file is a secret that is lost.
	path := filepath.Join(t.TempDir(), secretFile)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if secret, err := localSecret(path, false); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("%q, %v, want that the file is cut off", secret, err)
	}
}
