package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

// specVersion is that of the SBOM. It is not the newest, which fewer programs read.
const specVersion = cyclonedx.SpecVersion1_6

// writeSBOM writes a CycloneDX SBOM, as JSON, of a binary that was built from the repository in dir, by the go command or
// by xcaddy. What it names is what the binary says of itself; licenses and imports are those of the repository's modules.
// It fails where the two do not agree. The same binary gives the same SBOM: it has no serial number and no time in it.
func writeSBOM(out io.Writer, binary, dir string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("read what %s was built of: %w", binary, err)
	}
	linkedFor, err := targetOf(info)
	if err != nil {
		return fmt.Errorf("%s: %w", binary, err)
	}
	t, err := readTree(dir, linkedFor)
	if err != nil {
		return err
	}
	if err := agree(info, t); err != nil {
		return fmt.Errorf("%s was not built from this tree: build it anew: %w", binary, err)
	}
	licenses, err := licensesOf(t.modules)
	if err != nil {
		return err
	}
	sum, err := sha256File(binary)
	if err != nil {
		return err
	}
	bom, err := newSBOM(info, t, licenses, sum)
	if err != nil {
		return err
	}
	encoder := cyclonedx.NewBOMEncoder(out, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	return encoder.EncodeVersion(bom, specVersion)
}

// targetOf returns what a binary was built for.
func targetOf(info *debug.BuildInfo) (target, error) {
	var to target
	for _, setting := range info.Settings {
		switch setting.Key {
		case "GOOS":
			to.system = setting.Value
		case "GOARCH":
			to.arch = setting.Value
		case "CGO_ENABLED":
			to.cgo = setting.Value == "1"
		case "-tags":
			to.tags = setting.Value
		}
	}
	if to.system == "" || to.arch == "" {
		return target{}, errors.New("it does not say for which system it was built: build it with the go command")
	}
	return to, nil
}

// agree returns an error that names each module that only one of a binary and a tree has, or in which their versions
// differ. A module that the binary has from elsewhere is such a one too, but for the plugin itself, which xcaddy takes from a directory.
func agree(info *debug.BuildInfo, t tree) error {
	if info.Main.Path != t.own.path && !slices.ContainsFunc(info.Deps, func(m *debug.Module) bool { return m.Path == t.own.path }) {
		return fmt.Errorf("it has no module %s", t.own.path)
	}
	var differences []error
	inBinary := make(map[string]bool)
	for _, m := range info.Deps {
		if m.Path == t.own.path {
			continue
		}
		inBinary[m.Path] = true
		switch inTree, ok := t.modules[m.Path]; {
		case m.Replace != nil:
			differences = append(differences, fmt.Errorf("module %s was replaced when it was built", m.Path))
		case !ok:
			differences = append(differences, fmt.Errorf("it has module %s %s, which this tree does not link", m.Path, m.Version))
		case inTree.version != m.Version:
			differences = append(differences, fmt.Errorf("it has module %s %s, and this tree links %s", m.Path, m.Version, inTree.version))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(t.modules)) {
		if !inBinary[path] {
			differences = append(differences, fmt.Errorf("it does not have module %s %s, which this tree links", path, t.modules[path].version))
		}
	}
	return errors.Join(differences...)
}

// newSBOM makes the SBOM of a binary, with the hexadecimal SHA-256 of its bytes.
func newSBOM(info *debug.BuildInfo, t tree, licenses map[string]license, sum string) (*cyclonedx.BOM, error) {
	main := &cyclonedx.Component{
		BOMRef:     "main",
		Type:       cyclonedx.ComponentTypeApplication,
		Name:       info.Path,
		Version:    info.Main.Version,
		Hashes:     &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: sum}},
		Properties: settings(info),
	}
	standard := library("std", strings.TrimPrefix(info.GoVersion, "go"), []string{"BSD-3-Clause"})
	standard.Version = info.GoVersion
	components := []cyclonedx.Component{standard}
	references := map[string]string{info.Main.Path: main.BOMRef}
	for _, m := range info.Deps {
		c := library(m.Path, m.Version, licenses[m.Path].ids)
		if m.Sum != "" {
			hash, err := hashOf(m)
			if err != nil {
				return nil, err
			}
			c.Hashes = &[]cyclonedx.Hash{hash}
		}
		components = append(components, c)
		references[m.Path] = c.BOMRef
	}
	slices.SortFunc(components, func(a, b cyclonedx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })

	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Component: main}
	bom.Components = &components
	bom.Dependencies = dependencies(info, t, references)
	return bom, nil
}

// library returns the component of a module: its package URL is its name in the SBOM too.
func library(path, version string, ids []string) cyclonedx.Component {
	// The only character of a version that a package URL has to escape.
	url := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cyclonedx.Component{
		BOMRef:     url,
		Type:       cyclonedx.ComponentTypeLibrary,
		Name:       path,
		Version:    version,
		PackageURL: url,
		Licenses:   licenseChoice(ids),
	}
}

// dependencies says which module imports which. The keys of references are the paths of the modules, and the values what
// they are called in the SBOM. What xcaddy has written is not in the tree; it imports Caddy and the plugin.
func dependencies(info *debug.BuildInfo, t tree, references map[string]string) *[]cyclonedx.Dependency {
	imports := map[string][]string{t.own.path: t.own.imports}
	for path, m := range t.modules {
		imports[path] = m.imports
	}
	if info.Main.Path != t.own.path {
		imports[info.Main.Path] = []string{caddyModule, t.own.path}
	}
	var all []cyclonedx.Dependency
	for path, reference := range references {
		var on []string
		for _, imported := range imports[path] {
			if reference, ok := references[imported]; ok {
				on = append(on, reference)
			}
		}
		slices.Sort(on)
		all = append(all, cyclonedx.Dependency{Ref: reference, Dependencies: &on})
	}
	slices.SortFunc(all, func(a, b cyclonedx.Dependency) int { return strings.Compare(a.Ref, b.Ref) })
	return &all
}

// settings returns the settings of the build that decide what is in the binary. Those that may have a path of the machine
// in them are left out.
func settings(info *debug.BuildInfo) *[]cyclonedx.Property {
	var properties []cyclonedx.Property
	for _, setting := range info.Settings {
		switch setting.Key {
		case "GOOS", "GOARCH", "GOAMD64", "GOARM64", "CGO_ENABLED", "-tags", "-race", "-trimpath", "vcs.revision", "vcs.modified":
			properties = append(properties, cyclonedx.Property{Name: "go:build:" + setting.Key, Value: setting.Value})
		}
	}
	return &properties
}

// hashOf returns the hash that go.sum has of a module: the SHA-256 of the names and SHA-256s of its files. CycloneDX has
// no name of its own for it; CycloneDX's program for Go modules gives it as SHA-256 as well.
func hashOf(m *debug.Module) (cyclonedx.Hash, error) {
	encoded, ok := strings.CutPrefix(m.Sum, "h1:")
	if !ok {
		return cyclonedx.Hash{}, fmt.Errorf("module %s has the hash %q, want one of the form h1", m.Path, m.Sum)
	}
	sum, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(sum) != sha256.Size {
		return cyclonedx.Hash{}, fmt.Errorf("module %s has the hash %q, want h1: and %d bytes in base64", m.Path, m.Sum, sha256.Size)
	}
	return cyclonedx.Hash{Algorithm: cyclonedx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sum)}, nil
}

// licenseChoice returns licenses in the form of CycloneDX: one by its identifier, several as an expression.
func licenseChoice(ids []string) *cyclonedx.Licenses {
	switch len(ids) {
	case 0:
		return nil
	case 1:
		return &cyclonedx.Licenses{{License: &cyclonedx.License{ID: ids[0]}}}
	default:
		return &cyclonedx.Licenses{{Expression: license{ids: ids}.expression()}}
	}
}

func sha256File(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}
