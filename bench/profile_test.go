package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the compiler reads of the profile has the calls that all requests and all tokens take. When one of them gets another
// name, make pgo is due.
func TestProfileHasTheHotPath(t *testing.T) {
	t.Parallel()
	read := filepath.Join(t.TempDir(), "preprofile")
	if out, err := exec.Command("go", "tool", "preprofile", "-i", filepath.Join("..", profile), "-o", read).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(read)
	if err != nil {
		t.Fatal(err)
	}
	for _, function := range []string{
		"caddymodule.(*Auth).ServeHTTP", "caddymodule.(*App).identify", "token.(*Verifier).Verify", "keystore.(*View).Key",
		"caddymodule.(*TokenHandler).ServeHTTP", "token.(*Ring).Sign",
	} {
		if !strings.Contains(string(text), "github.com/deploymentkeys/gateway/"+function+"\n") {
			t.Errorf("%s has no call of %s", profile, function)
		}
	}
}
