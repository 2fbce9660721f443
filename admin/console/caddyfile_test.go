package console

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the directives that stand beside ours
)

var update = flag.Bool("update", false, "write what the adapter makes of testdata/*.caddyfiletest into these files")

// dashes divide a file of testdata: before them a Caddyfile, after them the JSON that it stands for.
const dashes = "----------\n"

// What a Caddyfile stands for is a contract: people keep the JSON too.
func TestCaddyfileAdaptsTo(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata has %d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, found := strings.Cut(string(content), dashes)
			if !found && !*update {
				t.Fatalf("%s has no line of dashes", file)
			}
			raw, err := adapt(t, input)
			if err != nil {
				t.Fatal(err)
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, raw, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got := indented.String() + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(input+dashes+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s adapts to\n%s\nwant\n%s", file, got, want)
			}
		})
	}
}

// adapt is the JSON of a Caddyfile, which must be one that `caddy fmt` has nothing to say about.
func adapt(t *testing.T, input string) ([]byte, error) {
	t.Helper()
	raw, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	for _, warning := range warnings {
		t.Errorf("warning: %s", warning)
	}
	return raw, err
}

func TestCaddyfileIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ lines, want string }{
		"an argument":                   {"deployment_console x", "deployment_console"},
		"administrator without a user":  {"deployment_console {\n\t\tadministrator\n\t}", "administrator"},
		"insecure_no_auth with a value": {"deployment_console {\n\t\tinsecure_no_auth on\n\t}", "at Caddyfile:3"},
		"an unknown option":             {"deployment_console {\n\t\tprefix /console\n\t}", `unknown option "prefix" of deployment_console: the options are administrator, insecure_no_auth`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := adapt(t, "http://:8080 {\n\t"+test.lines+"\n}\n"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one with %q", err, test.want)
			}
		})
	}
}
