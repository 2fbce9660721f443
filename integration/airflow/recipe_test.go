package airflow

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// The recipe, as a reader follows it, with other ports.
func TestRecipe(t *testing.T) {
	p := newPlace(t, airflow3)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer(
		"../../tools/", root+"/tools/",
		"go build -o gateway ../../cmd/caddy", "cp "+gatewaytest.CaddyBinary(t)+" gateway",
	)
	env := append(p.env,
		"HOME="+p.dir, "XDG_CACHE_HOME="+cacheHome(t), "GORACE=atexit_sleep_ms=50",
		"XDG_DATA_HOME="+filepath.Join(p.dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(p.dir, "config"),
		"CADDY_ADMIN=localhost:"+strconv.Itoa(p.ports["2019"]),
	)
	defer func() {
		if !t.Failed() {
			return
		}
		for _, file := range []string{"gateway.log", "etl.log", "etl2.log"} {
			text, err := os.ReadFile(filepath.Join(p.dir, file))
			t.Logf("%s: %v\n%s", file, err, tail(string(text)))
		}
	}()
	gatewaytest.RunBlocks(t, gatewaytest.Shell{Dir: p.dir, Env: env}, gatewaytest.ReadBlocks(t, "../../docs/recipes/airflow.md"),
		func(command string) string { return p.withPorts(replace.Replace(command)) })
}

// cacheHome is where the environments of Airflow are, for a shell with another home.
func cacheHome(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// What the examples configure is what `caddy validate` takes.
func TestExamplesAreValid(t *testing.T) {
	p := newPlace(t, airflow3)
	p.secrets(t)
	p.write(t, "secrets/etl.basic", "eDp5")
	p.write(t, "secrets/billing.basic", "eDp5")
	files, err := filepath.Glob(filepath.Join(p.dir, "Caddyfile*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d Caddyfiles: %v", len(files), err)
	}
	for _, file := range files {
		validate := exec.Command(gatewaytest.CaddyBinary(t), "validate", "--config", file, "--adapter", "caddyfile")
		validate.Dir = p.dir
		validate.Env = append(p.env, "XDG_DATA_HOME="+p.dir, "XDG_CONFIG_HOME="+p.dir)
		if out, err := validate.CombinedOutput(); err != nil {
			t.Errorf("caddy validate: %v\n%s", err, out)
		}
	}
}
