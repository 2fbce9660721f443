package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// registrySite is a gateway with the Caddyfile of examples/registry in front of a docker-registry with the
// configuration that is there, with the Deployments etl and billing. Each has an image v1 in the registry.
type registrySite struct {
	*site
	registryPort int
	registryLog  string // the path of the registry's log

	etl, billing           key
	ownImage, foreignImage image // v1 of etl and of billing
}

// startRegistrySite starts both. The edits are made to the Caddyfile.
func startRegistrySite(t *testing.T, s store, edits ...func(string) string) *registrySite {
	t.Helper()
	port, registryPort := freePort(t), freePort(t)
	caddyfile := readExample(t, "registry/Caddyfile", map[string]int{"8080": port, "5000": registryPort})
	if s.options != "" {
		caddyfile = replaceOnce(t, caddyfile, "deployment_keys {", "deployment_keys {\n\t\t"+s.options)
	}
	for _, edit := range edits {
		caddyfile = edit(caddyfile)
	}
	r := &registrySite{registryPort: registryPort}
	r.startRegistry(t)
	r.site = &site{startGateway(t, caddyfile, withEnv(s.env...)), port}
	r.newDeployment(t, "etl")
	r.newDeployment(t, "billing")
	r.etl, r.billing = r.newKey(t, "etl"), r.newKey(t, "billing")
	r.ownImage = r.seed(t, "acme/etl", "v1")
	r.foreignImage = r.seed(t, "acme/billing", "v1")
	return r
}

// startRegistry starts docker-registry. Its log says for each request of which repository it is, and which files of its
// store it reads and writes.
func (r *registrySite) startRegistry(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	r.registryLog = filepath.Join(dir, "log")
	startProgram(t, program{
		name: "docker-registry",
		args: []string{"serve", abs(t, "../examples/registry/config.yml")},
		dir:  dir,
		env: []string{
			"REGISTRY_HTTP_ADDR=127.0.0.1:" + strconv.Itoa(r.registryPort),
			"REGISTRY_LOG_LEVEL=debug", "REGISTRY_LOG_FORMATTER=json",
		},
		log:    r.registryLog,
		serves: r.direct("/v2/"),
	})
}

// host is the gateway's name as clients of the registry write it.
func (r *registrySite) host() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// through is a URL at the gateway.
func (r *registrySite) through(path string) string { return r.URL(r.port, path) }

// direct is a URL at the registry itself, where nobody asks for credentials.
func (r *registrySite) direct(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", r.registryPort, path)
}

// image is one that seed has put into the registry.
type image struct {
	layer, layerDigest, manifest string
}

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

// seed puts an image into the registry, past the gateway, with a layer that names its repository.
func (r *registrySite) seed(t *testing.T, repository, tag string) image {
	t.Helper()
	seeded := image{layer: "layer of " + repository}
	seeded.layerDigest = r.seedBlob(t, repository, seeded.layer)
	seeded.manifest = manifestOf(r.seedBlob(t, repository, "{}"), 2, seeded.layerDigest, len(seeded.layer))
	call(t, http.MethodPut, r.direct("/v2/"+repository+"/manifests/"+tag), seeded.manifest, header("Content-Type", manifestType)).
		Want(http.StatusCreated)
	return seeded
}

func (r *registrySite) seedBlob(t *testing.T, repository, content string) string {
	t.Helper()
	begun := call(t, http.MethodPost, r.direct("/v2/"+repository+"/blobs/uploads/"), nil).Want(http.StatusAccepted)
	digest := digestOf(content)
	call(t, http.MethodPut, r.direct(begun.Header.Get("Location")+"&digest="+digest), content).Want(http.StatusCreated)
	return digest
}

func manifestOf(config string, configSize int, layer string, layerSize int) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.docker.container.image.v1+json",`+
		`"size":%d,"digest":%q},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":%d,"digest":%q}]}`,
		manifestType, configSize, config, layerSize, layer)
}

// wantForeignUntouched ends a test: in all that came through the gateway, the registry saw no other repository than
// that of etl, and neither read nor wrote a file of another one. It is the registry's own reading of what it got.
func (r *registrySite) wantForeignUntouched(t *testing.T) {
	t.Helper()
	log, err := os.Open(r.registryLog)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	directHost := fmt.Sprintf("127.0.0.1:%d", r.registryPort)
	requests := 0
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var entry struct {
			Host    string `json:"http.request.host"`
			URI     string `json:"http.request.uri"`
			Name    string `json:"vars.name"`
			Message string `json:"msg"`
		}
		// The registry also writes an access log, which is not of JSON.
		if json.Unmarshal(lines.Bytes(), &entry) != nil || entry.Host == "" || entry.Host == directHost {
			continue
		}
		requests++
		if entry.Name != "" && entry.Name != "acme/etl" {
			t.Errorf("the registry took %s for a request of %s", entry.URI, entry.Name)
		}
		if _, repository, found := strings.Cut(entry.Message, "/repositories/"); found && !strings.HasPrefix(repository, "acme/etl/") {
			t.Errorf("for %s the registry did %s", entry.URI, entry.Message)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if requests == 0 {
		t.Error("the registry's log has no request that came through the gateway")
	}
}

// run runs a program to its end and returns what it printed, both outputs together.
func run(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: run tools/install-needs", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

// mustRun is run for a program that has to succeed.
func mustRun(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := run(t, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// wantRefusedRun runs a program that has to fail and to say why.
func wantRefusedRun(t *testing.T, reason string, env []string, name string, args ...string) {
	t.Helper()
	out, err := run(t, env, name, args...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(out, reason) {
		t.Errorf("%s %s ended with %v and said %q, want a failure with %q", name, strings.Join(args, " "), err, out, reason)
	}
}
