// Package cli is the commands in Caddy's binary for Deployments and their keys: "caddy deployment" and
// "caddy deployment-key" call the admin API of a gateway that runs, and "caddy deployment-secret" works on
// the store itself. It knows the admin API as any caller does; it must not know how a gateway answers it.
package cli

import (
	"errors"
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/internal/redact"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "deployment",
		Usage: "<command>",
		Short: "Commands about Airflow Deployments, their members and the audit log",
		Long: `
Commands about Airflow Deployments, their members and the audit log. They ask a
gateway that runs, over Caddy's admin endpoint.
` + addressHelp + exitHelp,
		CobraFunc: func(cmd *cobra.Command) {
			client := newClient(cmd)
			group(cmd, deploymentCommands(client)...)
		},
	})
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "deployment-key",
		Usage: "<command>",
		Short: "Commands about the API keys of Airflow Deployments, and their access tokens",
		Long: `
Commands about the API keys of Airflow Deployments, and their access tokens. They
ask a gateway that runs, over Caddy's admin endpoint.
` + addressHelp + exitHelp,
		CobraFunc: func(cmd *cobra.Command) {
			client := newClient(cmd)
			group(cmd, append(keyCommands(client), explainCommand(client))...)
		},
	})
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "deployment-secret",
		Usage: "<command>",
		Short: "Changes the master secret of the store of Deployments and keys",
		Long: `
Changes the master secret of the store of Deployments and keys. It works on the
store itself, with a gateway's configuration.
`,
		CobraFunc: func(cmd *cobra.Command) { group(cmd, changeSecretCommand()) },
	})
}

// What the commands exit with. Caddy's own commands exit with 1 for whatever went wrong.
const (
	exitDone  = 0
	exitNo    = 1 // it was done, and the answer is no; or it failed
	exitUsage = 2 // it was called wrongly; or it could not be asked
)

// exitHelp is the part of a command's help about its exit codes.
const exitHelp = `
Exit codes: 0 done; 1 the gateway refused, for example because there is no such
key, or the question whether to go on was not answered with yes; 2 the command
was called wrongly, or the gateway or its store could not be asked.
`

// addressHelp is the part of a command's help about how the gateway is found.
const addressHelp = `
The gateway is found as Caddy's own commands find it: --address, or the address
in --config, or CADDY_ADMIN, or localhost:2019. A socket is unix//run/caddy.sock,
and a remote admin endpoint https://gateway.example.com:2021, with --cert, --key
and --ca-cert.
`

// group makes a command of which only those below it do something.
func group(cmd *cobra.Command, commands ...*cobra.Command) {
	cmd.AddCommand(commands...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		// What it is is not shown: it may be something pasted by mistake.
		return fail(cmd, exitUsage, fmt.Errorf("there is no such command: see %s --help", cmd.CommandPath()))
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return fail(cmd, exitUsage, err) })
}

// run is what a command does, for [cobra.Command.RunE]: an error of it is said, and has a code.
func run(do func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := do(cmd, args); err != nil {
			return fail(cmd, codeOf(err), err)
		}
		return nil
	}
}

// errNo is in errors that have the program end with [exitNo].
var errNo = errors.New("the answer is no")

// A noError is an errNo with a text of its own.
type noError struct{ error }

func (noError) Is(target error) bool { return target == errNo }

func codeOf(err error) int {
	if errors.Is(err, errNo) {
		return exitNo
	}
	return exitUsage
}

// fail says what went wrong and has the program end with a code. What it says is one line on standard
// error, and not one of Caddy's log: it is for people who have just typed the command. What they typed may be a secret
// in the wrong place, and the output of a job is kept.
func fail(cmd *cobra.Command, code int, err error) error {
	cmd.PrintErrln("Error:", redact.Text(err.Error()))
	return exit(cmd, code)
}

// exit has the program end with a code, without a word.
func exit(cmd *cobra.Command, code int) error {
	cmd.SilenceErrors = true // of what is returned here
	switch code {
	case exitDone:
		return nil
	case exitNo:
		return errNo // any error is 1
	}
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
}
