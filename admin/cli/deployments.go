package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/admin"
)

const deploymentsPath = "/deployments"

func deploymentPath(id string) string { return deploymentsPath + "/" + url.PathEscape(id) }

// deploymentCommands are the commands of caddy deployment.
func deploymentCommands(client *client) []*cobra.Command {
	return []*cobra.Command{
		createDeploymentCommand(client),
		listDeploymentsCommand(client),
		showDeploymentCommand(client),
		updateDeploymentCommand(client),
		deleteDeploymentCommand(client),
		revokeDeploymentTokensCommand(client),
		membersCommand(client),
		auditCommand(client),
	}
}

func createDeploymentCommand(client *client) *cobra.Command {
	var id, description string
	cmd := &cobra.Command{
		Use:   "create NAME [--id ID] [--description TEXT]",
		Short: "Creates a Deployment",
		Long: `
Creates a Deployment. Its ID is in the paths of requests and in tokens, and stays
as it is; without --id it gets a random one.
` + exitHelp,
		Example: `  $ caddy deployment create "Nightly ETL" --id etl
  $ ID=$(caddy deployment create "Nightly ETL" --json | jq -r .id)`,
	}
	wants(client, cmd, 0, nameArgument)
	cmd.Flags().StringVar(&id, "id", "", "ID: 1 to 63 characters of a-z, 0-9 and -")
	cmd.Flags().StringVar(&description, "description", "", "What it is for")
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		body := admin.NewDeployment{Name: args[0], Description: description}
		if cmd.Flags().Changed("id") {
			body.ID = &id
		}
		answer, err := client.change(cmd.Context(), http.MethodPost, deploymentsPath, body)
		if err != nil {
			return err
		}
		return client.writeDeployment(cmd, answer, *asJSON)
	})
	return cmd
}

func listDeploymentsCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists all Deployments",
		Long:  "\nLists all Deployments, by ID.\n" + exitHelp,
		Example: `  $ caddy deployment list
  $ caddy deployment list --json | jq -r '.deployments[].id'`,
	}
	wants(client, cmd, 0)
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		items, err := client.list(cmd.Context(), deploymentsPath, "deployments", 0)
		if err != nil {
			return err
		}
		if *asJSON {
			return writeList(cmd, "deployments", items)
		}
		all, err := decodeAll[admin.Deployment](client, items)
		if err != nil {
			return err
		}
		table := newTable("ID", "NAME", "KEYS", "CREATED")
		for _, d := range all {
			table.row(d.ID, d.Name, strconv.FormatInt(d.KeyCount, 10), showTime(d.CreatedAt))
		}
		return table.writeTo(cmd.OutOrStdout())
	})
	return cmd
}

func showDeploymentCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show DEPLOYMENT",
		Short:   "Shows a Deployment",
		Long:    "\nShows a Deployment.\n" + exitHelp,
		Example: `  $ caddy deployment show etl`,
	}
	wants(client, cmd, 0, deploymentArgument)
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		answer, err := client.ask(cmd.Context(), http.MethodGet, deploymentPath(args[0]), nil)
		if err != nil {
			return err
		}
		return client.writeDeployment(cmd, answer, *asJSON)
	})
	return cmd
}

func updateDeploymentCommand(client *client) *cobra.Command {
	var name, description string
	cmd := &cobra.Command{
		Use:     "update DEPLOYMENT [--name NAME] [--description TEXT]",
		Short:   "Changes the name or the description of a Deployment",
		Long:    "\nChanges the name or the description of a Deployment. What is not given stays.\n" + exitHelp,
		Example: `  $ caddy deployment update etl --name "Nightly ETL, Europe"`,
	}
	wants(client, cmd, 0, deploymentArgument)
	cmd.Flags().StringVar(&name, "name", "", "New name")
	cmd.Flags().StringVar(&description, "description", "", "New description")
	asJSON := jsonFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		var body admin.DeploymentChange
		if cmd.Flags().Changed("name") {
			body.Name = &name
		}
		if cmd.Flags().Changed("description") {
			body.Description = &description
		}
		if body == (admin.DeploymentChange{}) {
			return errors.New("there is nothing to change: give --name or --description")
		}
		answer, err := client.change(cmd.Context(), http.MethodPatch, deploymentPath(args[0]), body)
		if err != nil {
			return err
		}
		return client.writeDeployment(cmd, answer, *asJSON)
	})
	return cmd
}

func deleteDeploymentCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete DEPLOYMENT [--yes]",
		Short: "Deletes a Deployment with all its keys and members",
		Long: `
Deletes a Deployment with all its keys and members. What they could do stops
working at once, on every gateway, and nothing brings it back.
` + exitHelp,
		Example: `  $ caddy deployment delete etl
  $ caddy deployment delete etl --yes`,
	}
	wants(client, cmd, 0, deploymentArgument)
	yes := yesFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		err := confirm(cmd, *yes, func() (string, error) {
			d, err := client.deployment(cmd, args[0])
			return fmt.Sprintf("Delete the Deployment %s (%s)? Its members and its %s stop working at once, with all tokens, and nothing brings them back.",
				d.ID, d.Name, count(d.KeyCount, "key", "keys")), err
		})
		if err != nil {
			return err
		}
		if _, err := client.change(cmd.Context(), http.MethodDelete, deploymentPath(args[0]), nil); err != nil {
			return err
		}
		return say(cmd, "Deployment %s is deleted.", args[0])
	})
	return cmd
}

func revokeDeploymentTokensCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke-tokens DEPLOYMENT [--yes]",
		Short: "Ends all access tokens of a Deployment that were issued until now",
		Long: `
Ends all access tokens of a Deployment that were issued until now. Its keys stay,
and get new ones.
` + exitHelp,
		Example: `  $ caddy deployment revoke-tokens etl --yes`,
	}
	wants(client, cmd, 0, deploymentArgument)
	yes := yesFlag(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		err := confirm(cmd, *yes, func() (string, error) {
			d, err := client.deployment(cmd, args[0])
			return fmt.Sprintf("End all access tokens of the Deployment %s (%s)? Jobs of its %s and its members fail until they get new ones.",
				d.ID, d.Name, count(d.KeyCount, "key", "keys")), err
		})
		if err != nil {
			return err
		}
		if _, err := client.change(cmd.Context(), http.MethodPost, deploymentPath(args[0])+"/revoke_tokens", nil); err != nil {
			return err
		}
		return say(cmd, "All access tokens of the Deployment %s that were issued until now have ended.", args[0])
	})
	return cmd
}

// deployment asks for a Deployment.
func (c *client) deployment(cmd *cobra.Command, id string) (d admin.Deployment, err error) {
	answer, err := c.ask(cmd.Context(), http.MethodGet, deploymentPath(id), nil)
	if err == nil {
		if err = decode(answer, &d); err != nil {
			err = c.found.failed(err)
		}
	}
	return d, err
}

// writeDeployment writes an answer that is a Deployment.
func (c *client) writeDeployment(cmd *cobra.Command, answer json.RawMessage, asJSON bool) error {
	if asJSON {
		return writeJSON(cmd, answer)
	}
	var d admin.Deployment
	if err := decode(answer, &d); err != nil {
		return c.found.failed(err)
	}
	table := newTable()
	table.field("ID", d.ID)
	table.field("Name", d.Name)
	table.field("Description", oneLine(d.Description))
	table.field("Keys", strconv.FormatInt(d.KeyCount, 10))
	table.field("Created", showTime(d.CreatedAt))
	if !d.TokensRevokedAt.IsZero() {
		table.field("Tokens revoked", showTime(d.TokensRevokedAt))
	}
	return table.writeTo(cmd.OutOrStdout())
}
