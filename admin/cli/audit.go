package cli

import (
	"errors"
	"fmt"
	"maps"
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
