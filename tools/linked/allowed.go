package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// allowed are the licenses, by SPDX identifier, that any module may be under: permissive ones, which ask for their text
// to be kept and for nothing of whoever links the module.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-2-Clause-Views", "BSD-3-Clause", "CC0-1.0", "MIT"}

// exceptions are the licenses that single modules may be under besides, and why that is all right.
var exceptions = map[string]exception{
	"github.com/alecthomas/chroma/v2": {"OFL-1.1", "of a font that its SVG formatter has in it"},
	"github.com/go-sql-driver/mysql":  {"MPL-2.0", "asks for the source of its own files alone, which are linked unchanged; builds by xcaddy leave it out"},
}

type exception struct{ id, why string }

// unclear says of license files that [identify] does not know enough of which licenses they hold: somebody has read them.
// They are known by the SHA-256 of their text, so that one that changes is read again.
var unclear = map[string][]string{
	// github.com/AndreasBriese/bbloom: its own is MIT, and a file of it was dedicated to the public.
	"6dd1cec8fe966990fbcdd00ca64e05604c66bd1fa1573d862dceaf18cde869e4": {"MIT", "CC0-1.0"},
}

// check returns an error that names each module whose license is not allowed, and each exception that no module needs.
func check(licenses map[string]license) error {
	var refused []error
	needed := make(map[string]bool)
	for _, path := range slices.Sorted(maps.Keys(licenses)) {
		found := licenses[path]
		for _, id := range found.ids {
			switch {
			case slices.Contains(allowed, id):
			case exceptions[path].id == id:
				needed[path] = true
			default:
				refused = append(refused, fmt.Errorf("module %s is under %s (%s), which is not allowed: do without the module, "+
					"or see allowed and exceptions in tools/linked/allowed.go", path, id, strings.Join(found.files, ", ")))
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(exceptions)) {
		if !needed[path] {
			refused = append(refused, fmt.Errorf("no module %s under %s is linked any more: take its exception out of tools/linked/allowed.go",
				path, exceptions[path].id))
		}
	}
	return errors.Join(refused...)
}
