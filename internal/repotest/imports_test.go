package repotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/deploymentkeys/gateway"

// mayImport says, for each package, which packages of this module it may import outside its tests. Paths are relative to
// the module; the root package is ".". Imports go down only:
//
//	cmd/caddy -> gateway -> {admin/cli, admin/console} -> admin
//	gateway -> caddymodule/airflow
//	these -> caddymodule -> access -> caddymodule/node -> {keystore, token}
//
// Packages below internal/ stand outside of it: each may import them, and they import only one another.
var mayImport = map[string][]string{
	"cmd/caddy":           {"."},
	".":                   {"admin", "admin/cli", "admin/console", "caddymodule", "caddymodule/airflow"},
	"admin/console":       {"access", "admin", "caddymodule", "keystore"},
	"admin/cli":           {"access", "admin", "caddymodule", "keystore"},
	"admin":               {"access", "caddymodule", "keystore"},
	"caddymodule/airflow": {"access", "caddymodule", "keystore", "token"},
	"caddymodule":         {"access", "caddymodule/node", "keystore", "keystore/redisstore", "token"},
	"access":              {"caddymodule/node", "keystore", "token"},
	"caddymodule/node":    {"keystore", "keystore/boltstore", "keystore/redisstore", "token"},
	"keystore/boltstore":  {"keystore"},
	"keystore/redisstore": {"keystore"},
	"keystore/storetest":  {"keystore"},
	"keystore":            {},
	"token":               {},
	"integration":         {},
	"examples/deploy-api": {},
	"bench":               {},

	"integration/gatewaytest": {},
	"integration/airflow":     {},
	"integration/console":     {},
	"integration/load":        {},
	"integration/timing":      {},
}

// mayUseCaddy are the packages that know Caddy. All others stay free of it, also by way of what they import, so that
// the domain can be read, tested and reused without a web server.
var mayUseCaddy = []string{
	"cmd/caddy", ".", "admin", "admin/cli", "admin/console", "access", "caddymodule", "caddymodule/airflow", "caddymodule/node",
	"internal/caddyconf",
}

// mayNotName are imports that a package must not have by itself: access decides without Caddy, and a node, which
// outlives configurations, knows no HTTP and none of Caddy's modules.
var mayNotName = map[string][]string{
	"access":           {"github.com/caddyserver", "go.uber.org/zap"},
	"caddymodule/node": {"net/http", "github.com/caddyserver/caddy/v2/modules", "github.com/caddyserver/caddy/v2/caddyconfig"},
}

// onlyIn names, for each module that few packages know, those packages. Tests and test kits may look behind them.
var onlyIn = map[string][]string{
	"github.com/redis/go-redis": {"keystore/redisstore"},
	"go.etcd.io/bbolt":          {"keystore/boltstore"},

	"github.com/prometheus/client_golang": {"caddymodule", "caddymodule/node"},
}

// listedPackage is the part of `go list -json` that the import rule reads.
type listedPackage struct {
	ImportPath string
	Imports    []string // direct, without tests
	Deps       []string // direct and indirect, without tests
}

func TestImportRule(t *testing.T) {
	packages := listPackages(t)
	for _, rel := range slices.Sorted(maps.Keys(packages)) {
		pkg := packages[rel]
		allowed, known := mayImport[rel]
		if !known && !isInternal(rel) {
			t.Errorf("package %s is not in the import rule: add a line for it to mayImport in imports_test.go that says "+
				"which packages of this module it may import", rel)
			continue
		}
		for _, imported := range pkg.Imports {
			target, own := relative(imported)
			switch {
			case own && isTestKit(target) && !isTestKit(rel):
				t.Errorf("%s imports %s, which is a test kit: only tests may import it", rel, target)
			case own && !isInternal(target) && !slices.Contains(allowed, target):
				t.Errorf("%s imports %s: imports go down only, see mayImport in imports_test.go", rel, target)
			case !own && !isTestKit(rel):
				for module, only := range onlyIn {
					if within(imported, module) && !slices.Contains(only, rel) {
						t.Errorf("%s imports %s, which only %s may know", rel, imported, only)
					}
				}
				for _, forbidden := range mayNotName[rel] {
					if within(imported, forbidden) {
						t.Errorf("%s imports %s: see mayNotName in imports_test.go", rel, imported)
					}
				}
			}
		}
		if slices.Contains(mayUseCaddy, rel) {
			continue
		}
		for _, dep := range pkg.Deps {
			if within(dep, "github.com/caddyserver") {
				t.Errorf("%s depends on %s, by itself or by what it imports: it must not know Caddy", rel, dep)
				break
			}
		}
	}
	for rel := range mayImport {
		if _, ok := packages[rel]; !ok {
			t.Errorf("there is no package %s: remove its line from mayImport in imports_test.go", rel)
		}
	}
}

// listPackages returns the packages of this module by their path relative to it.
func listPackages(t *testing.T) map[string]listedPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "./...")
	decoder := json.NewDecoder(bytes.NewReader(output(t, cmd)))
	packages := make(map[string]listedPackage)
	for {
		var pkg listedPackage
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		rel, own := relative(pkg.ImportPath)
		if !own {
			t.Fatalf("go list ./... names %s, which is not in module %s", pkg.ImportPath, modulePath)
		}
		packages[rel] = pkg
	}
}

// relative returns an import path relative to this module, and whether it is in this module at all.
func relative(importPath string) (string, bool) {
	if importPath == modulePath {
		return ".", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

// within reports whether an import path is prefix or below it.
func within(importPath, prefix string) bool {
	return importPath == prefix || strings.HasPrefix(importPath, prefix+"/")
}

func isInternal(rel string) bool { return within(rel, "internal") }

// isTestKit reports whether a package is there for tests: by its name, as in storetest or httptest.
func isTestKit(rel string) bool { return strings.HasSuffix(path.Base(rel), "test") }
