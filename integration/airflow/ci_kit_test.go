package airflow

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// This file is what the tests of examples/ci need: the services that a CI job calls, and a job.

// ciSite is all that a CI job calls, behind one gateway: a registry, the example deploy API, and an Airflow.
type ciSite struct {
	*airflow
	*gateway
	image string // what is deployed, as skopeo names it
	bin   string // programs that record their arguments and the names of their variables, and then do what they are for
	seen  string // where they record
}

func startCI(t *testing.T) *ciSite {
	t.Helper()
	for _, program := range []string{"curl", "docker-registry", "jq", "skopeo", "umoci"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: run tools/install-needs", err)
		}
	}
	p := newPlace(t, airflow3)
	p.ports["5000"], p.ports["8082"] = gatewaytest.FreePort(t), gatewaytest.FreePort(t)
	password := p.secrets(t)
	p.write(t, "secrets/etl.passwords.json", fmt.Sprintf(`{"gateway": %q}`, password))
	p.write(t, "dags/ci.py", ciDAGs)
	p.write(t, "registry.yml", p.withPorts(readFile(t, "../../examples/registry/config.yml")))
	p.write(t, "Caddyfile.ci", strings.Replace(p.withPorts(readFile(t, ciExamples+"/Caddyfile")),
		"deployment_keys {", "deployment_keys {\n\t\ttoken_lifetime "+ciTokenLifetime, 1))
	p.buildDeployAPI(t)

	s := &ciSite{bin: t.TempDir(), seen: filepath.Join(t.TempDir(), "seen")}
	s.airflow = p.start(t, []string{"airflow.env"}, append([][]string{
		{"docker-registry", "serve", "registry.yml"},
		{"./deploy-api", "-listen", p.withPorts("127.0.0.1:8082"), "-images", p.withPorts("127.0.0.1:8080/acme")},
	}, airflow3Processes...)...)
	s.gateway = p.startGateway(t, "Caddyfile.ci", "")
	layout := filepath.Join(p.dir, "image")
	s.airflow.run(t, "umoci", "init", "--layout", layout)
	s.airflow.run(t, "umoci", "new", "--image", layout+":v1")
	s.image = "oci:" + layout + ":v1"

	for _, program := range []string{"base64", "curl", "jq", "skopeo"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		s.program(t, program, fmt.Sprintf("printf '%%s\\n' %s \"$@\" >>%s\nenv | grep -v ^KEY_SECRET= >>%s\nexec %s \"$@\"\n", program, s.seen, s.seen, path))
	}
	return s
}

// buildDeployAPI compiles the example upstream into the place.
func (p *place) buildDeployAPI(t *testing.T) {
	t.Helper()
	build := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", filepath.Join(p.dir, "deploy-api"), "../../examples/deploy-api")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// program writes a stand-in for a program of PATH.
func (s *ciSite) program(t *testing.T, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.bin, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
}

// ciEnv is the environment of a job with a key. What comes later in it counts.
func (s *ciSite) ciEnv(k gatewaytest.Key, more ...string) []string {
	return append([]string{
		"PATH=" + s.bin + ":" + os.Getenv("PATH"),
		"HOME=" + s.dir,
		"DEPLOYMENT_KEY_ID=" + k.ID, "DEPLOYMENT_KEY_SECRET=" + k.Secret,
		"GATEWAY=" + s.site(""), "TLS_VERIFY=false",
		"ORGANIZATION=acme", "DEPLOYMENT=etl", "DAG_ID=hello",
		"IMAGE=" + s.image,
		"PATIENCE=2", "POLL_SECONDS=1",
	}, more...)
}

// finished is a job that has ended.
type finished struct {
	output string // both outputs
	code   int
}

// jwt is what access tokens look like.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}`)

// job runs a command to its end. Whatever comes of it, the command says no secret and leaves no file.
func (s *ciSite) job(t *testing.T, k gatewaytest.Key, dir string, env []string, command ...string) finished {
	t.Helper()
	tmp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(env, "TMPDIR="+tmp)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	f := finished{string(out), cmd.ProcessState.ExitCode()}
	if saysSecret(f.output, k) {
		t.Errorf("a secret or a token is in the output:\n%s", f.output)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("the job leaves %v, %v", left, err)
	}
	return f
}

// saysSecret reports whether a text has a token or the secret of any key, or that of one key as Basic.
func saysSecret(text string, k gatewaytest.Key) bool {
	return strings.Contains(text, "dks_") || jwt.MatchString(text) ||
		strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(k.ID+":"+k.Secret)))
}

// script runs deploy.sh.
func (s *ciSite) script(t *testing.T, k gatewaytest.Key, more ...string) finished {
	t.Helper()
	script, err := filepath.Abs(ciExamples + "/deploy.sh")
	if err != nil {
		t.Fatal(err)
	}
	return s.job(t, k, t.TempDir(), s.ciEnv(k, more...), script)
}

// want holds a job's end against an exit code, and its output against texts.
func (f finished) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if f.code != code {
		t.Errorf("exit code %d, want %d:\n%s", f.code, code, f.output)
	}
	for _, text := range texts {
		if !strings.Contains(f.output, text) {
			t.Errorf("%q is not in the output:\n%s", text, f.output)
		}
	}
}

// wantDeployed holds that an image is in the registry and was deployed.
func (s *ciSite) wantDeployed(t *testing.T, tag string) {
	t.Helper()
	digest, err := exec.CommandContext(t.Context(), "skopeo", "inspect", "--format", "{{.Digest}}", s.image).Output()
	if err != nil {
		t.Fatal(err)
	}
	direct := fmt.Sprintf("http://127.0.0.1:%d/v2/acme/etl/manifests/%s", s.ports["5000"], tag)
	manifest := gatewaytest.Call(t, http.MethodGet, direct, nil,
		gatewaytest.Header("Accept", "application/vnd.oci.image.manifest.v1+json")).Want(http.StatusOK)
	if got, want := manifest.Header.Get("Docker-Content-Digest"), strings.TrimSpace(string(digest)); got != want {
		t.Errorf("the registry has the digest %q, want %q", got, want)
	}
	said := s.read(t, "deploy-api--listen.log")
	if want := fmt.Sprintf("deploying 127.0.0.1:%d/acme/etl:%s to etl", s.port, tag); !strings.Contains(said, want) {
		t.Errorf("the deploy API did not say %q:\n%s", want, said)
	}
}

// runsOf asks Airflow for the runs of a DAG.
func (s *ciSite) runsOf(t *testing.T, dag string) (runs []dagRun) {
	t.Helper()
	reader := s.Token(t, s.port, s.fullKey)
	var list struct {
		Runs []dagRun `json:"dag_runs"`
	}
	gatewaytest.Call(t, http.MethodGet, s.site("/etl/api/v2/dags/"+dag+"/dagRuns?limit=100"), nil, gatewaytest.Bearer(reader)).
		Want(http.StatusOK).JSON(&list)
	return list.Runs
}

// succeeded counts the runs of hello that are a success.
func (s *ciSite) succeeded(t *testing.T) (n int) {
	t.Helper()
	for _, run := range s.runsOf(t, "hello") {
		if run.State == "success" {
			n++
		}
	}
	return n
}
