// Command linked says what a Caddy with this plugin is made of: the modules that it links, the license of each, and both
// as an SBOM. It asks the go command and the binary, not go.mod, which also names what only tests need.
//
//	linked licenses [DIRECTORY]        print docs/licenses.md; fails when a license is not allowed
//	linked sbom BINARY [DIRECTORY]     print a CycloneDX SBOM of a binary that was built from this tree
//
// DIRECTORY is the root of the repository, by default the current directory. It exits with 1 on an error, and has then
// printed nothing on standard output.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

const usage = "usage: linked licenses [DIRECTORY] | linked sbom BINARY [DIRECTORY]"

func main() {
	var out bytes.Buffer
	if err := run(&out, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "linked:", err)
		os.Exit(1)
	}
	if _, err := out.WriteTo(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "linked:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, arguments []string) error {
	switch {
	case len(arguments) >= 1 && len(arguments) <= 2 && arguments[0] == "licenses":
		return writeLicenses(out, argument(arguments, 1))
	case len(arguments) >= 2 && len(arguments) <= 3 && arguments[0] == "sbom":
		return writeSBOM(out, arguments[1], argument(arguments, 2))
	default:
		return errors.New(usage)
	}
}

// argument returns the argument at index i, or "." when there is none.
func argument(arguments []string, i int) string {
	if i < len(arguments) {
		return arguments[i]
	}
	return "."
}
