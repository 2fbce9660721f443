package integration

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// program is another program beside the gateway, in front of which that stands.
type program struct {
	name   string // as in PATH, or a path
	args   []string
	dir    string
	env    []string
	log    string // the path of a file for what it prints
	serves string // a URL that answers once it serves
}

// longStart bounds the start of a program. It may be go run, which links it first.
const longStart = 3 * time.Minute

// startProgram starts a program and waits until it serves. It ends with the test; a test that failed prints the end of
// its log.
func startProgram(t *testing.T, p program) {
	t.Helper()
	path, err := exec.LookPath(p.name)
	if err != nil {
		t.Fatalf("%v: run tools/install-needs", err)
	}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, p.args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	// What go run starts gets no signal of its own, so all is ended with its session.
	gatewaytest.OwnSession(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // it is killed
	}()
	t.Cleanup(func() {
		gatewaytest.KillSession(cmd.Process.Pid)
		<-exited
		said, err := os.ReadFile(p.log)
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(said), "WARNING: DATA RACE") {
			t.Errorf("the race detector found a race in %s", p.name)
		}
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", p.name, said[max(0, len(said)-20_000):])
		}
	})
	storetest.Poll(t, longStart, p.name+" to serve", func() bool {
		select {
		case <-exited:
			t.Fatalf("%s has ended", p.name)
		default:
		}
		answer, err := try(t, http.MethodGet, p.serves, nil)
		return err == nil && answer.Status < http.StatusInternalServerError
	})
}

// readExample is a file below examples/ with its ports replaced; each must be there.
func readExample(t *testing.T, path string, ports map[string]int) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../examples", path))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for old, now := range ports {
		if !strings.Contains(text, ":"+old) {
			t.Fatalf("examples/%s has no port %s", path, old)
		}
		text = strings.ReplaceAll(text, ":"+old, fmt.Sprintf(":%d", now))
	}
	return text
}

// replaceOnce replaces what must be in a text exactly once.
func replaceOnce(t *testing.T, text, old, now string) string {
	t.Helper()
	if n := strings.Count(text, old); n != 1 {
		t.Fatalf("%q is %d times in\n%s", old, n, text)
	}
	return strings.Replace(text, old, now, 1)
}

func abs(t *testing.T, path string) string {
	t.Helper()
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}

// digestOf is the digest of a content as registries write it.
func digestOf(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }
