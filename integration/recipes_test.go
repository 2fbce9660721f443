package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// This file runs pages of docs/recipes as a reader would, as readme_test.go does with the README: first the programs that
// a page starts, then its other commands, in one shell.

// recipe says what is to be known of a page beside its text.
type recipe struct {
	page   string
	starts []start
	ports  map[string]int // those of the page and its examples; others that it names are replaced by free ones
	env    []string
}

// start is a command of a page that goes on until it is ended.
type start struct {
	command string
	serves  string // a URL that answers once it serves, with the ports of the page
}

// runRecipe runs a page.
func runRecipe(t *testing.T, r recipe) {
	t.Helper()
	caddyBinary(t) // so that go run finds all compiled
	dir := t.TempDir()
	var replacements []string
	for old, now := range r.ports {
		if now == 0 {
			now = freePort(t)
		}
		replacements = append(replacements, ":"+old, ":"+strconv.Itoa(now))
	}
	ports := strings.NewReplacer(replacements...)
	admin := ports.Replace("localhost:2019")
	tour := &tour{
		t: t, dir: dir, admin: admin, ports: ports,
		env: append(append(os.Environ(), "CADDY_ADMIN="+admin, "XDG_DATA_HOME="+filepath.Join(dir, "data"),
			"XDG_CONFIG_HOME="+filepath.Join(dir, "config")), r.env...),
	}
	blocks := gatewaytest.ReadBlocks(t, "../docs/recipes/"+r.page)
	for number, s := range r.starts {
		at := slices.Index(blocks, gatewaytest.Block{Language: "sh", Text: s.command + "\n"})
		if at < 0 {
			t.Fatalf("%s does not have the command %s", r.page, s.command)
		}
		blocks = slices.Delete(blocks, at, at+1)
		command := []string{"exec"}
		for _, word := range strings.Fields(ports.Replace(s.command)) {
			if strings.HasPrefix(word, "examples/") { // a file, with the ports of the page
				content, err := os.ReadFile(filepath.Join("..", word))
				if err != nil {
					t.Fatal(err)
				}
				word = filepath.Join(dir, filepath.Base(word))
				writeTestFile(t, word, ports.Replace(string(content)))
			}
			command = append(command, word)
		}
		startProgram(t, program{
			name: "bash", args: []string{"-c", strings.Join(command, " ")}, dir: "..", env: tour.env,
			log: filepath.Join(dir, "log-"+strconv.Itoa(number)), serves: ports.Replace(s.serves),
		})
	}
	for i := range blocks { // what is shown has ports too
		blocks[i].Text = ports.Replace(blocks[i].Text)
	}
	tour.run(blocks)
}

const adminAnswers = "http://localhost:2019/deployments"

func TestRegistryRecipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runRecipe(t, recipe{
		page: "registry.md",
		starts: []start{
			{"docker-registry serve examples/registry/config.yml", "http://127.0.0.1:5000/v2/"},
			{"go run ./cmd/caddy run --config examples/registry/Caddyfile", adminAnswers},
		},
		ports: map[string]int{"8080": 0, "5000": 0, "2019": 0},
		env: []string{
			"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=" + filepath.Join(dir, "registry"),
			"XDG_RUNTIME_DIR=" + dir, // where skopeo login writes. Its REGISTRY_AUTH_FILE would be a setting to docker-registry too
		},
	})
}

func TestDeployAPIRecipe(t *testing.T) {
	t.Parallel()
	runRecipe(t, recipe{
		page: "deploy-api.md",
		starts: []start{
			{"go run ./examples/deploy-api -listen 127.0.0.1:8082 -images localhost:8080/acme", "http://127.0.0.1:8082/"},
			{"go run ./cmd/caddy run --config examples/deploy-api/Caddyfile", adminAnswers},
		},
		ports: map[string]int{"8080": 0, "8082": 0, "2019": 0},
	})
}

// Only TestAstroCLI uses the port that the CLI itself would ask.
func TestAstroCLIRecipe(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	runRecipe(t, recipe{
		page:   "astro-cli.md",
		starts: []start{{"go run ./cmd/caddy run --config examples/astro-cli/Caddyfile", adminAnswers}},
		ports:  map[string]int{"8888": 0, "8083": p.port(), "8081": p.port(), "2019": 0},
	})
}
