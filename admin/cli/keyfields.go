package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/admin"
	"github.com/deploymentkeys/gateway/keystore"
)

// keyFields are the flags of what can be said of a key.
type keyFields struct {
	name, description, expires string
	scopes, allowed            []string
}

func (f *keyFields) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.description, "description", "", "What it is for")
	cmd.Flags().StringSliceVar(&f.scopes, "scope", nil, "Scope that it has; may be there more than once. deploy, airflow:read, airflow:write")
	cmd.Flags().StringVar(&f.expires, "expires", "", "When it ends: a time such as 2030-12-31T00:00:00Z, a duration from now on such as 30d or 720h, or never")
	cmd.Flags().StringSliceVar(&f.allowed, "allowed-ip", nil, "Address or block, such as 10.0.0.0/8, from which it may be used; may be there more than once; any: from everywhere")
	completeFlag(cmd, "scope", keystore.AllScopes.Names()...)
	completeFlag(cmd, "expires", "never")
	completeFlag(cmd, "allowed-ip", "any")
}

// A keyRequest is what the flags say of a key; what is not given is absent.
type keyRequest struct {
	admin.KeyFields

	// As they were given: the gateway says what is wrong with them.
	AllowedIPs *[]string `json:"allowed_ips,omitempty"`
}

func (f *keyFields) request(cmd *cobra.Command, now time.Time) (request keyRequest, err error) {
	given := cmd.Flags().Changed
	if given("name") {
		request.Name = &f.name
	}
	if given("description") {
		request.Description = &f.description
	}
	if given("scope") {
		scopes, err := keystore.ParseScopes(strings.Fields(strings.Join(f.scopes, " ")))
		if err != nil {
			return request, fmt.Errorf("--scope: %w", err)
		}
		if scopes == 0 {
			return request, errors.New("--scope is empty: name one, or leave it out")
		}
		request.Scopes = &scopes
	}
	if given("expires") {
		expires, err := parseExpiry(f.expires, now)
		if err != nil {
			return request, err
		}
		request.ExpiresAt = &expires
	}
	if given("allowed-ip") {
		allowed := f.allowed
		if slices.Contains(allowed, "any") {
			if len(allowed) > 1 {
				return request, errors.New("--allowed-ip: any is all addresses: leave out the others, or leave out any")
			}
			allowed = []string{}
		} else if len(allowed) == 0 {
			return request, errors.New("--allowed-ip is empty: name an address or a block, or any")
		}
		request.AllowedIPs = &allowed
	}
	return request, nil
}
