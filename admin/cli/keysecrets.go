package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/admin"
)

func rotateKeyCommand(client *client) *cobra.Command {
	var overlap string
	var revokeTokens bool
	cmd := &cobra.Command{
		Use:   "rotate DEPLOYMENT KEY [--overlap DURATION] [--revoke-tokens]",
		Short: "Gives a key a new secret, and shows it this once",
		Long: `
Gives a key a new secret, and shows it, which is shown this once. ID, name and
scopes stay. The secret of until now ends at once, or goes on working for
--overlap, at most 7d. A secret that was the previous one already ends at once.

Access tokens that it was given stay valid unless --revoke-tokens ends them.

With --secret-only the secret alone is on standard output, and the rest on
standard error.
` + exitHelp,
		Example: `  $ caddy deployment-key rotate etl 0csk4q2b8d6mg1vn5p3ru7h9 --overlap 24h
  $ caddy deployment-key rotate etl 0csk4q2b8d6mg1vn5p3ru7h9 --revoke-tokens --secret-only > secret`,
	}
	wants(client, cmd, 0, deploymentArgument, keyArgument)
	cmd.Flags().StringVar(&overlap, "overlap", "", "How long the secret of until now goes on working, such as 1h or 7d; default: not at all")
	cmd.Flags().BoolVar(&revokeTokens, "revoke-tokens", false, "End all access tokens that the key was given until now")
	form := newSecretForm(cmd)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		body := admin.KeyRotation{RevokeTokens: revokeTokens}
		if cmd.Flags().Changed("overlap") {
			d, err := parseDuration(overlap)
			if err != nil {
				return fmt.Errorf("--overlap: %w", err)
			}
			text := d.String()
			body.Overlap = &text
		}
		return form.send(client, cmd, keyPath(args[0], args[1])+"/rotate", body, secretTexts{
			made: "Key %s of Deployment %s has a new secret.",
			lost: "the key %s was rotated, and its new secret is lost: rotate it again once the output works",
		})
	})
	return cmd
}

func endPreviousSecretCommand(client *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "end-previous-secret DEPLOYMENT KEY",
		Short: "Ends the secret of before the last rotation, before its time",
		Long: `
Ends the secret of before the last rotation, before its time. deployment-key show
says when it was last used.
` + exitHelp,
		Example: `  $ caddy deployment-key end-previous-secret etl 0csk4q2b8d6mg1vn5p3ru7h9`,
	}
	wants(client, cmd, 0, deploymentArgument, keyArgument)
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		if _, err := client.change(cmd.Context(), http.MethodDelete, keyPath(args[0], args[1])+"/previous_secret", nil); err != nil {
			return err
		}
		return say(cmd, "The previous secret of the key %s has ended.", args[1])
	})
	return cmd
}

// A secretForm is how a command shows an answer with a secret in it, which is there once.
type secretForm struct {
	asJSON     *bool
	secretOnly *bool
}

// secretTexts are what is said of such an answer; they get the ID of the key.
type secretTexts struct {
	made string // and that of the Deployment
	lost string
}

func newSecretForm(cmd *cobra.Command) secretForm {
	return secretForm{
		jsonFlag(cmd), cmd.Flags().Bool("secret-only", false, "Print the secret alone on standard output"),
	}
}

// send sends the request and shows the answer. Once a gateway has answered, no error is without the ID of
// the key.
func (f secretForm) send(client *client, cmd *cobra.Command, path string, body any, texts secretTexts) error {
	if *f.asJSON && *f.secretOnly {
		return errors.New("--json and --secret-only are two forms of the same output: give one")
	}
	surviveClosedOutput()
	answer, err := client.change(cmd.Context(), http.MethodPost, path, body)
	if err != nil {
		return err
	}
	var k admin.KeyWithSecret
	if err := decode(answer, &k); err != nil {
		return client.found.failed(err)
	}
	if k.ID == "" || k.Secret == "" {
		return client.found.failed(errors.New("its answer has no key, or no secret, in it"))
	}
	if err := f.write(cmd, answer, k, texts); err != nil {
		return noError{fmt.Errorf(texts.lost+": %w", plain(k.ID), err)}
	}
	return nil
}

func (f secretForm) write(cmd *cobra.Command, answer []byte, k admin.KeyWithSecret, texts secretTexts) error {
	switch {
	case *f.asJSON:
		return writeJSON(cmd, answer)
	case *f.secretOnly:
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), k.Secret); err != nil {
			return written(err)
		}
		cmd.PrintErrln(plain(fmt.Sprintf(texts.made, k.ID, k.DeploymentID)), "Its secret is shown this once.")
		return nil
	}
	table := keyTable(&k.Key, time.Now())
	table.line("")
	table.line("Secret: " + plain(strings.TrimSpace(k.Secret)))
	table.line("It is shown this once: keep it now.")
	return table.writeTo(cmd.OutOrStdout())
}
