package airflow

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

// startTime is how long an Airflow may take to start or to run a task: on a small machine with other work, far longer than
// on one of its own.
const startTime = 4 * time.Minute

const examples = "../../examples/airflow"

// venvs are the environments of the two Airflows, made once.
var (
	airflow3 = sync.OnceValues(func() (string, error) { return venv("requirements.txt") })
	airflow2 = sync.OnceValues(func() (string, error) { return venv("requirements-airflow2.txt") })
)

func venv(requirements string) (string, error) {
	cmd := exec.Command("../../tools/airflow-venv", filepath.Join(examples, requirements))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("tools/airflow-venv: %w\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(path)), nil
}

// place is a copy of examples/airflow in which every port is a free one.
type place struct {
	dir   string
	ports map[string]int // by the port in the examples
	env   []string
}

func newPlace(t *testing.T, environment func() (string, error)) *place {
	t.Helper()
	venv, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{dir: t.TempDir(), ports: make(map[string]int)}
	for _, port := range []string{"8080", "8081", "9090", "9091", "2019"} {
		p.ports[port] = gatewaytest.FreePort(t)
	}
	if err := os.CopyFS(p.dir, os.DirFS(examples)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(p.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.IsDir() || strings.HasSuffix(file, ".txt") {
			continue
		}
		p.edit(t, filepath.Base(file), p.withPorts)
	}
	p.env = append(os.Environ(),
		"HOME="+p.dir,
		"PATH="+filepath.Join(venv, "bin")+":"+os.Getenv("PATH"),
		"AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False",
		// On a machine that is busy with other things, Airflow's own 5 seconds are too short for its tasks.
		"AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT=60",
	)
	return p
}

// withPorts is a text of the examples with the ports of this place.
func (p *place) withPorts(text string) string {
	var pairs []string
	for old, now := range p.ports {
		pairs = append(pairs, ":"+old, ":"+strconv.Itoa(now), "PORT="+old, "PORT="+strconv.Itoa(now))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func (p *place) read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (p *place) write(t *testing.T, file, content string) {
	t.Helper()
	path := filepath.Join(p.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *place) edit(t *testing.T, file string, change func(string) string) {
	t.Helper()
	p.write(t, file, change(p.read(t, file)))
}

// airflow is a running Airflow.
type airflow struct {
	*place
	settings []string // files that its processes read
	url      string   // with the path of the Deployment etl
}

// start starts the processes of an Airflow, and waits until it answers.
func (p *place) start(t *testing.T, settings []string, processes ...[]string) *airflow {
	t.Helper()
	a := &airflow{p, settings, fmt.Sprintf("http://127.0.0.1:%d/etl", p.ports["9090"])}
	a.run(t, "airflow", "db", "migrate")
	for _, process := range processes {
		a.process(t, process...)
	}
	return a
}

// command is a program with the settings of the Airflow.
func (a *airflow) command(program ...string) *exec.Cmd {
	script := "set -a\n"
	for _, file := range a.settings {
		script += ". ./" + file + "\n"
	}
	cmd := exec.Command("bash", append([]string{"-c", script + `exec "$@"`, "bash"}, program...)...)
	cmd.Dir, cmd.Env = a.dir, a.env
	gatewaytest.OwnSession(cmd)
	return cmd
}

// run runs a command to its end.
func (a *airflow) run(t *testing.T, program ...string) {
	t.Helper()
	if out, err := a.command(program...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// process starts a process that ends, with all that it has started, with the test.
func (a *airflow) process(t *testing.T, program ...string) {
	t.Helper()
	path := filepath.Join(a.dir, strings.Join(program[:2], "-")+".log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := a.command(program...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gatewaytest.KillSession(cmd.Process.Pid)
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			text, err := os.ReadFile(path)
			t.Logf("log of %s: %v\n%s", program, err, tail(string(text)))
		}
	})
}

// tail is the end of a log.
func tail(text string) string {
	const most = 8 << 10
	return text[max(0, len(text)-most):]
}

// airflow3Processes are those without which no run succeeds.
var airflow3Processes = [][]string{
	{"airflow", "api-server", "--proxy-headers"}, {"airflow", "scheduler"}, {"airflow", "dag-processor"},
}

// answers reports whether a URL is answered with a status.
func answers(t *testing.T, url string, status int, options ...gatewaytest.RequestOption) bool {
	answer, err := gatewaytest.Try(t, http.MethodGet, url, nil, options...)
	return err == nil && answer.Status == status
}

// poll waits for something of Airflow, and asks seldom: on a small machine the questions keep it from getting there.
func poll(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(startTime)
	defer deadline.Stop()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %s in vain for: %s", startTime, what)
		}
	}
}

// secrets makes what the recipe makes with openssl.
func (p *place) secrets(t *testing.T) (password string) {
	t.Helper()
	cmd := exec.Command("bash", "-c", `set -eu; mkdir -p secrets; umask 077
openssl rand -hex 32 > secrets/etl.key
openssl rand -hex 24 > secrets/etl.password
cp secrets/etl.password secrets/billing.password
openssl genpkey -algorithm ed25519 -out secrets/etl.pem
openssl pkey -in secrets/etl.pem -pubout -out secrets/etl.pub.pem
openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out secrets/billing.pub.pem`)
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(errors.Join(err, errors.New(string(out))))
	}
	return strings.TrimSpace(p.read(t, "secrets/etl.password"))
}

// gateway is a gateway in front of an Airflow, with the Deployments etl and billing.
type gateway struct {
	*gatewaytest.Gateway
	port                            int
	full, reader, deployer, billing string // access tokens: of etl with all scopes, one, one; of billing
	fullKey                         gatewaytest.Key
}

// startGateway starts a gateway with a Caddyfile of the examples, and sites besides.
func (p *place) startGateway(t *testing.T, caddyfile, sites string) *gateway {
	t.Helper()
	text := strings.ReplaceAll(p.read(t, caddyfile), "{file.secrets/", "{file."+p.dir+"/secrets/")
	g := &gateway{Gateway: gatewaytest.Start(t, text+sites), port: p.ports["8080"]}
	g.NewDeployment(t, "etl")
	g.NewDeployment(t, "billing")
	g.fullKey = g.NewKey(t, "etl")
	g.full = g.Token(t, g.port, g.fullKey)
	g.reader = g.Token(t, g.port, g.NewKey(t, "etl", "airflow:read"))
	g.deployer = g.Token(t, g.port, g.NewKey(t, "etl", "deploy"))
	g.billing = g.Token(t, g.port, g.NewKey(t, "billing"))
	return g
}

// site is the URL of a path on the site of the example.
func (g *gateway) site(path string) string { return g.URL(g.port, path) }
