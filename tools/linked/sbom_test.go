package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// These tests build a small repository, and not Caddy, which takes long: a plugin, its cmd/caddy, and one module of
// somebody else, which this test needs in any case.

const (
	plugin        = "example.com/plugin"
	otherModule   = "github.com/google/licensecheck"
	pluginModFile = "module " + plugin + "\n\ngo 1.26.0\n\nrequire " + otherModule + " v0.3.1\n"
	pluginMain    = "package main\n\nimport _ \"" + plugin + "\"\n\nfunc main() {}\n"
)

// newRepository returns the directory of a plugin.
func newRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "go.sum"), string(sums))
	writeFile(t, filepath.Join(dir, "go.mod"), pluginModFile)
	writeFile(t, filepath.Join(dir, "plugin.go"), "package plugin\n\nimport _ \""+otherModule+"\"\n")
	writeFile(t, filepath.Join(dir, "cmd/caddy/main.go"), pluginMain)
	return dir
}

// build builds a main package and returns the path of the binary.
func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "caddy")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return binary
}

// bom is the part of an SBOM that is looked at here.
type bom struct {
	SerialNumber string `json:"serialNumber"`
	Metadata     struct {
		Timestamp string `json:"timestamp"`
		Component struct {
			Name   string
			Hashes []struct{ Alg, Content string }
		}
	}
	Components []struct {
		Name, Version, Purl string
		Licenses            []struct{ License struct{ ID string } }
		Hashes              []struct{ Alg, Content string }
	}
	Dependencies []struct {
		Ref       string
		DependsOn []string `json:"dependsOn"`
	}
}

func TestSBOM(t *testing.T) {
	t.Parallel()
	repository := newRepository(t)

	// What xcaddy builds is in a module of its own, with the plugin's in place of a published one.
	byXcaddy := t.TempDir()
	writeFile(t, filepath.Join(byXcaddy, "main.go"), pluginMain)
	writeFile(t, filepath.Join(byXcaddy, "go.mod"), "module caddy\n\ngo 1.26.0\n\nrequire "+plugin+" v0.0.0\n\nreplace "+plugin+" => "+repository+"\n")
	sums, err := os.ReadFile(filepath.Join(repository, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(byXcaddy, "go.sum"), string(sums))

	goVersion := strings.TrimSpace(outputOf(t, "go", "env", "GOVERSION"))
	tests := map[string]struct {
		binary     string
		name       string
		components []string // name and version of each
		depends    []string // "what -> on what"
	}{
		"by the go command": {
			binary: build(t, repository, mainPackage), name: plugin + "/cmd/caddy",
			components: []string{otherModule + " v0.3.1", "std " + goVersion},
			depends:    []string{"main -> pkg:golang/" + otherModule + "@v0.3.1"},
		},
		"by xcaddy": {
			binary: build(t, byXcaddy, "."), name: "caddy",
			components: []string{plugin + " v0.0.0", otherModule + " v0.3.1", "std " + goVersion},
			depends:    []string{"main -> pkg:golang/" + plugin + "@v0.0.0", "pkg:golang/" + plugin + "@v0.0.0 -> pkg:golang/" + otherModule + "@v0.3.1"},
		},
	}
	schema := bomSchema(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text, again bytes.Buffer
			for _, out := range []*bytes.Buffer{&text, &again} {
				if err := run(out, []string{"sbom", test.binary, repository}); err != nil {
					t.Fatal(err)
				}
			}
			if text.String() != again.String() {
				t.Errorf("the second time the SBOM is another one:\n%s\n%s", text.String(), again.String())
			}
			document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(document); err != nil {
				t.Errorf("CycloneDX's schema does not allow the SBOM: %v", err)
			}
			if strings.Contains(text.String(), repository) || strings.Contains(text.String(), byXcaddy) {
				t.Errorf("the SBOM names a directory of this machine:\n%s", text.String())
			}

			var got bom
			if err := json.Unmarshal(text.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got.SerialNumber != "" || got.Metadata.Timestamp != "" {
				t.Errorf("the SBOM has the serial number %q and the time %q, want none", got.SerialNumber, got.Metadata.Timestamp)
			}
			sum := strings.Fields(outputOf(t, "sha256sum", test.binary))[0]
			if main := got.Metadata.Component; main.Name != test.name || len(main.Hashes) != 1 || main.Hashes[0].Content != sum {
				t.Errorf("the SBOM is of %+v, want %s with the hash %s", main, test.name, sum)
			}
			var components, depends []string
			for _, c := range got.Components {
				components = append(components, c.Name+" "+c.Version)
				if c.Name == otherModule {
					if len(c.Licenses) != 1 || c.Licenses[0].License.ID != "BSD-3-Clause" {
						t.Errorf("the licenses of %s are %v, want BSD-3-Clause", c.Name, c.Licenses)
					}
					// What go.sum says of v0.3.1, in hexadecimal.
					const want = "428c60a0391a782e2716bb463758d5ec83e60c21c5348561e787b9852b7ab0fb"
					if len(c.Hashes) != 1 || c.Hashes[0].Content != want {
						t.Errorf("the hashes of %s are %v, want %s", c.Name, c.Hashes, want)
					}
				}
			}
			for _, d := range got.Dependencies {
				for _, on := range d.DependsOn {
					depends = append(depends, d.Ref+" -> "+on)
				}
			}
			if !slices.Equal(components, test.components) {
				t.Errorf("the SBOM names %q, want %q", components, test.components)
			}
			if !slices.Equal(depends, test.depends) {
				t.Errorf("the SBOM says %q, want %q", depends, test.depends)
			}
		})
	}
}

// A binary that was not built from the tree gets no SBOM with the tree's licenses.
func TestSBOMRefused(t *testing.T) {
	t.Parallel()
	repository := newRepository(t)
	binary := build(t, repository, mainPackage)

	fewer := newRepository(t)
	writeFile(t, filepath.Join(fewer, "plugin.go"), "package plugin\n")
	replaced := newRepository(t)
	writeFile(t, filepath.Join(replaced, "other/go.mod"), "module "+otherModule+"\n")
	writeFile(t, filepath.Join(replaced, "other/other.go"), "package licensecheck\n")
	writeFile(t, filepath.Join(replaced, "go.mod"), pluginModFile+"\nreplace "+otherModule+" => ./other\n")
	stranger := newRepository(t)
	for _, name := range []string{"go.mod", "plugin.go", "cmd/caddy/main.go"} {
		text, err := os.ReadFile(filepath.Join(stranger, name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(stranger, name), strings.ReplaceAll(string(text), plugin, "example.com/stranger"))
	}
	noBinary := filepath.Join(t.TempDir(), "caddy")
	writeFile(t, noBinary, "#!/bin/sh\n")

	tests := map[string]struct {
		binary, repository string
		want               string // what the error has in it
	}{
		"no binary of Go":             {noBinary, repository, "read what " + noBinary + " was built of: "},
		"more than the tree links":    {binary, fewer, "it has module " + otherModule + " v0.3.1, which this tree does not link"},
		"less than the tree links":    {build(t, fewer, mainPackage), repository, "it does not have module " + otherModule + " v0.3.1, which this tree links"},
		"without the plugin":          {build(t, stranger, mainPackage), repository, "it has no module " + plugin},
		"a replacement in the binary": {build(t, replaced, mainPackage), repository, "module " + otherModule + " was replaced when it was built"},
		"a replacement in the tree":   {binary, replaced, "module " + otherModule + " is replaced by ./other"},
		"no repository":               {binary, t.TempDir(), "go list"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(&out, []string{"sbom", test.binary, test.repository})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one that says %q", err, test.want)
			}
			if out.Len() > 0 {
				t.Errorf("it wrote %q", out.String())
			}
		})
	}
}

func TestAgreeOnVersions(t *testing.T) {
	t.Parallel()
	tree := tree{own: module{path: plugin}, modules: map[string]module{otherModule: {path: otherModule, version: "v0.3.1"}}}
	info := &debug.BuildInfo{Main: debug.Module{Path: plugin}, Deps: []*debug.Module{{Path: otherModule, Version: "v0.3.1"}}}
	if err := agree(info, tree); err != nil {
		t.Errorf("the same versions do not agree: %v", err)
	}
	info.Deps[0].Version = "v0.3.0"
	const want = "it has module " + otherModule + " v0.3.0, and this tree links v0.3.1"
	if err := agree(info, tree); err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

func TestHashOf(t *testing.T) {
	t.Parallel()
	for _, sum := range []string{"h2:QoxgoDkaeC4nFrtGN1jV7IPmDCHFNIVh54e5hSt6sPs=", "h1:QoxgoDkaeC4nFrtGN1jV7IPmDCHFNIVh54e5hSt6sA==", "h1:?"} {
		if hash, err := hashOf(&debug.Module{Path: otherModule, Sum: sum}); err == nil {
			t.Errorf("%s is taken for %v", sum, hash)
		}
	}
}

// bomSchema returns CycloneDX's schema of an SBOM in the version that is written here. It is a part of the module that
// writes SBOMs.
func bomSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir := filepath.Join(strings.TrimSpace(outputOf(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go")), "schema")
	compiler := jsonschema.NewCompiler()
	const base = "http://cyclonedx.org/schema/"
	for name, file := range map[string]string{
		"bom-1.6.schema.json":  "bom-1.6.schema.json",
		"spdx.schema.json":     "spdx.schema.json",
		"jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := compiler.AddResource(base+name, document); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(base + "bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// outputOf runs a command and returns what it wrote to standard output.
func outputOf(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	out, err := exec.Command(name, arguments...).Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, arguments, err)
	}
	return string(out)
}
