package integration

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// This file runs the README as a reader would: each block of commands, in order, in one shell, and
// holds what they print against the block that follows.

const (
	runCommand  = "go run ./cmd/caddy run --config Caddyfile.example\n"
	testCommand = "make test\n" // runs this test
)

func TestREADME(t *testing.T) {
	t.Parallel()
	blocks := gatewaytest.ReadBlocks(t, "../README.md")
	var commands []string
	for _, b := range blocks {
		if b.Language == "sh" {
			commands = append(commands, b.Text)
		}
	}
	if len(commands) < 3 || commands[0] != runCommand || commands[1] != testCommand {
		t.Fatalf("the README begins with %q, want %q and %q", commands[:min(2, len(commands))], runCommand, testCommand)
	}
	if makefile, err := os.ReadFile("../Makefile"); err != nil || !strings.Contains(string(makefile), "\ntest: needs ") {
		t.Errorf("make test does not install what it needs: %v", err)
	}

	t.Run("embedded store", func(t *testing.T) {
		t.Parallel()
		tour := newTour(t, func(caddyfile string) string { return caddyfile })
		tour.start(runCommand)
		tour.run(blocks)
	})
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		server := storetest.StartRedis(t)
		secret := filepath.Join(t.TempDir(), "secret")
		writeTestFile(t, secret, strings.Repeat("0123456789abcdef", 4)+"\n")
		tour := newTour(t, func(caddyfile string) string {
			caddyfile = strings.Replace(caddyfile, "# redis {env.REDIS_URL}", "redis "+server.URL(), 1)
			return strings.Replace(caddyfile, "# secret {file./run/secrets/deployment_keys}", "secret {file."+secret+"}", 1)
		})
		tour.start(runCommand)
		tour.run(blocks)
		if size := redisKeys(t, server); size == 0 {
			t.Error("nothing was written to Redis")
		}
	})
}

// A tour is a shell beside a gateway that has the ports of the README replaced by free ones.
type tour struct {
	t         *testing.T
	dir       string
	caddyfile string
	env       []string
	admin     string
	ports     *strings.Replacer
}

func newTour(t *testing.T, edit func(caddyfile string) string) *tour {
	t.Helper()
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var replacements []string
	for _, port := range []string{"8080", "8081", "2019"} {
		replacements = append(replacements, ":"+port, ":"+strconv.Itoa(freePort(t)))
	}
	tour := &tour{
		t: t, dir: dir, caddyfile: filepath.Join(dir, "Caddyfile.example"),
		admin: "localhost" + replacements[5],
		ports: strings.NewReplacer(replacements...),
		env: append(os.Environ(), "CADDY_ADMIN=localhost"+replacements[5],
			"XDG_DATA_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"),
			"PATH="+filepath.Dir(caddyBinary(t))+":"+os.Getenv("PATH")),
	}
	edited := edit(string(example))
	writeTestFile(t, tour.caddyfile, tour.ports.Replace(edited))
	return tour
}

// start runs the command that starts the gateway, and waits until it serves.
func (tour *tour) start(command string) {
	t := tour.t
	t.Helper()
	// What go run compiles and links is shared with this, which has no deadline.
	caddyBinary(t)
	process := exec.Command("bash", "-c", "exec "+strings.Replace(command, "Caddyfile.example", tour.caddyfile, 1))
	process.Dir, process.Env = "..", tour.env
	var log bytes.Buffer
	process.Stdout, process.Stderr = &log, &log
	// go run does not pass signals on, so what it started is ended with its session.
	gatewaytest.OwnSession(process)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = process.Wait() // it is killed
	}()
	t.Cleanup(func() {
		gatewaytest.KillSession(process.Process.Pid)
		<-ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", command, log.String())
		}
	})
	storetest.Poll(t, 3*time.Minute, command+" to serve", func() bool { // go run links a binary first
		select {
		case <-ended:
			t.Fatalf("%s ended", command)
		default:
		}
		answer, err := http.Get("http://" + tour.admin + "/deployments")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// run runs the blocks of commands after the first two, and holds their output against what the
// README shows.
func (tour *tour) run(blocks []gatewaytest.Block) {
	t := tour.t
	t.Helper()
	gatewaytest.RunBlocks(t, gatewaytest.Shell{Dir: tour.dir, Env: tour.env}, blocks, func(command string) string {
		if slices.Contains([]string{runCommand, testCommand}, command) || strings.HasPrefix(command, "xcaddy ") {
			return ""
		}
		return tour.ports.Replace(command)
	})
}

// The Caddyfiles of the README and the documentation are such as Caddy takes, as formatted.
func TestCaddyfilesOfTheDocumentation(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []gatewaytest.Block
	for _, page := range append(pages, "../README.md") {
		blocks = append(blocks, gatewaytest.ReadBlocks(t, page)...)
	}
	found := 0
	for _, b := range blocks {
		if b.Language != "caddyfile" {
			continue
		}
		found++
		dir := t.TempDir()
		writeTestFile(t, filepath.Join(dir, "secret"), strings.Repeat("x", 40))
		path := filepath.Join(dir, "Caddyfile")
		writeTestFile(t, path, b.Text)
		if out, err := exec.Command(caddyBinary(t), "fmt", "--diff", path).CombinedOutput(); err != nil {
			t.Errorf("caddy fmt: %v\n%s", err, out)
		}
		writeTestFile(t, path, strings.Replace(b.Text, "/run/secrets/deployment_keys", filepath.Join(dir, "secret"), 1))
		validate := exec.Command(caddyBinary(t), "validate", "--config", path, "--adapter", "caddyfile")
		validate.Env = append(os.Environ(), "REDIS_URL=redis://127.0.0.1:6379", "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		if out, err := validate.CombinedOutput(); err != nil {
			t.Errorf("caddy validate: %v\n%s", err, out)
		}
	}
	if found < 2 {
		t.Errorf("%d Caddyfiles in the README and the documentation", found)
	}
}

func writeTestFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// redisKeys counts the keys of a server.
func redisKeys(t *testing.T, server *storetest.Redis) int {
	t.Helper()
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	size, err := client.DBSize(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return int(size)
}

// The commands of the operations manual, beside a gateway with the embedded store.
func TestOperationsManual(t *testing.T) {
	t.Parallel()
	tour := newTour(t, func(caddyfile string) string { return caddyfile })
	tour.start(runCommand)
	tour.run(without(gatewaytest.ReadBlocks(t, operations), "redis-"))
}

const operations = "../docs/operations.md"

// Its section about backups, beside a gateway with Redis.
func TestRestoreOfRedis(t *testing.T) {
	t.Parallel()
	const first = `caddy deployment create "To try a restore" `
	blocks := gatewaytest.ReadBlocks(t, operations)
	begin := slices.IndexFunc(blocks, func(b gatewaytest.Block) bool { return strings.HasPrefix(b.Text, first) })
	length := slices.IndexFunc(blocks[max(begin, 0):], func(b gatewaytest.Block) bool { return strings.HasPrefix(b.Text, "jq -c --argjson last") })
	if begin < 0 || length < 0 {
		t.Fatalf("%s has no section about backups that begins with %s", operations, first)
	}
	dir := t.TempDir()
	port := strconv.Itoa(freePort(t))
	url := "redis://127.0.0.1:" + port
	secret := filepath.Join(dir, "secret")
	writeTestFile(t, secret, newMasterSecret())
	tour := newTour(t, func(caddyfile string) string {
		caddyfile = strings.Replace(caddyfile, "# redis {env.REDIS_URL}", "redis "+url, 1)
		return strings.Replace(caddyfile, "# secret {file./run/secrets/deployment_keys}", "secret {file."+secret+"}", 1)
	})
	writeTestFile(t, filepath.Join(tour.dir, "redis.conf"), "port "+port+"\nbind 127.0.0.1\nappendonly yes\nappendfsync always\nsave \"\"\n")
	tour.env = append(tour.env, "REDIS_URL="+url)
	server := exec.Command("redis-server", "redis.conf")
	server.Dir = tour.dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // the commands end it
		_ = server.Wait()
	})
	tour.start(runCommand)
	tour.run(without(blocks[begin:begin+length+1], "keys.db"))
	if !slices.ContainsFunc(blocks[begin:begin+length], func(b gatewaytest.Block) bool { return strings.Contains(b.Text, "redis-server") }) {
		t.Error("nothing of Redis was restored")
	}
}

// without leaves out the blocks that have a text in them.
func without(blocks []gatewaytest.Block, text string) []gatewaytest.Block {
	return slices.DeleteFunc(slices.Clone(blocks), func(b gatewaytest.Block) bool { return strings.Contains(b.Text, text) })
}
