package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// mainPackage is the Caddy with this plugin. A build by xcaddy imports the same two packages.
const mainPackage = "./cmd/caddy"

const caddyModule = "github.com/caddyserver/caddy/v2"

// A target is what decides which packages are linked.
type target struct {
	system string // GOOS
	arch   string // GOARCH
	cgo    bool   // whether CGO_ENABLED is 1
	tags   string // build tags, with commas between
}

// A module is one that is linked, at least with one package.
type module struct {
	path, version string
	dir           string   // where its files are
	packages      []string // the directories of the packages that are linked
	imports       []string // the paths of the modules that these packages import, sorted; itself and Go's own are not among them
}

// A tree is what a Caddy with this plugin links for one target.
type tree struct {
	own     module            // the module of this repository
	modules map[string]module // all others, by path
}

// listedPackage is the part of `go list -json` that is read here.
type listedPackage struct {
	ImportPath string
	Dir        string
	Imports    []string
	Standard   bool
	Module     *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path string }
	}
}

// readTree returns what the repository in dir links. It fails where go.mod replaces a module: what is then linked is not
// what go.sum has the hash of.
func readTree(dir string, to target) (tree, error) {
	packages, err := listPackages(dir, to)
	if err != nil {
		return tree{}, err
	}
	moduleOf := make(map[string]string)
	found := make(map[string]module)
	own := ""
	for _, p := range packages {
		if p.Standard {
			continue
		}
		m := p.Module
		switch {
		case m == nil:
			return tree{}, fmt.Errorf("package %s is of no module", p.ImportPath)
		case m.Replace != nil:
			return tree{}, fmt.Errorf("module %s is replaced by %s: take the replacement out of go.mod", m.Path, m.Replace.Path)
		case m.Dir == "":
			return tree{}, fmt.Errorf("module %s %s is not in the module cache: run go mod download", m.Path, m.Version)
		case m.Main:
			own = m.Path
		}
		moduleOf[p.ImportPath] = m.Path
		linked := found[m.Path]
		linked.path, linked.version, linked.dir = m.Path, m.Version, m.Dir
		linked.packages = append(linked.packages, p.Dir)
		found[m.Path] = linked
	}
	if own == "" {
		return tree{}, fmt.Errorf("%s of %s links no package of its own module", mainPackage, dir)
	}
	for _, p := range packages {
		if p.Standard {
			continue
		}
		m := found[moduleOf[p.ImportPath]]
		for _, imported := range p.Imports {
			if to, ok := moduleOf[imported]; ok && to != m.path && !slices.Contains(m.imports, to) {
				m.imports = append(m.imports, to)
			}
		}
		slices.Sort(m.imports)
		found[m.path] = m
	}
	t := tree{own: found[own], modules: found}
	delete(t.modules, own)
	return t, nil
}

// listPackages returns the packages that are linked, Go's own among them.
func listPackages(dir string, to target) ([]listedPackage, error) {
	cgo := "0"
	if to.cgo {
		cgo = "1"
	}
	cmd := exec.Command("go", "list", "-deps", "-tags", to.tags, "-json=ImportPath,Dir,Imports,Standard,Module", mainPackage)
	cmd.Dir = dir
	// What this environment has set for builds must not decide what is listed.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "GOOS="+to.system, "GOARCH="+to.arch, "CGO_ENABLED="+cgo)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	var packages []listedPackage
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listedPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the output of go list: %w", err)
		}
		packages = append(packages, p)
	}
}
