package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// A table is text in columns, for people.
type table struct {
	text    strings.Builder
	columns *tabwriter.Writer
}

func newTable(heads ...string) *table {
	t := new(table)
	t.columns = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	if len(heads) > 0 {
		t.row(heads...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = plain(cell)
	}
	_, _ = fmt.Fprintln(t.columns, strings.Join(cells, "\t")) // into memory
}

// field is a row of a table that has one value in each, and none for what has no value.
func (t *table) field(name, value string) {
	if value != "" {
		t.row(name, value)
	}
}

// line ends the columns above it.
func (t *table) line(text string) {
	_ = t.columns.Flush() // into memory
	t.text.WriteString(text + "\n")
}

// writeTo writes the table, with no blanks at the end of a line.
func (t *table) writeTo(w io.Writer) error {
	_ = t.columns.Flush() // into memory
	var text strings.Builder
	for line := range strings.Lines(t.text.String()) {
		text.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	_, err := io.WriteString(w, text.String())
	return written(err)
}

// written is the error of writing to standard output.
func written(err error) error {
	if err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// say writes a line for people, of what was done.
func say(cmd *cobra.Command, format string, of ...any) error {
	_, err := fmt.Fprintln(cmd.OutOrStdout(), plain(fmt.Sprintf(format, of...)))
	return written(err)
}

// writeJSON writes JSON as the gateway has answered it, on a line.
func writeJSON(cmd *cobra.Command, answer json.RawMessage) error {
	_, err := cmd.OutOrStdout().Write(append(plainJSON(bytes.TrimSpace(answer)), '\n'))
	return written(err)
}

// jsonFlag adds the flag --json.
func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "Print what the admin API answers")
}

// surviveClosedOutput has a write to a pipe that nobody reads fail, where otherwise it ends the program: an
// answer with a secret in it is there once, and whoever called has to hear that it is lost.
func surviveClosedOutput() { signal.Ignore(syscall.SIGPIPE) }

// oneLine makes one line of a text that may have several.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// showTime shows a time to people: theirs, and to the minute. What has no time is never.
func showTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// count is a number of things.
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
