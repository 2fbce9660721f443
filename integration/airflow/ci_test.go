package airflow

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

const (
	ciExamples = "../../examples/ci"

	// Half of it is less than what the runs below take, so the script has to get a second token.
	ciTokenLifetime = "20s"
)

// Two DAGs beside hello: one that fails, and one whose runs wait for ever, because it is paused.
const ciDAGs = `from airflow.sdk import dag, task


@dag(schedule=None, catchup=False)
def broken():
    @task
    def fail():
        raise ValueError("it is made to fail")

    fail()


@dag(schedule=None, catchup=False, is_paused_upon_creation=True)
def paused():
    @task
    def greet():
        print("hello")

    greet()


broken()
paused()
`

// TestDeployScript runs examples/ci/deploy.sh, and the templates of CI systems around it, against the real services.
func TestDeployScript(t *testing.T) {
	s := startCI(t)

	t.Run("deploys", s.deploys) // waits until Airflow serves and knows its DAGs
	t.Run("and then", func(t *testing.T) {
		t.Run("refusals", s.refusals)
		t.Run("deleted key", s.deletedWhileRunning)
		t.Run("stopped", s.stopped)
		t.Run("long run", s.longRun)
		t.Run("errors with status 200", s.errorsWithStatus200)
		t.Run("lost answer", s.lostAnswer)
		t.Run("incomplete", s.incomplete)
		t.Run("templates", s.templates)
		t.Run("recipe", s.recipe)
	})
	s.wantNoSecretsSeen(t)
}

// Airflow has only just been started, and does not answer yet when the script comes to it. The gateway answers 503 then,
// and the script waits, as it does when a deploy has Airflow restart.
func (s *ciSite) deploys(t *testing.T) {
	s.script(t, s.fullKey, "TAG=deploy-1", "PATIENCE=240", "RUN_TIMEOUT=240").want(t, 0, "pushed", "deployed", "triggered", "has succeeded")
	s.wantDeployed(t, "deploy-1")
	runs := s.runsOf(t, "hello")
	if len(runs) != 1 || runs[0].State != "success" || !strings.HasPrefix(runs[0].ID, "deploy__deploy-1__") {
		t.Errorf("the runs are %+v, want one that the script has made and that is a success", runs)
	}

	// With the names of the other variables, each URL by itself, and a shell that is to print all that it does.
	script, err := filepath.Abs(ciExamples + "/deploy.sh")
	if err != nil {
		t.Fatal(err)
	}
	env := s.ciEnv(s.fullKey, "DEPLOYMENT_KEY_ID=", "DEPLOYMENT_KEY_SECRET=", "TAG=deploy-2", "RUN_TIMEOUT=240",
		"ASTRONOMER_KEY_ID="+s.fullKey.ID, "ASTRONOMER_KEY_SECRET="+s.fullKey.Secret,
		"GATEWAY="+strings.Replace(s.site("/"), "127.0.0.1", "localhost", 1), "REGISTRY="+strings.TrimPrefix(s.site(""), "http://"),
		"HUB_URL="+s.site("/hub/v1"), "AIRFLOW_URL="+s.site("/etl/api/v2/"))
	s.job(t, s.fullKey, t.TempDir(), env, "bash", "-x", script).want(t, 0, "has succeeded")
	s.wantDeployed(t, "deploy-2")
}

// Each failure has the exit code of its step, and says what the one that refused has said.
func (s *ciSite) refusals(t *testing.T) {
	wrong := s.fullKey
	wrong.Secret = s.NewKey(t, "etl").Secret
	other := s.NewKey(t, "billing")
	deleted := s.NewKey(t, "etl")
	s.DeleteKey(t, deleted)
	gone := filepath.Join(t.TempDir(), "image")

	for name, test := range map[string]struct {
		key   gatewaytest.Key
		env   []string
		code  int
		texts []string
	}{
		"wrong secret":          {wrong, nil, 3, []string{"no login", "401, ", "check the ID and secret of the key"}},
		"deleted key":           {deleted, nil, 3, []string{"no login", "401, ", "whether the key is still there"}},
		"another Deployment":    {other, nil, 3, []string{"not pushed", "403, insufficient_scope: this credential is of Deployment billing, and the request is for etl"}},
		"without deploy":        {s.NewKey(t, "etl", "airflow:read", "airflow:write"), nil, 3, []string{"no login", "403, insufficient_scope: this request needs the scope deploy"}},
		"another organization":  {s.fullKey, []string{"ORGANIZATION=other"}, 3, []string{"not pushed"}},
		"no image":              {s.fullKey, []string{"IMAGE=oci:" + gone + ":v1"}, 3, []string{"not pushed", "no such file"}},
		"another audience":      {s.fullKey, []string{"AUDIENCE=other"}, 4, []string{"no access token: 400, invalid_target"}},
		"another registry":      {s.fullKey, []string{fmt.Sprintf("REGISTRY=localhost:%d", s.port)}, 5, []string{"not deployed: 403, the images of Deployment etl are in 127.0.0.1"}},
		"no deploy API":         {s.fullKey, []string{"HUB_URL=http://127.0.0.1:1/"}, 5, []string{"not deployed: no answer: ", "connect"}},
		"without airflow:write": {s.NewKey(t, "etl", "deploy", "airflow:read"), nil, 6, []string{"403, insufficient_scope: this request needs the scope airflow:write"}},
		"without airflow:read":  {s.NewKey(t, "etl", "deploy", "airflow:write"), nil, 6, []string{"the state of the run", "403, insufficient_scope: this request needs the scope airflow:read"}},
		"unknown DAG":           {s.fullKey, []string{"DAG_ID=un known"}, 6, []string{"no run of the DAG un known: 404, ", "not found"}},
		"Airflow is away":       {other, []string{"DEPLOYMENT=billing"}, 6, []string{"503, temporarily_unavailable: ", "run the job again later"}},
		"failing run":           {s.fullKey, []string{"DAG_ID=broken", "RUN_TIMEOUT=240"}, 7, []string{"of broken has failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.script(t, test.key, test.env...).want(t, test.code, test.texts...)
		})
	}
}

// A key that is deleted while its job waits for the run.
func (s *ciSite) deletedWhileRunning(t *testing.T) {
	k := s.NewKey(t, "etl")
	before := len(s.runsOf(t, "paused"))
	var ended sync.WaitGroup
	ended.Go(func() {
		s.script(t, k, "DAG_ID=paused", "RUN_TIMEOUT=240").want(t, 6, "401, invalid_token: the key of this access token was deleted")
	})
	defer ended.Wait()
	poll(t, "the script triggers a run", func() bool { return len(s.runsOf(t, "paused")) > before })
	s.DeleteKey(t, k)
}

// A job that is stopped leaves nothing behind.
func (s *ciSite) stopped(t *testing.T) {
	script, err := filepath.Abs(ciExamples + "/deploy.sh")
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), script)
	cmd.Env = s.ciEnv(s.fullKey, "DAG_ID=paused", "RUN_TIMEOUT=240", "TMPDIR="+tmp)
	before := len(s.runsOf(t, "paused"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	poll(t, "the script triggers a run", func() bool { return len(s.runsOf(t, "paused")) > before })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // the exit code is what counts
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d", code)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("the job leaves %v, %v", left, err)
	}
}

// A run that takes longer than a token lives is waited for to the end of its time.
func (s *ciSite) longRun(t *testing.T) {
	s.script(t, s.fullKey, "DAG_ID=paused", "RUN_TIMEOUT=25").want(t, 8, "is queued after 25 seconds")
}

// A deploy API that answers 200 to what it refuses, and says too much.
func (s *ciSite) errorsWithStatus200(t *testing.T) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"data": {"imageCreate": null}, "errors": [{"message": "no quota\n::error::for %s"}]}`, r.Header.Get("Authorization"))
	}))
	defer hub.Close()
	s.script(t, s.fullKey, "HUB_URL="+hub.URL).want(t, 5, "not deployed: 200, no quota ::error::for Bearer [redacted]")
}

// What is missing is said before anything is done.
func (s *ciSite) incomplete(t *testing.T) {
	bin := t.TempDir()
	for _, program := range []string{"bash", "cut", "tr", "curl", "jq"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, program)); err != nil {
			t.Fatal(err)
		}
	}
	for variable, text := range map[string]string{
		"DEPLOYMENT_KEY_SECRET=": "DEPLOYMENT_KEY_SECRET is not set",
		"GATEWAY=":               "GATEWAY is not set",
		"DAG_ID=":                "DAG_ID is not set",
		"IMAGE=docker://x/y":     "IMAGE is not the name of a local image",
		"TAG=a/b":                "TAG is not a tag",
		"PATIENCE=a":             "PATIENCE is not a number of seconds",
		"TLS_VERIFY=true":        "GATEWAY does not begin with https://",
		"TLS_VERIFY=no":          "TLS_VERIFY is neither true nor false",
		"PATH=" + bin:            "there is no skopeo: install it",
	} {
		t.Run(text, func(t *testing.T) {
			s.script(t, s.fullKey, variable).want(t, 2, text)
		})
	}
}

// The answer to a trigger is lost on its way: the script repeats it, and there is one run.
func (s *ciSite) lostAnswer(t *testing.T) {
	gateway, err := url.Parse(s.site(""))
	if err != nil {
		t.Fatal(err)
	}
	var triggers atomic.Int32
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(gateway) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodPost && triggers.Add(1) == 1 {
				return errors.New("lost") // which a proxy answers with 502
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	between := httptest.NewServer(proxy)
	defer between.Close()
	before := len(s.runsOf(t, "hello"))
	s.script(t, s.fullKey, "AIRFLOW_URL="+between.URL+"/etl/api/v2", "PATIENCE=60", "RUN_TIMEOUT=240").want(t, 0, "has succeeded")
	if made := len(s.runsOf(t, "hello")) - before; made != 1 || triggers.Load() != 2 {
		t.Errorf("%d triggers made %d runs", triggers.Load(), made)
	}
}

// wantNoSecretsSeen ends the test: no program was given a secret or a token by its command line, which others can read,
// nor in variables, but for the one that writes the request for the token.
func (s *ciSite) wantNoSecretsSeen(t *testing.T) {
	t.Helper()
	seen := readFile(t, s.seen)
	for _, program := range []string{"curl\n-q\n", "jq\n-nc\n", "skopeo\nlogin\n", "skopeo\ncopy\n"} {
		if !strings.Contains(seen, program) {
			t.Errorf("%q was not recorded", program)
		}
	}
	if saysSecret(seen, s.fullKey) {
		t.Error("a secret or a token is in a command line or a variable")
	}
}

// The page docs/recipes/ci.md, as a reader follows it, with other ports, and with the Airflow that is running.
func (s *ciSite) recipe(t *testing.T) {
	root := t.TempDir()
	p := &place{dir: filepath.Join(root, "examples", "airflow"), ports: map[string]int{"9090": s.ports["9090"]}}
	for _, port := range []string{"8080", "9091", "2019", "5000", "8082"} {
		p.ports[port] = gatewaytest.FreePort(t)
	}
	p.write(t, "secrets/etl.password", s.read(t, "secrets/etl.password"))
	p.write(t, "secrets/billing.password", s.read(t, "secrets/billing.password"))
	p.write(t, "../registry/config.yml", p.withPorts(readFile(t, "../../examples/registry/config.yml")))
	p.write(t, "../ci/Caddyfile", p.withPorts(readFile(t, ciExamples+"/Caddyfile")))
	p.write(t, "../ci/deploy.sh", readFile(t, ciExamples+"/deploy.sh"))
	if err := os.Chmod(filepath.Join(root, "examples/ci/deploy.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer(
		"go build -o gateway ../../cmd/caddy", "cp "+gatewaytest.CaddyBinary(t)+" gateway",
		"go build -o deploy-api ../deploy-api", "cp "+filepath.Join(s.dir, "deploy-api")+" deploy-api",
	)
	env := append(os.Environ(), "HOME="+p.dir, "GORACE=atexit_sleep_ms=50",
		"XDG_DATA_HOME="+filepath.Join(p.dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(p.dir, "config"),
		fmt.Sprintf("CADDY_ADMIN=localhost:%d", p.ports["2019"]))
	defer func() {
		if t.Failed() {
			for _, file := range []string{"gateway.log", "registry.log", "deploy-api.log"} {
				text, err := os.ReadFile(filepath.Join(p.dir, file))
				t.Logf("%s: %v\n%s", file, err, tail(string(text)))
			}
		}
	}()
	blocks := gatewaytest.ReadBlocks(t, "../../docs/recipes/ci.md")
	for i := range blocks { // what is shown has ports too
		blocks[i].Text = p.withPorts(blocks[i].Text)
	}
	gatewaytest.RunBlocks(t, gatewaytest.Shell{Dir: p.dir, Env: env}, blocks, replace.Replace)
}
