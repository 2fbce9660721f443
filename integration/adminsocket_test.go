package integration

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// shortDir is a folder that all users may enter, with a path that is short enough for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "dk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAdminRecipe runs docs/recipes/admin.md.
func TestAdminRecipe(t *testing.T) {
	t.Parallel()
	g := newSite(t, embedded(t))
	sockets := shortDir(t)
	texts := strings.NewReplacer(":8080", ":"+portOf(t, g.URL(g.port, "")), ":2021", ":"+portOf(t, g.URL(freePort(t), "")), "/run/caddy/", sockets+"/")
	blocks := gatewaytest.ReadBlocks(t, "../docs/recipes/admin.md")
	for i := range blocks {
		blocks[i].Text = texts.Replace(blocks[i].Text)
	}
	env := append(g.Environment(), "PATH="+filepath.Dir(caddyBinary(t))+string(os.PathListSeparator)+os.Getenv("PATH"))
	gatewaytest.RunBlocks(t, gatewaytest.Shell{Dir: t.TempDir(), Env: env}, blocks, func(text string) string { return text })
}

// portOf is the port of an address of this machine.
func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, ok := strings.Cut(strings.TrimPrefix(address, "http://"), ":")
	if !ok {
		t.Fatalf("%s has no port", address)
	}
	return port
}

// nobody is a user and a group that have nothing to do with the gateway.
const nobody = 65534

// startOnSocket starts a gateway on an embedded store with its admin endpoint at an address that gatewaytest does not ask.
func (s *site) startOnSocket(t *testing.T, address string) {
	t.Helper()
	s.WriteCaddyfile(strings.Replace(tourCaddyfile(s.port, embedded(t)), "{\n", "{\n\tadmin "+address+"\n", 1))
	cmd := exec.Command(caddyBinary(t), "run", "--config", s.Caddyfile(), "--adapter", "caddyfile")
	cmd.Dir, cmd.Env = s.Dir(), s.Environment()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	eventually(t, "the gateway on a socket serves", func() bool {
		answer, err := try(t, http.MethodGet, s.URL(s.port, "/.well-known/jwks.json"), nil)
		return err == nil && answer.Status == http.StatusOK
	})
}

// The permissions of the socket are those of who may manage keys: another user cannot connect, and a group that it is for
// can.
func TestAdminSocketIsForItsGroup(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(shortDir(t), "admin.sock")
	g := newSite(t, embedded(t))
	// connects says whether a user can: curl ends with 7 when it cannot connect.
	connects := func(user, group int) bool {
		t.Helper()
		command := []string{"curl", "-s", "--max-time", "10", "--unix-socket", socket, "http://localhost/deployments"}
		if os.Geteuid() == 0 {
			command = append([]string{"setpriv", "--clear-groups", "--reuid", strconv.Itoa(user), "--regid", strconv.Itoa(group)}, command...)
		}
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = "/"
		out, err := cmd.CombinedOutput()
		var ended *exec.ExitError
		switch {
		case err == nil && strings.Contains(string(out), `"deployments"`):
			return true
		case errors.As(err, &ended) && ended.ExitCode() == 7:
			return false
		}
		t.Fatalf("curl as %d:%d: %v: %s", user, group, err, out)
		return false
	}
	g.startOnSocket(t, "unix/"+socket+"|0660")
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&os.ModePerm != 0o660 {
		t.Errorf("the socket is %v, want the permissions 0660", info.Mode())
	}
	own := os.Geteuid()
	if !connects(own, os.Getegid()) {
		t.Error("its own user cannot connect")
	}
	if own != 0 {
		t.Log("only root can be another user: the permissions were looked at, and not tried")
		return
	}
	if connects(nobody, nobody) {
		t.Error("another user can connect")
	}
	if !connects(nobody, 0) {
		t.Error("a user of its group cannot connect")
	}
	// It is the permissions of the socket that refuse, and nothing else.
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if !connects(nobody, nobody) {
		t.Error("another user cannot connect to a socket that is for all")
	}
}
