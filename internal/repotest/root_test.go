package repotest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain changes to the root of the repository. The tests name files relative to it.
func TestMain(m *testing.M) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err == nil {
		err = os.Chdir(filepath.Dir(strings.TrimSpace(string(mod))))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "find the root of the repository:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
