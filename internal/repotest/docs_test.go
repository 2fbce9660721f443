package repotest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/security.md says which test stands for what. These tests hold that each of them is there, so that one that is
// renamed or gone is missed.

// testFunctions are the names of all tests, fuzz targets and benchmarks of the module.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	found := make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, match := range declaration.FindAllStringSubmatch(string(content), -1) {
			found[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSecurityDocumentNamesTestsThatExist(t *testing.T) {
	document, functions := readDocument(t, "docs/security.md"), testFunctions(t)
	named := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+`).FindAllString(document, -1)
	if len(named) < 50 {
		t.Errorf("docs/security.md names %d tests", len(named))
	}
	for _, name := range named {
		if !functions[name] {
			t.Errorf("docs/security.md names %s, which is not there", name)
		}
	}
	for name := range functions {
		if strings.HasPrefix(name, "Fuzz") && !strings.Contains(document, name+"`") {
			t.Errorf("docs/security.md does not name %s", name)
		}
	}
}

// TestSecurityDocumentHasEveryIncident compares its table with the list of integration/incidents_*_test.go.
func TestSecurityDocumentHasEveryIncident(t *testing.T) {
	document := readDocument(t, "docs/security.md")
	files, err := filepath.Glob("integration/incidents_*_test.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files of incidents: %v", len(files), err)
	}
	incident := regexp.MustCompile(`(?m)^\t\{name: "([^"]+)", (?:shared|alone): `)
	var tested []string
	for _, file := range files {
		for _, match := range incident.FindAllStringSubmatch(readDocument(t, file), -1) {
			tested = append(tested, match[1])
			if !strings.Contains(document, "| "+match[1]+" |") {
				t.Errorf("docs/security.md has no line for the incident %q", match[1])
			}
		}
	}
	_, table, _ := strings.Cut(document, "| incident |")
	table, _, _ = strings.Cut(table, "\n\n")
	if lines := strings.Count(table, "\n") - 1; lines != len(tested) {
		t.Errorf("docs/security.md has %d lines of incidents, and %d are tested", lines, len(tested))
	}
}

func TestDocumentsNameTargetsOfTheMakefile(t *testing.T) {
	makefile := readDocument(t, "Makefile")
	documents := []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/recipes/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) < 5 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		documents = append(documents, found...)
	}
	for _, document := range documents {
		for _, match := range regexp.MustCompile("`make ([a-z-]+)").FindAllStringSubmatch(readDocument(t, document), -1) {
			if !regexp.MustCompile(`(?m)^` + match[1] + `:`).MatchString(makefile) {
				t.Errorf("%s names make %s, which the Makefile does not have", document, match[1])
			}
		}
	}
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
