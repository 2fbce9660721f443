package cli

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// A terminal runs commands as a person does.
type terminal struct {
	address string
	timeout time.Duration
	out     io.Writer // default: what is returned
	in      string    // what is on standard input
}

// against runs commands against a gateway that a handler plays.
func against(t *testing.T, gateway http.HandlerFunc) terminal {
	t.Helper()
	server := httptest.NewServer(gateway)
	t.Cleanup(server.Close)
	return terminal{address: strings.TrimPrefix(server.URL, "http://"), timeout: callTimeout}
}

func allKeyCommands(client *client) []*cobra.Command {
	return append(keyCommands(client), explainCommand(client))
}

// run runs a command, such as "deployment list", against the gateway.
func (on terminal) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	args = slices.Insert(slices.Clone(args), 1, "--address", on.address) // in front of a --
	root := &cobra.Command{Use: "caddy", SilenceUsage: true}
	for name, commands := range map[string]func(*client) []*cobra.Command{"deployment": deploymentCommands, "deployment-key": allKeyCommands} {
		cmd := &cobra.Command{Use: name}
		client := newClient(cmd)
		client.timeout = on.timeout
		group(cmd, commands(client)...)
		root.AddCommand(cmd)
	}
	var out, errs bytes.Buffer
	root.SetOut(&out)
	if on.out != nil {
		root.SetOut(on.out)
	}
	root.SetErr(&errs)
	root.SetIn(strings.NewReader(on.in))
	root.SetArgs(args)
	switch err := root.Execute(); {
	case err == nil:
		code = exitDone
	case errors.Is(err, errNo):
		code = exitNo
	case err.Error() == "exiting with status 2":
		code = exitUsage
	default:
		t.Fatalf("%q ends with an error that is no exit code: %v", args, err)
	}
	return out.String(), errs.String(), code
}

// want runs a command, and holds its exit code and what it prints on standard output and standard error.
func (on terminal) want(t *testing.T, code int, stdout, stderr string, args ...string) {
	t.Helper()
	out, errs, got := on.run(t, args...)
	if got != code || !strings.Contains(out, stdout) || !strings.Contains(errs, stderr) || (stdout == "" && out != "") || (stderr == "" && errs != "") {
		t.Errorf("%q: exit %d, want %d\nstandard output, want %q:\n%s\nstandard error, want %q:\n%s", args, got, code, stdout, out, stderr, errs)
	}
}

// answering plays a gateway that answers all with this.
func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}
