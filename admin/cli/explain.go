package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/admin"
	"github.com/deploymentkeys/gateway/keystore"
)

// maxToken is the longest text that is read as a token, in bytes. A header of a request has no room
// for more.
const maxToken = 32 << 10

func explainCommand(client *client) *cobra.Command {
	var deployment string
	var scopes []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [--deployment <id>] [--scope <scope>...] [--json]",
		Short: "Shows which checks an access token passes or fails, and why",
		Long: `
Shows which checks an access token passes or fails, and why, and how a request
with it would be answered.

The token is read from standard input. It cannot be an argument: every user of
the machine could read it there.

Without --deployment and --scope only the token itself is checked.

Exit codes: 0 the token is accepted; 1 it is refused; 2 the command was called
wrongly, or the gateway or its store could not be asked.
`,
		Example: `  $ caddy deployment-key explain < token.txt
  $ echo "$TOKEN" | caddy deployment-key explain --deployment etl --scope airflow:read
  $ echo "$TOKEN" | caddy deployment-key explain --json | jq -r .verdict`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fail(cmd, exitUsage, errors.New("the token is read from standard input and is no argument, which every user of this machine could read: "+
					`echo "$TOKEN" | `+cmd.CommandPath()))
			}
			raw, err := readToken(cmd)
			if err != nil {
				return fail(cmd, exitUsage, err)
			}
			var question struct {
				admin.TokenQuestion
				Scopes []string `json:"scopes,omitempty"` // as they were given: the gateway says what is wrong with them
			}
			question.Token = raw
			if cmd.Flags().Changed("deployment") {
				question.Deployment = &deployment
			}
			for _, value := range scopes {
				question.Scopes = append(question.Scopes, strings.Fields(value)...)
			}
			answer, err := client.ask(cmd.Context(), http.MethodPost, "/tokens/explain", question)
			if err != nil {
				return fail(cmd, exitUsage, err)
			}
			var explained access.Explanation
			if err := json.Unmarshal(answer, &explained); err != nil {
				return fail(cmd, exitUsage, fmt.Errorf("the answer of the admin endpoint is not what a gateway answers: %w", err))
			}
			if asJSON {
				err = writeJSON(cmd, answer)
			} else {
				err = writeExplanation(cmd.OutOrStdout(), explained)
			}
			if err != nil {
				return fail(cmd, exitUsage, err)
			}
			return exit(cmd, verdictCode(explained.Verdict))
		},
	}
	cmd.Flags().StringVar(&deployment, "deployment", "", "Deployment that a request is for")
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "Scope that a request needs; may be there more than once")
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print the answer as JSON")
	completeFlag(cmd, "scope", keystore.AllScopes.Names()...)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}

// verdictCode is what the command exits with. What is not known is neither yes nor no.
func verdictCode(verdict string) int {
	switch verdict {
	case "accepted":
		return exitDone
	case "refused":
		return exitNo
	}
	return exitUsage
}

// readToken reads the token. Its error does not show what was read.
func readToken(cmd *cobra.Command) (string, error) {
	in := cmd.InOrStdin()
	if file, ok := in.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			cmd.PrintErrln("Paste the access token and end with Enter and Ctrl-D:")
		}
	}
	content, err := io.ReadAll(io.LimitReader(in, maxToken+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the token from standard input: %w", err)
	case len(content) > maxToken:
		return "", fmt.Errorf("what is on standard input is longer than %d bytes: that is no access token", maxToken)
	}
	raw := strings.TrimSpace(string(content))
	if raw == "" {
		return "", errors.New("there is no token on standard input")
	}
	return raw, nil
}

// writeExplanation writes an explanation for people.
func writeExplanation(w io.Writer, e access.Explanation) error {
	table := newTable("CHECK", "RESULT", "DETAIL")
	skipped := false
	for _, check := range e.Checks {
		table.row(check.Check, strings.ToUpper(check.Result), check.Detail)
		skipped = skipped || check.Result == "skipped"
	}
	if said := e.Token; said != nil {
		table.line("\nThe token says, whether that is proven or not:")
		table.field("  subject", said.Subject)
		table.field("  client_id", said.ClientID)
		table.field("  deployment", said.DeploymentID)
		table.field("  scope", said.Scope)
		table.field("  issued", claimedTime(said.IssuedAt))
		table.field("  expires", claimedTime(said.ExpiresAt))
		table.field("  issuer", said.Issuer)
		table.field("  audience", said.Audience)
		table.field("  jti", said.ID)
		table.field("  signed with", strings.TrimSpace(said.Algorithm+" "+said.KeyID))
	}
	table.line("\n" + verdict(e, skipped))
	return table.writeTo(w)
}

// verdict is the last line: the verdict, and what a request is answered.
func verdict(e access.Explanation, skipped bool) string {
	switch {
	case e.Verdict != "accepted":
		return plain(fmt.Sprintf("Verdict: %s. A request with this token is answered %d %s: %s.",
			e.Verdict, e.Status, e.Error, strings.TrimSuffix(e.Description, ".")))
	case skipped:
		return "Verdict: accepted. A request with this token is passed on, if it also passes what was skipped here."
	}
	return "Verdict: accepted. A request with this token is passed on."
}

// claimedTime shows a time of a token, to the second and as a server's log has it.
func claimedTime(t time.Time) string {
	if t.IsZero() || t.Unix() <= 0 {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
