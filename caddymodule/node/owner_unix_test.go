//go:build unix

package node

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Who runs the command is not always who runs the gateway, which has to read the secret after.
func TestLocalSecretKeepsItsOwner(t *testing.T) {
	t.Parallel()
	directory := newSecretStore(t, secretA, map[string]string{"secret": secretA})
	path := filepath.Join(directory, secretFile)
	if os.Geteuid() == 0 { // nobody else may give files away
		if err := os.Chown(path, 12345, 12346); err != nil {
			t.Fatal(err)
		}
	}
	owner := func() [2]uint32 {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		return [2]uint32{stat.Uid, stat.Gid}
	}
	before := owner()
	if _, err := (secretChange{Place{Directory: directory}, "", []byte(secretB)}).embedded(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := owner(); after != before {
		t.Errorf("the file belongs to %v, want %v", after, before)
	}
	wantSecret(t, directory, secretB)
}
