package cli

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/keystore"
)

// auditSubject is what an event is about.
func auditSubject(e *keystore.AuditEvent) string {
	var parts []string
	for _, part := range []string{e.Deployment, e.Key, e.User} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

// auditDetail is what else there is to say of an event.
func auditDetail(e *keystore.AuditEvent) string {
	var parts []string
	if e.Outcome != keystore.OutcomeDone {
		parts = append(parts, strings.TrimSpace(string(e.Outcome)+" "+e.Error))
	}
	if e.Via != "" {
		parts = append(parts, "via "+string(e.Via))
	}
	if e.Handler != "" {
		parts = append(parts, "by "+e.Handler)
	}
	if e.Count > 1 {
		parts = append(parts, fmt.Sprintf("%d times", e.Count))
	}
	if e.Token != "" {
		parts = append(parts, "token "+e.Token)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Set)) {
		parts = append(parts, name+"="+strconv.Quote(e.Set[name]))
	}
	return strings.Join(parts, ", ")
}

func auditCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit <command>",
		Short: "Commands about the audit log",
		Long:  "\nCommands about the audit log: who did what, when and from where, and what was refused.\n" + exitHelp,
	}
	group(cmd, listAuditCommand(client), exportAuditCommand(client), verifyAuditCommand(client))
	return cmd
}

func listAuditCommand(client *client) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "list [DEPLOYMENT] [--limit N]",
		Short: "Shows the newest entries of the audit log",
		Long: `
Shows the newest entries of the audit log, newest first: of a Deployment, which
may be deleted, or of all.
` + exitHelp,
		Example: `  $ caddy deployment audit list --limit 20
  $ caddy deployment audit list etl --json | jq '.events[] | select(.outcome == "refused")'`,
	}
	wants(client, cmd, 1, deploymentArgument)
	cmd.Flags().IntVarP(&limit, "limit", "n", 100, "How many entries, at most")
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		if limit < 1 {
			return errors.New("--limit: want 1 or more")
		}
		path := "/audit"
		if len(args) > 0 {
			path = deploymentPath(args[0]) + "/audit"
		}
		items, err := client.list(cmd.Context(), path, "events", limit)
		if err != nil {
			return err
		}
		if *asJSON {
			return writeList(cmd, "events", items)
		}
		events, err := decodeAll[keystore.AuditEvent](client, items)
		if err != nil {
			return err
		}
		table := newTable("SEQ", "TIME", "EVENT", "BY", "FROM", "ON", "DETAIL")
		for _, e := range events {
			table.row(strconv.FormatUint(e.Seq, 10), showTime(e.Time), string(e.Kind), e.By, e.Address, auditSubject(&e), auditDetail(&e))
		}
		return table.writeTo(cmd.OutOrStdout())
	})
	return cmd
}

func exportAuditCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [DEPLOYMENT]",
		Short: "Prints the audit log, one JSON object a line, oldest first",
		Long: `
Prints the audit log, one JSON object a line, oldest first: all of it, or what is
about a Deployment. Only an export of all of it can be verified later.

When it ends before the newest entry, or an entry is missing or altered, that is an
error; what there is has been printed all the same.
` + exitHelp,
		Example: `  $ caddy deployment audit export > audit.ndjson
  $ caddy deployment audit export etl | jq -c 'select(.kind == "key.deleted")'`,
	}
	wants(client, cmd, 1, deploymentArgument)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		query := ""
		if len(args) > 0 {
			query = "?deployment=" + args[0]
		}
		return client.writeExport(cmd, query)
	})
	return cmd
}

// writeExport writes an export as it comes, and holds that it comes to its end.
func (c *client) writeExport(cmd *cobra.Command, query string) error {
	export, err := c.export(cmd.Context(), query)
	if err != nil {
		return err
	}
	defer export.Close()
	out := bufio.NewWriter(cmd.OutOrStdout())
	last, faults, err := copyExport(out, export.lines, isTerminal(cmd.OutOrStdout()))
	if err := out.Flush(); err != nil {
		return written(err)
	}
	whole := query == "" && export.first.seq <= export.head.seq
	switch {
	case err != nil:
		return c.found.failed(err)
	case last > export.head.seq, whole && last < export.head.seq:
		return c.found.failed(fmt.Errorf("its export ends with entry %d, and should end with entry %d", last, export.head.seq))
	case faults > 0:
		return noError{fmt.Errorf("%s missing or altered: caddy deployment audit verify names them", count(faults, "entry of the audit log is", "entries of the audit log are"))}
	}
	return nil
}

// copyExport writes the lines of an export, and returns the number of the last entry and how many lines
// are no entries but faults. Hashes are of lines as they came; only who looks at them has them made plain.
func copyExport(out *bufio.Writer, lines auditLines, shown bool) (last, faults int64, err error) {
	for {
		raw, err := lines.next()
		if err != nil || raw == nil {
			return last, faults, err
		}
		written := raw
		if shown {
			written = plainJSON(raw)
		}
		_, _ = out.Write(written) // an error stays until the end
		_ = out.WriteByte('\n')
		line, err := parseAuditLine(raw)
		switch {
		case err != nil:
			return last, faults, err
		case line.seq <= last:
			return last, faults, fmt.Errorf("its export has entry %d after entry %d", line.seq, last)
		case line.fault != "" && line.fault != keystore.AuditFaultExpired:
			faults++
		}
		last = line.seq
	}
}

// auditPath is where an export is had from.
const auditPath = "/audit/export"

var errNoExport = errors.New("its answer is no export of an audit log")

// readPlace reads a header of an export: the number of an entry, and a hash.
func readPlace(header http.Header, name string) (auditPlace, error) {
	seq, hash, _ := strings.Cut(header.Get(name), " ")
	number, err := strconv.ParseInt(seq, 10, 64)
	if err != nil || number < 0 || !isHash(hash) {
		return auditPlace{}, fmt.Errorf("%w: the header %s has no number and hash", errNoExport, name)
	}
	return auditPlace{number, hash}, nil
}
