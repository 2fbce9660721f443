package gatewaytest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Gateway is a process of this tree's Caddy with folders of its own, so that it shares nothing with another gateway or
// with a Caddy of the machine. Its methods end the test on failure, unless they say otherwise, and are for one goroutine;
// Admin, URL and Logs are for any.
type Gateway struct {
	t         *testing.T
	dir       string
	adminPort int
	env       []string
	shipped   bool

	process *exec.Cmd     // nil when stopped
	exited  chan struct{} // closed when process has ended and exitErr is set
	exitErr error
}

// Option changes how a gateway is started.
type Option func(*Gateway)

// WithEnv sets variables, each as "NAME=value", in the gateway's environment.
func WithEnv(variables ...string) Option {
	return func(g *Gateway) { g.env = append(g.env, variables...) }
}

// WithFolder makes the gateway keep its files in dir, where another one, stopped or running, keeps them too.
func WithFolder(dir string) Option {
	return func(g *Gateway) { g.dir = dir }
}

// WithoutRaceDetector starts the gateway as users have it, for figures. It compiles Caddy once more, which takes minutes
// the first time.
func WithoutRaceDetector() Option {
	return func(g *Gateway) { g.shipped = true }
}

// Start starts a gateway with a Caddyfile and waits until it serves. The Caddyfile must not set the admin
// endpoint: the gateway has one at a free port, by the environment. The gateway ends with the test, which fails if the
// race detector spoke up; a test that failed prints the end of the gateway's log.
func Start(t *testing.T, caddyfile string, options ...Option) *Gateway {
	t.Helper()
	g := New(t, caddyfile, options...)
	g.Start()
	return g
}

// New prepares a gateway as Start does, without starting it.
func New(t *testing.T, caddyfile string, options ...Option) *Gateway {
	t.Helper()
	g := &Gateway{t: t, adminPort: FreePort(t)}
	for _, option := range options {
		option(g)
	}
	if g.dir == "" {
		g.dir = t.TempDir()
	}
	g.WriteCaddyfile(caddyfile)
	t.Cleanup(func() {
		g.Kill()
		logs := g.Logs()
		if strings.Contains(logs, "WARNING: DATA RACE") {
			t.Errorf("the race detector found a race in the gateway:\n%s", logs)
		} else if t.Failed() {
			t.Logf("log of the gateway at %s:\n%s", g.Admin(""), lastLines(logs, 40))
		}
	})
	return g
}

// lastLines is the end of a log. All of the logs of some gateways would hide what the test itself had to say.
func lastLines(log string, most int) string {
	lines := strings.SplitAfter(log, "\n")
	if len(lines) <= most {
		return log
	}
	return fmt.Sprintf("(%d lines before these)\n%s", len(lines)-most, strings.Join(lines[len(lines)-most:], ""))
}

// Start starts the gateway with the Caddyfile that it was last given and waits until it serves.
func (g *Gateway) Start() {
	g.t.Helper()
	if err := g.TryStart(); err != nil {
		g.t.Fatal(err)
	}
}

// TryStart is Start for a gateway that may refuse its config: it returns an error with the log when the process ends
// before it serves.
func (g *Gateway) TryStart() error {
	g.t.Helper()
	if g.process != nil {
		g.t.Fatal("the gateway is running already")
	}
	cmd := exec.Command(g.binary(), "run", "--config", g.Caddyfile(), "--adapter", "caddyfile")
	cmd.Dir = g.dir
	cmd.Env = g.Environment()
	log, err := os.OpenFile(g.logPath(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	exited := make(chan struct{})
	g.process, g.exited = cmd, exited
	go func() {
		g.exitErr = cmd.Wait()
		close(exited)
	}()

	ended := false
	Eventually(g.t, "the gateway serves its config", func() bool {
		select {
		case <-exited:
			ended = true
			return true
		default:
			return g.serves()
		}
	})
	if ended {
		g.process = nil
		return fmt.Errorf("the gateway ended at start: %w\n%s", g.exitErr, g.Logs())
	}
	return nil
}

// binary is the path of the Caddy that the gateway is a process of.
func (g *Gateway) binary() string {
	g.t.Helper()
	if !g.shipped {
		return CaddyBinary(g.t)
	}
	binary, err := buildShipped()
	if err != nil {
		g.t.Fatal(err)
	}
	return binary
}

// serves reports whether the gateway has loaded a config. Caddy answers on its admin endpoint before that, with null.
func (g *Gateway) serves() bool {
	answer, err := client.Get(g.Admin("/config/"))
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil {
		return false
	}
	return answer.StatusCode == http.StatusOK && strings.TrimSpace(body.String()) != "null"
}

// Reload gives the running gateway a new Caddyfile, with which it also restarts from now on.
func (g *Gateway) Reload(caddyfile string) {
	g.t.Helper()
	if err := g.TryReload(caddyfile); err != nil {
		g.t.Fatal(err)
	}
	g.WriteCaddyfile(caddyfile)
}

// TryReload is Reload for a Caddyfile that may be refused: it returns Caddy's reason, and the gateway goes on, and
// restarts, with what it had.
func (g *Gateway) TryReload(caddyfile string) error {
	g.t.Helper()
	answer, err := client.Post(g.Admin("/load"), "text/caddyfile", strings.NewReader(caddyfile))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("reload: %s: %s", answer.Status, body.String())
	}
	return nil
}

// Stop asks the gateway to end, waits until it has, and checks that it ended well.
func (g *Gateway) Stop() {
	g.t.Helper()
	if g.process == nil {
		return
	}
	if err := g.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		g.t.Fatal(err)
	}
	Eventually(g.t, "the gateway ends after SIGTERM", g.hasExited)
	g.process = nil
	if g.exitErr != nil {
		g.t.Errorf("the gateway ended with %v", g.exitErr)
	}
}

// Kill ends the gateway as a crash does. It is no error if it has ended.
func (g *Gateway) Kill() {
	if g.process == nil {
		return
	}
	_ = g.process.Process.Kill() // fails only when it has ended
	<-g.exited
	g.process = nil
}

// Restart stops the gateway and starts it with the same folders and the Caddyfile that it was last given.
func (g *Gateway) Restart() {
	g.t.Helper()
	g.Stop()
	g.Start()
}

// PID is the ID of the process, which must be running.
func (g *Gateway) PID() int { return g.process.Process.Pid }

// Admin returns the URL of a path, such as "/deployments", on the gateway's admin endpoint.
func (g *Gateway) Admin(path string) string { return g.URL(g.adminPort, path) }

// URL returns the URL of a path on a site that listens on port without TLS.
func (g *Gateway) URL(port int, path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", port, path)
}

// Dir returns the folder that has all files of the gateway below it; Caddy's data directory is DataDir.
func (g *Gateway) Dir() string { return g.dir }

// DataDir returns Caddy's data directory.
func (g *Gateway) DataDir() string { return filepath.Join(g.dir, "data", "caddy") }

// Caddyfile returns the path of the Caddyfile that the gateway was last given.
func (g *Gateway) Caddyfile() string {
	return filepath.Join(g.dir, fmt.Sprintf("Caddyfile-%d", g.adminPort))
}

// Logs returns what the gateway wrote to standard output and standard error since it was first started.
func (g *Gateway) Logs() string {
	log, err := os.ReadFile(g.logPath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(log)
}

// Run runs another command of this tree's Caddy, such as "validate", in the gateway's environment, and returns what it
// wrote to standard output and standard error, and an error if it failed.
func (g *Gateway) Run(arguments ...string) (string, error) {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), g.binary(), arguments...)
	cmd.Dir = g.dir
	cmd.Env = g.Environment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Command runs a command of this tree's Caddy in the gateway's environment, with text on its standard input.
func (g *Gateway) Command(stdin string, arguments ...string) (stdout, stderr string, code int) {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), g.binary(), arguments...)
	cmd.Dir, cmd.Env, cmd.Stdin = g.dir, g.Environment(), strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		g.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (g *Gateway) hasExited() bool {
	select {
	case <-g.exited:
		return true
	default:
		return false
	}
}

// Environment is the environment of the test with folders and an admin endpoint of the gateway's own.
func (g *Gateway) Environment() []string {
	return append(os.Environ(), append([]string{
		"HOME=" + g.dir,
		"XDG_CONFIG_HOME=" + filepath.Join(g.dir, "config"),
		"XDG_DATA_HOME=" + filepath.Join(g.dir, "data"),
		"XDG_CACHE_HOME=" + filepath.Join(g.dir, "cache"),
		fmt.Sprintf("CADDY_ADMIN=127.0.0.1:%d", g.adminPort),
		// A program with the race detector sleeps before it ends, by default for a second.
		"GORACE=atexit_sleep_ms=50",
	}, g.env...)...)
}

// logPath has the admin port in it, as the path of the Caddyfile does: two gateways may share a folder.
func (g *Gateway) logPath() string { return filepath.Join(g.dir, fmt.Sprintf("log-%d", g.adminPort)) }

// WriteCaddyfile gives the gateway a Caddyfile for its next start.
func (g *Gateway) WriteCaddyfile(caddyfile string) {
	g.t.Helper()
	if err := os.WriteFile(g.Caddyfile(), []byte(caddyfile), 0o600); err != nil {
		g.t.Fatal(err)
	}
}
