package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// TestMain removes what buildCaddy built, after all tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if caddyDir != "" {
		os.RemoveAll(caddyDir)
	}
	os.Exit(code)
}

// caddyDir holds the binary that buildCaddy built. Empty when no test needed one.
var caddyDir string

// buildCaddy builds cmd/caddy with the race detector, once for all tests, and returns the path of the binary.
var buildCaddy = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gateway-integration-")
	if err != nil {
		return "", err
	}
	caddyDir = dir
	binary := filepath.Join(dir, "caddy")
	cmd := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", binary, "./cmd/caddy")
	cmd.Dir = ".." // go test runs a test in the folder of its package
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/caddy: %w\n%s", err, out)
	}
	return binary, nil
})

// caddyBinary returns the path of this tree's Caddy.
func caddyBinary(t *testing.T) string {
	t.Helper()
	binary, err := buildCaddy()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}
