package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/admin"
	"github.com/deploymentkeys/gateway/keystore"
)

// memberPath is the path of a member. A user that begins with a dot would read as a step in a path.
func memberPath(deployment, user string) string {
	return deploymentPath(deployment) + "/members/" + strings.ReplaceAll(url.PathEscape(user), ".", "%2E")
}

func membersCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members <command>",
		Short: "Commands about the users who are members of a Deployment",
		Long:  "\nCommands about the users who are members of a Deployment, and their roles.\n" + exitHelp,
	}
	group(cmd, listMembersCommand(client), putMemberCommand(client), deleteMemberCommand(client))
	return cmd
}

func listMembersCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list DEPLOYMENT",
		Short:   "Lists the members of a Deployment",
		Long:    "\nLists the members of a Deployment.\n" + exitHelp,
		Example: `  $ caddy deployment members list etl`,
	}
	wants(client, cmd, 0, deploymentArgument)
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		answer, err := client.ask(cmd.Context(), http.MethodGet, deploymentPath(args[0])+"/members", nil)
		if err != nil {
			return err
		}
		if *asJSON {
			return writeJSON(cmd, answer)
		}
		var list admin.MemberList
		if err := decode(answer, &list); err != nil {
			return client.found.failed(err)
		}
		table := newTable("USER", "ROLE", "CREATED", "CREATED BY")
		for _, m := range list.Members {
			table.row(m.User, string(m.Role), showTime(m.CreatedAt), m.CreatedBy)
		}
		return table.writeTo(cmd.OutOrStdout())
	})
	return cmd
}

func putMemberCommand(client *client) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use:   "put DEPLOYMENT USER --role ROLE",
		Short: "Makes a user a member of a Deployment, or gives a member another role",
		Long: `
Makes a user a member of a Deployment, or gives a member another role: viewer may
read through the Airflow API, editor also write and deploy, admin also manage keys
and members.
` + exitHelp,
		Example: `  $ caddy deployment members put etl alice@example.com --role editor`,
	}
	wants(client, cmd, 0, deploymentArgument, userArgument)
	cmd.Flags().StringVar(&role, "role", "", "Role: viewer, editor or admin (required)")
	completeFlag(cmd, "role", string(keystore.RoleViewer), string(keystore.RoleEditor), string(keystore.RoleAdmin))
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		if _, err := keystore.ParseRole(role); err != nil {
			return fmt.Errorf("--role: %w", err)
		}
		answer, err := client.change(cmd.Context(), http.MethodPut, memberPath(args[0], args[1]), admin.MemberRole{Role: role})
		if err != nil {
			return err
		}
		if *asJSON {
			return writeJSON(cmd, json.RawMessage(answer))
		}
		return say(cmd, "%s is %s of the Deployment %s.", args[1], role, args[0])
	})
	return cmd
}

func deleteMemberCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete DEPLOYMENT USER [--yes]",
		Short:   "Ends a user's membership of a Deployment",
		Long:    "\nEnds a user's membership of a Deployment, and what the user's tokens could do there.\n" + exitHelp,
		Example: `  $ caddy deployment members delete etl alice@example.com --yes`,
	}
	wants(client, cmd, 0, deploymentArgument, userArgument)
	yes := yesFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		err := confirm(cmd, *yes, func() (string, error) {
			return fmt.Sprintf("End the membership of %s in the Deployment %s? The user's tokens stop working there at once.", args[1], args[0]), nil
		})
		if err != nil {
			return err
		}
		if _, err := client.change(cmd.Context(), http.MethodDelete, memberPath(args[0], args[1]), nil); err != nil {
			return err
		}
		return say(cmd, "%s is no member of the Deployment %s any more.", args[1], args[0])
	})
	return cmd
}
