package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

const (
	// maxLicenseFile is the size of the largest file that is taken for a license, in bytes.
	maxLicenseFile = 1 << 20
	// minCoverage is how much of a file's text has to be that of known licenses, in percent. The rest are copyright lines,
	// and what a project says around its license. It is what pkg.go.dev demands.
	minCoverage = 75
)

// errNoLicense says that a module has no file that is named like a license.
var errNoLicense = errors.New("there is no license file")

// licenseName matches the names of files that hold a license.
var licenseName = regexp.MustCompile(`(?i)^((un)?licen[sc]e|copying)([-_.].*)?$|[-_.](licen[sc]e|copying)(\.(md|txt))?$`)

// A license is what was found for one module.
type license struct {
	ids   []string // SPDX identifiers, sorted; all of them hold
	files []string // where they were found, relative to the module, with slashes
}

// expression returns the SPDX expression of a license.
func (l license) expression() string { return strings.Join(l.ids, " AND ") }

// licensesOf returns the licenses of modules, by their paths. Its error names each module of which it cannot be told.
func licensesOf(modules map[string]module) (map[string]license, error) {
	licenses := make(map[string]license)
	var unknown []error
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		found, err := licenseOf(modules[path])
		if err != nil {
			unknown = append(unknown, fmt.Errorf("module %s %s: %w", path, modules[path].version, err))
		}
		licenses[path] = found
	}
	return licenses, errors.Join(unknown...)
}

// licenseOf reads the license files of a module: those in the directories of the packages that are linked, and in the
// directories above these. One package may have been taken over from elsewhere, with a license of its own, and a module
// may be all under one license although a package that is not linked is under another. A file whose text is not that of
// known licenses is an error, as is a module without a file.
func licenseOf(m module) (license, error) {
	var found license
	for _, dir := range licenseDirectories(m) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return license{}, err
		}
		for _, entry := range entries {
			if !entry.Type().IsRegular() || !licenseName.MatchString(entry.Name()) || filepath.Ext(entry.Name()) == ".go" {
				continue
			}
			name := filepath.Join(dir, entry.Name())
			relative, err := filepath.Rel(m.dir, name)
			if err != nil {
				return license{}, err
			}
			ids, err := readLicense(name)
			if err != nil {
				return license{}, fmt.Errorf("%s: %w", filepath.ToSlash(relative), err)
			}
			found.ids = append(found.ids, ids...)
			found.files = append(found.files, filepath.ToSlash(relative))
		}
	}
	if len(found.files) == 0 {
		return license{}, errNoLicense
	}
	slices.Sort(found.ids)
	found.ids = slices.Compact(found.ids)
	return found, nil
}

// licenseDirectories returns the directories of a module where the licenses of its linked packages are, sorted.
func licenseDirectories(m module) []string {
	var dirs []string
	for _, dir := range m.packages {
		for ; dir != m.dir && strings.HasPrefix(dir, m.dir); dir = filepath.Dir(dir) {
			dirs = append(dirs, dir)
		}
	}
	dirs = append(dirs, m.dir)
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// readLicense returns the SPDX identifiers of the licenses whose text is in a file.
func readLicense(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxLicenseFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxLicenseFile {
		return nil, fmt.Errorf("it is larger than %d bytes: no license is", maxLicenseFile)
	}
	return identify(text)
}

// identify returns the SPDX identifiers of the licenses that a text consists of.
func identify(text []byte) ([]string, error) {
	if ids, ok := unclear[fmt.Sprintf("%x", sha256.Sum256(text))]; ok {
		return ids, nil
	}
	coverage := licensecheck.Scan(text)
	var ids []string
	for _, match := range coverage.Match {
		// An address of a license counts as its text does: it may be one more that holds.
		ids = append(ids, match.ID)
	}
	if len(ids) == 0 || coverage.Percent < minCoverage {
		return nil, fmt.Errorf("%.0f %% of the text are of known licenses (%s), want %d %%: read it, and see unclear in allowed.go",
			coverage.Percent, strings.Join(ids, ", "), minCoverage)
	}
	return ids, nil
}
