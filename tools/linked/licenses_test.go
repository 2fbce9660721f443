package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const mit = `MIT License

Copyright (c) 2024 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the
"Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR
ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`

const isc = `Copyright (c) 2024 Somebody Else

Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that the
above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY
DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION,
ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`

func TestIdentify(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		ids  []string // nil if it has to be refused
	}{
		"one":                  {mit, []string{"MIT"}},
		"two":                  {mit + "\nOf sub.go:\n\n" + isc, []string{"ISC", "MIT"}},
		"terms besides":        {mit + strings.Repeat("Nobody who sells shoes may use this. ", 20), nil},
		"an address":           {mit + "\nOr https://www.apache.org/licenses/LICENSE-2.0, as you like.\n", []string{"Apache-2.0", "MIT"}},
		"an address alone":     {"This is licensed under https://www.apache.org/licenses/LICENSE-2.0", nil},
		"terms of its own":     {"You may look at this software, and do nothing with it.", nil},
		"nothing":              {"", nil},
		"a part of a license":  {mit[:len(mit)/4], nil},
		"only the disclaimers": {mit[strings.Index(mit, "THE SOFTWARE IS"):], nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ids, err := identify([]byte(test.text))
			slices.Sort(ids)
			if (err == nil) != (test.ids != nil) || !slices.Equal(ids, test.ids) {
				t.Errorf("it is taken for %q (%v), want %q", ids, err, test.ids)
			}
		})
	}
}

// A module is under the licenses of the packages that are linked, of the directories above them, and of no others.
func TestLicenseOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"LICENSE":                   mit,
		"license.go":                "package module",
		"linked/deep/LICENSE.txt":   isc,
		"linked/MIT-LICENSE":        mit,
		"linked/deep/er/COPYING.md": "What is not linked is not read.",
		"other/LICENSE":             "What is not linked is not read.",
	} {
		writeFile(t, filepath.Join(dir, name), text)
	}
	found, err := licenseOf(module{path: "example.com/a", dir: dir, packages: []string{filepath.Join(dir, "linked", "deep"), dir}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "ISC AND MIT"; found.expression() != want {
		t.Errorf("the license is %q, want %q", found.expression(), want)
	}
	if want := []string{"LICENSE", "linked/MIT-LICENSE", "linked/deep/LICENSE.txt"}; !slices.Equal(found.files, want) {
		t.Errorf("it was found in %q, want %q", found.files, want)
	}
}

func TestLicenseNotTold(t *testing.T) {
	t.Parallel()
	none, odd, large := t.TempDir(), t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(none, "README.md"), mit)
	writeFile(t, filepath.Join(odd, "LICENSE"), mit)
	writeFile(t, filepath.Join(odd, "COPYING"), "Ask me.")
	writeFile(t, filepath.Join(large, "LICENSE"), mit+strings.Repeat(" ", maxLicenseFile))

	licenses, err := licensesOf(map[string]module{
		"example.com/none":  {dir: none, version: "v1.0.0", packages: []string{none}},
		"example.com/odd":   {dir: odd, version: "v1.1.0", packages: []string{odd}},
		"example.com/large": {dir: large, version: "v1.2.0", packages: []string{large}},
	})
	if err == nil {
		t.Fatalf("the licenses are %v, want an error", licenses)
	}
	if !errors.Is(err, errNoLicense) {
		t.Errorf("the error is %v, want one that is %v", err, errNoLicense)
	}
	for _, want := range []string{"module example.com/none v1.0.0: ", "module example.com/odd v1.1.0: COPYING: ", "module example.com/large v1.2.0: LICENSE: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want it to say %q", err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	licenses := map[string]license{
		"example.com/allowed": {ids: []string{"Apache-2.0", "MIT"}},
	}
	for path, e := range exceptions {
		licenses[path] = license{ids: []string{"MIT", e.id}}
	}
	if err := check(licenses); err != nil {
		t.Errorf("allowed licenses and exceptions are refused: %v", err)
	}

	const excepted = "github.com/go-sql-driver/mysql"
	licenses["example.com/refused"] = license{ids: []string{"GPL-3.0-only", "MIT"}, files: []string{"sub/COPYING"}}
	licenses["example.com/not-excepted"] = license{ids: []string{exceptions[excepted].id}, files: []string{"LICENSE"}}
	delete(licenses, excepted)
	err := check(licenses)
	if err == nil {
		t.Fatal("licenses that are not allowed are taken")
	}
	for _, want := range []string{
		"module example.com/refused is under GPL-3.0-only (sub/COPYING), which is not allowed",
		"module example.com/not-excepted is under MPL-2.0 (LICENSE), which is not allowed",
		"no module " + excepted + " under MPL-2.0 is linked any more",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want it to say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "example.com/allowed") || strings.Contains(err.Error(), "under MIT") {
		t.Errorf("the error is %v, and names what is allowed", err)
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
