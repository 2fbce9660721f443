package repotest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const caddyModule = "github.com/caddyserver/caddy/v2"

// xcaddyCommand is how the README builds a Caddy with this plugin. xcaddy's command line reads no file, so jq turns
// xcaddy.json into its arguments.
const xcaddyCommand = `xcaddy build "$(jq -r .caddy_version xcaddy.json)" ` +
	`$(jq -r '.plugins[] | "--with \(.module_path)@\(.version)=."' xcaddy.json)`

// xcaddyMain is the main package that xcaddy writes for this plugin.
const xcaddyMain = `package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/deploymentkeys/gateway"
)

func main() {
	caddycmd.Main()
}
`

// goMod is the part of `go mod edit -json` that these tests read.
type goMod struct {
	Module  struct{ Path string }
	Require []struct{ Path, Version string }
}

// xcaddyBuilder is the part of xcaddy's Builder, in its JSON form, that xcaddy.json uses.
type xcaddyBuilder struct {
	CaddyVersion string `json:"caddy_version"`
	Plugins      []struct {
		ModulePath string `json:"module_path"`
		Version    string `json:"version"`
	} `json:"plugins"`
}

func TestXcaddyFileAgreesWithGoMod(t *testing.T) {
	mod := readGoMod(t)
	file, err := os.Open("xcaddy.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var builder xcaddyBuilder
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&builder); err != nil {
		t.Fatalf("xcaddy.json: %v", err)
	}

	if want := requirement(t, mod, caddyModule); builder.CaddyVersion != want {
		t.Errorf("xcaddy.json has caddy_version %q, go.mod requires %q", builder.CaddyVersion, want)
	}
	if len(builder.Plugins) != 1 {
		t.Fatalf("xcaddy.json has %d plugins, want this module alone", len(builder.Plugins))
	}
	if got := builder.Plugins[0].ModulePath; got != mod.Module.Path {
		t.Errorf("xcaddy.json has module_path %q, go.mod says %q", got, mod.Module.Path)
	}
	if got := builder.Plugins[0].Version; got != "v0.0.0" {
		t.Errorf("xcaddy.json has version %q, want v0.0.0, which stands for this tree", got)
	}
}

// TestXcaddyCommand runs the README's command with a stand-in for xcaddy that prints the arguments it was given.
func TestXcaddyCommand(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		t.Fatal("jq is not installed: apt-get install jq")
	}
	bin := t.TempDir()
	writeFile(t, filepath.Join(bin, "xcaddy"), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n", 0o755)

	cmd := exec.CommandContext(t.Context(), "sh", "-c", xcaddyCommand)
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	got := strings.Fields(string(output(t, cmd)))

	if readme, err := os.ReadFile("README.md"); err != nil || !strings.Contains(string(readme), "```sh\n"+xcaddyCommand+"\n```") {
		t.Errorf("the README does not have the command as it is tested here (%v)", err)
	}

	mod := readGoMod(t)
	want := []string{"build", requirement(t, mod, caddyModule), "--with", mod.Module.Path + "@v0.0.0=."}
	if !slices.Equal(got, want) {
		t.Errorf("the command calls xcaddy with %q, want %q", got, want)
	}
}

// TestXcaddyBuild does what `xcaddy build --with github.com/deploymentkeys/gateway@v0.0.0=.` does, without xcaddy and
// without the network: a module of its own, whose main imports Caddy and this plugin, and a replacement with this tree.
// It takes go.mod's requirements and go.sum over, where xcaddy would ask for them again, and compiles with -race, where
// xcaddy would not, so that the packages come from the build cache.
func TestXcaddyBuild(t *testing.T) {
	tree, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), string(content), 0o644)
	}
	writeFile(t, filepath.Join(dir, "main.go"), xcaddyMain, 0o644)

	path := readGoMod(t).Module.Path
	run := func(name string, arg ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, arg...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		return string(output(t, cmd))
	}
	run("go", "mod", "edit", "-module=caddy", "-require="+path+"@v0.0.0", "-replace="+path+"="+tree)
	run("go", "build", "-race", "-buildvcs=false", "-o", "caddy", ".")

	modules := strings.Fields(run(filepath.Join(dir, "caddy"), "list-modules"))
	for _, id := range []string{
		"deployment_keys",
		"http.handlers.deployment_token",
		"http.handlers.deployment_auth",
		"http.handlers.deployment_console",
		"admin.api.deployment_keys",
	} {
		if !slices.Contains(modules, id) {
			t.Errorf("the Caddy that was built has no module %s", id)
		}
	}
}

// readGoMod returns what this module's go.mod says.
func readGoMod(t *testing.T) goMod {
	t.Helper()
	var mod goMod
	if err := json.Unmarshal(output(t, exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")), &mod); err != nil {
		t.Fatal(err)
	}
	return mod
}

// requirement returns the version of a module that go.mod requires.
func requirement(t *testing.T, mod goMod, path string) string {
	t.Helper()
	for _, require := range mod.Require {
		if require.Path == path {
			return require.Version
		}
	}
	t.Fatalf("go.mod does not require %s", path)
	return ""
}

// output runs a command and returns what it wrote to standard output. A command that fails ends the test with what it
// wrote to standard error.
func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return out
}

func writeFile(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
