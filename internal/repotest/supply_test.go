package repotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// This file holds that a build of the plugin is the go command compiling Go that is in this repository or that go.sum has
// the hash of. Which licenses that is under is held by make lint, and that it gives the same bytes by make reproducible.

// goModules are the directories of this repository's modules.
var goModules = []string{".", "tools"}

// What a go.mod can say to have something else built, or built by something else, than what it requires.
func TestGoModReplacesNothing(t *testing.T) {
	t.Parallel()
	for _, dir := range goModules {
		var mod struct {
			Go, Toolchain             string
			Replace, Exclude, Retract []any
			Tool                      []struct{ Path string }
			Godebug                   []struct{ Key string }
		}
		if err := json.Unmarshal(output(t, exec.CommandContext(t.Context(), "go", "-C", dir, "mod", "edit", "-json")), &mod); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "go.mod")
		if len(mod.Replace) > 0 || len(mod.Exclude) > 0 {
			t.Errorf("%s replaces %v and excludes %v: other modules ignore both, so what they build would be something else", file, mod.Replace, mod.Exclude)
		}
		if mod.Toolchain != "" {
			t.Errorf("%s names the toolchain %s, which the go command would download and run: go.mod has to do with %s", file, mod.Toolchain, mod.Go)
		}
		if dir != "tools" && len(mod.Tool) > 0 {
			t.Errorf("%s has the tools %v: they belong into tools/go.mod, and not into the modules of those who build the plugin", file, mod.Tool)
		}
		if len(mod.Godebug) > 0 {
			t.Errorf("%s sets %v, which switches off what Go has made safer", file, mod.Godebug)
		}
	}
}

// Only Go is compiled from this repository: nothing that needs a C compiler, no assembler, no object files, which the go
// command links unseen, and no flags for a compiler or linker. Nothing is generated, so that what is reviewed is what is built.
func TestOnlyGoIsCompiled(t *testing.T) {
	t.Parallel()
	for _, dir := range goModules {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() {
				// Other modules have their own turn.
				if path != dir && (slices.Contains(goModules, path) || entry.Name() == "testdata" || path == ".git" || path == "bin") {
					return filepath.SkipDir
				}
				return nil
			}
			switch filepath.Ext(path) {
			case ".c", ".cc", ".cpp", ".cxx", ".m", ".h", ".hh", ".hpp", ".hxx", ".f", ".F", ".f90", ".s", ".S", ".sx", ".swig", ".swigcxx", ".syso", ".a", ".o":
				t.Errorf("%s would be compiled or linked: only Go is", path)
			case ".go":
				checkGoFile(t, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// checkGoFile fails the test if a file uses cgo, or has one of the comments that do more than say something.
func checkGoFile(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, imported := range file.Imports {
		if imported.Path.Value == `"C"` {
			t.Errorf("%s uses cgo", path)
		}
		if imported.Path.Value == `"plugin"` {
			t.Errorf("%s imports plugin, which loads code that was not built with it", path)
		}
	}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			for _, directive := range []string{"//go:generate", "//go:linkname", "//go:cgo_", "//line ", "/*line "} {
				if strings.HasPrefix(comment.Text, directive) {
					t.Errorf("%s has %.80q", path, comment.Text)
				}
			}
		}
	}
}

// In what users run there is no object file that came with a module, and without the race detector no C.
func TestNoObjectFilesAreLinked(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,CgoFiles,SysoFiles,SwigFiles,SwigCXXFiles,CFiles,CXXFiles", "./cmd/caddy")
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "CGO_ENABLED=0")
	decoder := json.NewDecoder(bytes.NewReader(output(t, cmd)))
	packages := 0
	for {
		var pkg struct {
			ImportPath                                                     string
			Standard                                                       bool
			CgoFiles, SysoFiles, SwigFiles, SwigCXXFiles, CFiles, CXXFiles []string
		}
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packages++
		if files := slices.Concat(pkg.CgoFiles, pkg.SysoFiles, pkg.SwigFiles, pkg.SwigCXXFiles, pkg.CFiles, pkg.CXXFiles); len(files) > 0 {
			t.Errorf("package %s has %q in it", pkg.ImportPath, files)
		}
	}
	if packages < 500 {
		t.Errorf("go list names %d packages: Caddy alone has more", packages)
	}
}
