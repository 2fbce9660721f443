package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/keystore"
)

// An argument is one of a command's arguments that is no flag.
type argument struct {
	name     string // as in the usage line
	check    func(value string) error
	complete func(c *client, cmd *cobra.Command, before []string) []cobra.Completion // default: nothing
}

var (
	deploymentArgument = argument{"DEPLOYMENT", checkDeployment, completeDeployments}
	keyArgument        = argument{"KEY", checkKey, completeKeys}
	nameArgument       = argument{"NAME", checkNotEmpty, nil}
	userArgument       = argument{"USER", keystore.ValidateUser, completeMembers}
)

// wants has a command take these arguments: all of them, but for the last ones that are optional.
func wants(client *client, cmd *cobra.Command, optional int, arguments ...argument) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := checkArguments(args, optional, arguments); err != nil {
			return fail(cmd, exitUsage, fmt.Errorf("%w: %s", err, cmd.UseLine()))
		}
		return nil
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(arguments) || arguments[len(args)].complete == nil || checkArguments(args, len(arguments), arguments) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return startingWith(arguments[len(args)].complete(client, cmd, args), typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// checkArguments does not show what was given for an argument that it does not expect: it may be something
// pasted by mistake.
func checkArguments(args []string, optional int, arguments []argument) error {
	if len(args) > len(arguments) {
		return errors.New("there are too many arguments; one with spaces in it needs quotes")
	}
	if len(args) < len(arguments)-optional {
		return fmt.Errorf("%s is missing", arguments[len(args)].name)
	}
	for i, value := range args {
		if err := arguments[i].check(value); err != nil {
			return fmt.Errorf("%s: %w", arguments[i].name, err)
		}
	}
	return nil
}

func checkNotEmpty(value string) error {
	if strings.TrimSpace(value) == "" {
		return errors.New("it is empty")
	}
	return nil
}

// checkDeployment and checkKey also keep what is no ID, such as a secret, out of the URL of a request,
// which is logged.
func checkDeployment(value string) error {
	if keystore.ValidateDeploymentID(value) != nil {
		return errors.New("want the ID of a Deployment, 1 to 63 characters of a-z, 0-9 and -")
	}
	return nil
}

func checkKey(value string) error {
	if !keystore.IsKeyID(value) {
		return errors.New("want the ID of a key, 24 characters of 0-9 and a-v; deployment-key list shows the IDs")
	}
	return nil
}
