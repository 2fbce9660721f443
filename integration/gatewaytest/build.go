package gatewaytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Main runs the tests of a package and removes what was built for them. It is for TestMain, and does not return.
func Main(m *testing.M) {
	code := m.Run()
	if caddyDir != "" {
		os.RemoveAll(caddyDir)
	}
	os.Exit(code)
}

// caddyDir holds the binaries that were built. Empty when no test needed one.
var caddyDir string

// Each of these builds a program, once for all tests, and returns the path of the binary: with the race detector, as tests
// have it, or without, as users do.
var (
	buildCaddy     = sync.OnceValues(func() (string, error) { return build("caddy", "cmd/caddy", "-race") })
	buildShipped   = sync.OnceValues(func() (string, error) { return build("caddy-shipped", "cmd/caddy", "-race=false") })
	buildDeployAPI = sync.OnceValues(func() (string, error) { return build("deploy-api", "examples/deploy-api", "-race") })
)

// building guards caddyDir.
var building sync.Mutex

func build(name, program, race string) (string, error) {
	building.Lock()
	defer building.Unlock()
	if caddyDir == "" {
		dir, err := os.MkdirTemp("", "gateway-integration-")
		if err != nil {
			return "", err
		}
		caddyDir = dir
	}
	binary := filepath.Join(caddyDir, name)
	cmd := exec.Command("go", "build", race, "-buildvcs=false", "-o", binary, "github.com/deploymentkeys/gateway/"+program)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", program, err, out)
	}
	return binary, nil
}

// CaddyBinary returns the path of this tree's Caddy.
func CaddyBinary(t *testing.T) string {
	t.Helper()
	return built(t, buildCaddy)
}

// DeployAPIBinary returns the path of examples/deploy-api.
func DeployAPIBinary(t *testing.T) string {
	t.Helper()
	return built(t, buildDeployAPI)
}

func built(t *testing.T, build func() (string, error)) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}
