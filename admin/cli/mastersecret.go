package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/caddymodule"
)

// changeSecretTimeout bounds the change of the master secret, which is a few calls of the store.
const changeSecretTimeout = 30 * time.Second

// maxSecretFile is the largest file that is read as a secret, in bytes.
const maxSecretFile = 64 << 10

func changeSecretCommand() *cobra.Command {
	var config, adapter, newSecret string
	cmd := &cobra.Command{
		Use:   "change --config <path> [--adapter <name>] --new-secret-file <path>",
		Short: "Gives the store another master secret",
		Long: `
Gives the store of a gateway's configuration another master secret. Keys, secrets
of keys, tokens and signing keys stay as they are.

Run it as the gateway's user and with its environment: what redis and secret
refer to in the configuration, and the data directory, are found as the gateway
finds them. secret has to be the present one still. The new one is the content of
a file, at least 32 characters.

With redis, gateways may run meanwhile, and go on with the key in their memory.
Afterwards put the new secret where secret points, for all gateways, before any
of them is restarted; then restart each, or reload it with caddy reload --force.

An embedded store must not be in use: stop the gateway before, and start it after.
Where secret is not configured, the file in the data directory is changed too.

If it is interrupted, run it again with the same file.

Exit codes: 0 the store has the new secret; 1 it failed; 2 the command was called
wrongly.
`,
		Example: `  $ openssl rand -base64 32 > new-secret
  $ caddy deployment-secret change --config Caddyfile --new-secret-file new-secret`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return fail(cmd, exitUsage, errors.New("there are no arguments; the new secret is read from the file that --new-secret-file names"))
			case config == "":
				return fail(cmd, exitUsage, errors.New("--config is missing: the configuration of the gateway"))
			case newSecret == "":
				return fail(cmd, exitUsage, errors.New("--new-secret-file is missing: make one with: openssl rand -base64 32 > FILE"))
			}
			secret, err := readSecretFile(newSecret)
			if err != nil {
				return fail(cmd, exitUsage, err)
			}
			loaded, _, _, err := caddycmd.LoadConfig(config, adapter)
			if err != nil {
				return fail(cmd, exitNo, err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), changeSecretTimeout)
			defer cancel()
			next, err := caddymodule.ChangeSecret(ctx, loaded, secret)
			if err != nil {
				return fail(cmd, exitNo, err)
			}
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), next) // the change is made, whoever hears of it
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "Configuration of the gateway (required)")
	cmd.Flags().StringVarP(&adapter, "adapter", "a", "", "Name of the adapter for the configuration")
	cmd.Flags().StringVar(&newSecret, "new-secret-file", "", "File with the new master secret (required)")
	return cmd
}

func readSecretFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the new secret: %w", err)
	}
	defer file.Close()
	secret, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return nil, fmt.Errorf("the new secret: %w", err)
	}
	if len(secret) > maxSecretFile {
		return nil, fmt.Errorf("the new secret: %s is larger than %d bytes", path, maxSecretFile)
	}
	return secret, nil
}
