package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/keystore"
)

// Bounds on what a shell waits for when somebody presses Tab.
const (
	completeTimeout = 2 * time.Second
	maxCompletions  = keystore.MaxPage
)

// completeDeployments, completeKeys and completeMembers are what there is on the gateway; nothing when it
// does not answer, since a shell has nowhere to show an error.
func completeDeployments(c *client, cmd *cobra.Command, _ []string) []cobra.Completion {
	return c.completions(cmd, "/deployments", "deployments")
}

func completeKeys(c *client, cmd *cobra.Command, before []string) []cobra.Completion {
	return c.completions(cmd, deploymentPath(before[0])+"/keys", "keys")
}

func completeMembers(c *client, cmd *cobra.Command, before []string) []cobra.Completion {
	return c.completions(cmd, deploymentPath(before[0])+"/members", "members")
}

// completions asks for the first page of a list.
func (c *client) completions(cmd *cobra.Command, path, member string) []cobra.Completion {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	if member != "members" { // which has no pages
		path += "?limit=" + strconv.Itoa(maxCompletions)
	}
	answer, err := c.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil
	}
	var page map[string]json.RawMessage
	var items []struct{ ID, Name, User, Role string }
	if json.Unmarshal(answer, &page) != nil || json.Unmarshal(page[member], &items) != nil {
		return nil
	}
	var all []cobra.Completion
	for _, item := range items[:min(len(items), maxCompletions)] {
		all = append(all, cobra.CompletionWithDesc(plain(item.ID+item.User), plain(item.Name+item.Role)))
	}
	return all
}

// startingWith are the completions of what was typed.
func startingWith(all []cobra.Completion, typed string) []cobra.Completion {
	var some []cobra.Completion
	for _, one := range all {
		if strings.HasPrefix(one, typed) {
			some = append(some, one)
		}
	}
	return some
}

// completeFlag has the shell offer these values of a flag, which the command must have.
func completeFlag(cmd *cobra.Command, name string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(name, func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return startingWith(values, typed), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // a mistake in this package
	}
}
