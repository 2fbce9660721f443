package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/admin"
)

// keyCommands are the commands of caddy deployment-key.
func keyCommands(client *client) []*cobra.Command {
	return []*cobra.Command{
		createKeyCommand(client),
		listKeysCommand(client),
		showKeyCommand(client),
		updateKeyCommand(client),
		rotateKeyCommand(client),
		revokeKeyTokensCommand(client),
		endPreviousSecretCommand(client),
		deleteKeyCommand(client),
	}
}

func createKeyCommand(client *client) *cobra.Command {
	var fields keyFields
	cmd := &cobra.Command{
		Use:   "create DEPLOYMENT NAME [--scope SCOPE...] [--expires WHEN] [--allowed-ip BLOCK...]",
		Short: "Creates a key, and shows its secret this once",
		Long: `
Creates a key of a Deployment, and shows its secret, which is shown this once. It
has all scopes, does not expire and may be used from everywhere, unless told
otherwise.

With --secret-only the secret alone is on standard output, and the rest on
standard error.
` + exitHelp,
		Example: `  $ caddy deployment-key create etl CI
  $ caddy deployment-key create etl "Nightly check" --scope airflow:read --expires 30d --allowed-ip 10.0.0.0/8
  $ caddy deployment-key create etl CI --secret-only > secret`,
	}
	wants(client, cmd, 0, deploymentArgument, nameArgument)
	fields.addFlags(cmd)
	form := newSecretForm(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		body, err := fields.request(cmd, time.Now())
		if err != nil {
			return err
		}
		body.Name = &args[1]
		if body.ExpiresAt != nil && *body.ExpiresAt == "" {
			body.ExpiresAt = nil // what there is none of cannot be taken away
		}
		return form.send(client, cmd, keysPath(args[0]), body, secretTexts{
			made: "Key %s of Deployment %s is made.",
			lost: "the key %s was made, and its secret is lost: delete it, or rotate it",
		})
	})
	return cmd
}

func listKeysCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list DEPLOYMENT",
		Short: "Lists the keys of a Deployment",
		Long: `
Lists the keys of a Deployment, oldest first. Secrets are not shown: there is no
way to see one again.
` + exitHelp,
		Example: `  $ caddy deployment-key list etl
  $ caddy deployment-key list etl --json | jq -r '.keys[] | select(.last_used_at == null).id'`,
	}
	wants(client, cmd, 0, deploymentArgument)
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		items, err := client.list(cmd.Context(), keysPath(args[0]), "keys", 0)
		if err != nil {
			return err
		}
		if *asJSON {
			return writeList(cmd, "keys", items)
		}
		all, err := decodeAll[admin.Key](client, items)
		if err != nil {
			return err
		}
		now := time.Now()
		table := newTable("ID", "NAME", "SCOPES", "CREATED", "CREATED BY", "LAST USED", "EXPIRES", "STATUS")
		for _, k := range all {
			table.row(k.ID, k.Name, strings.Join(k.Scopes, " "), showTime(k.CreatedAt), k.CreatedBy,
				showTime(k.LastUsedAt), showTime(k.ExpiresAt), keyStatus(&k, now))
		}
		return table.writeTo(cmd.OutOrStdout())
	})
	return cmd
}

func showKeyCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show DEPLOYMENT KEY",
		Short:   "Shows a key, without its secret",
		Long:    "\nShows a key, without its secret: there is no way to see it again.\n" + exitHelp,
		Example: `  $ caddy deployment-key show etl 0csk4q2b8d6mg1vn5p3ru7h9`,
	}
	wants(client, cmd, 0, deploymentArgument, keyArgument)
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		answer, err := client.ask(cmd.Context(), http.MethodGet, keyPath(args[0], args[1]), nil)
		if err != nil {
			return err
		}
		return client.writeKey(cmd, answer, *asJSON)
	})
	return cmd
}

func updateKeyCommand(client *client) *cobra.Command {
	var fields keyFields
	cmd := &cobra.Command{
		Use:   "update DEPLOYMENT KEY [--name NAME] [--scope SCOPE...] [--expires WHEN] [--allowed-ip BLOCK...]",
		Short: "Changes what a key may do, and until when and from where",
		Long: `
Changes a key. What is not given stays; scopes and addresses that are given are
all that it has afterwards. Its tokens obey at once.
` + exitHelp,
		Example: `  $ caddy deployment-key update etl 0csk4q2b8d6mg1vn5p3ru7h9 --scope airflow:read
  $ caddy deployment-key update etl 0csk4q2b8d6mg1vn5p3ru7h9 --expires never --allowed-ip any`,
	}
	wants(client, cmd, 0, deploymentArgument, keyArgument)
	cmd.Flags().StringVar(&fields.name, "name", "", "New name")
	fields.addFlags(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		body, err := fields.request(cmd, time.Now())
		if err != nil {
			return err
		}
		if body == (keyRequest{}) {
			return errors.New("there is nothing to change: give --name, --description, --scope, --expires or --allowed-ip")
		}
		answer, err := client.change(cmd.Context(), http.MethodPatch, keyPath(args[0], args[1]), body)
		if err != nil {
			return err
		}
		return client.writeKey(cmd, answer, *asJSON)
	})
	return cmd
}

func revokeKeyTokensCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke-tokens DEPLOYMENT KEY [--yes]",
		Short: "Ends all access tokens that a key was given until now",
		Long: `
Ends all access tokens that a key was given until now. The key stays, and gets new
ones with its secret: where that has leaked, rotate the key.
` + exitHelp,
		Example: `  $ caddy deployment-key revoke-tokens etl 0csk4q2b8d6mg1vn5p3ru7h9 --yes`,
	}
	wants(client, cmd, 0, deploymentArgument, keyArgument)
	yes := yesFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		err := confirm(cmd, *yes, func() (string, error) {
			k, err := client.readKey(cmd, args[0], args[1])
			return fmt.Sprintf("End all access tokens of the key %s (%s) of the Deployment %s, last used %s? Jobs that have one fail until they get new ones.",
				k.ID, k.Name, k.DeploymentID, showTime(k.LastUsedAt)), err
		})
		if err != nil {
			return err
		}
		if _, err := client.change(cmd.Context(), http.MethodPost, keyPath(args[0], args[1])+"/revoke_tokens", nil); err != nil {
			return err
		}
		return say(cmd, "All access tokens of the key %s that were issued until now have ended.", args[1])
	})
	return cmd
}

func deleteKeyCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete DEPLOYMENT KEY [--yes]",
		Short: "Deletes a key, and ends its access tokens",
		Long: `
Deletes a key, and ends its access tokens: at once, on every gateway. Nothing
brings it back.
` + exitHelp,
		Example: `  $ caddy deployment-key delete etl 0csk4q2b8d6mg1vn5p3ru7h9
  $ caddy deployment-key delete etl 0csk4q2b8d6mg1vn5p3ru7h9 --yes`,
	}
	wants(client, cmd, 0, deploymentArgument, keyArgument)
	yes := yesFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		err := confirm(cmd, *yes, func() (string, error) {
			k, err := client.readKey(cmd, args[0], args[1])
			return fmt.Sprintf("Delete the key %s (%s) of the Deployment %s, last used %s? It and its tokens stop working at once, and nothing brings it back.",
				k.ID, k.Name, k.DeploymentID, showTime(k.LastUsedAt)), err
		})
		if err != nil {
			return err
		}
		if _, err := client.change(cmd.Context(), http.MethodDelete, keyPath(args[0], args[1]), nil); err != nil {
			return err
		}
		return say(cmd, "Key %s of Deployment %s is deleted.", args[1], args[0])
	})
	return cmd
}

func keysPath(deployment string) string    { return deploymentPath(deployment) + "/keys" }
func keyPath(deployment, id string) string { return keysPath(deployment) + "/" + url.PathEscape(id) }
