package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// systems are the ones whose builds docs/licenses.md is about. What is linked does not depend on the processor.
var systems = []string{"linux", "darwin", "windows"}

const introduction = `# Licenses

What a Caddy with this plugin links besides the plugin: each module, its version, its license by SPDX identifier, and the files of the module
that say so. Where there are several, parts of the module are under different ones, and all of them hold. Go's own library and runtime,
BSD-3-Clause, are linked too.

` + "`make licenses`" + ` writes this file, from what the go command links on Linux, macOS and Windows. ` + "`make lint`" + ` holds that it is up to date,
and that no license is on it that is not allowed: ` + "`tools/linked/allowed.go`" + `. Builds by xcaddy link these or fewer.

`

// writeLicenses writes docs/licenses.md for the repository in dir.
func writeLicenses(out io.Writer, dir string) error {
	modules := make(map[string]module)
	linkedOn := make(map[string][]string)
	for _, system := range systems {
		t, err := readTree(dir, target{system: system, arch: "amd64"})
		if err != nil {
			return err
		}
		for path, m := range t.modules {
			// Another system may link other packages of the module, with other licenses.
			m.packages = append(m.packages, modules[path].packages...)
			modules[path] = m
			linkedOn[path] = append(linkedOn[path], system)
		}
	}
	licenses, err := licensesOf(modules)
	if err != nil {
		return err
	}
	if err := check(licenses); err != nil {
		return err
	}
	return writeTable(out, modules, licenses, linkedOn)
}

// writeTable writes docs/licenses.md, with a row for each module. The maps have the paths of modules as keys.
func writeTable(out io.Writer, modules map[string]module, licenses map[string]license, linkedOn map[string][]string) error {
	var text strings.Builder
	text.WriteString(introduction)
	text.WriteString("| module | version | license | in |\n|---|---|---|---|\n")
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		only := ""
		if on := linkedOn[path]; len(on) < len(systems) {
			only = " (" + strings.Join(on, ", ") + " only)"
		}
		fmt.Fprintf(&text, "| %s%s | %s | %s | %s |\n", path, only, modules[path].version,
			licenses[path].expression(), strings.Join(licenses[path].files, ", "))
	}
	for _, path := range slices.Sorted(maps.Keys(exceptions)) {
		fmt.Fprintf(&text, "\n%s of %s: %s.\n", exceptions[path].id, path, exceptions[path].why)
	}
	_, err := io.WriteString(out, text.String())
	return err
}
