package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/admin"
	"github.com/deploymentkeys/gateway/keystore"
)

func keysPath(deployment string) string    { return deploymentPath(deployment) + "/keys" }
func keyPath(deployment, id string) string { return keysPath(deployment) + "/" + url.PathEscape(id) }

// keyStatus says whether a key works, by this machine's clock.
func keyStatus(k *admin.Key, now time.Time) string {
	switch {
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	case now.Before(k.PreviousSecretExpiresAt):
		return "rotating: previous secret until " + showTime(k.PreviousSecretExpiresAt)
	}
	return "active"
}

// keyTable shows a key, but for its secret.
func keyTable(k *admin.Key, now time.Time) *table {
	t := newTable()
	t.field("ID", k.ID)
	t.field("Deployment", k.DeploymentID)
	t.field("Name", k.Name)
	t.field("Description", oneLine(k.Description))
	t.field("Status", keyStatus(k, now))
	t.field("Scopes", strings.Join(k.Scopes, " "))
	t.field("Allowed IPs", k.AllowedIPs.String())
	t.field("Created", showTime(k.CreatedAt)+" by "+k.CreatedBy)
	t.field("Expires", showTime(k.ExpiresAt))
	t.field("Last token", showUse(k.LastTokenAt, k.LastTokenAddress))
	t.field("Last request", showUse(k.LastRequestAt, k.LastRequestAddress))
	if now.Before(k.PreviousSecretExpiresAt) {
		t.field("Previous secret used", showTime(k.PreviousSecretLastUsedAt))
	}
	if !k.TokensRevokedAt.IsZero() {
		t.field("Tokens revoked", showTime(k.TokensRevokedAt))
	}
	return t
}

func showUse(at time.Time, address netip.Addr) string {
	if at.IsZero() || !address.IsValid() {
		return showTime(at)
	}
	return showTime(at) + " from " + address.String()
}

// readKey asks for a key.
func (c *client) readKey(cmd *cobra.Command, deployment, id string) (k admin.Key, err error) {
	answer, err := c.ask(cmd.Context(), http.MethodGet, keyPath(deployment, id), nil)
	if err == nil {
		if err = decode(answer, &k); err != nil {
			err = c.found.failed(err)
		}
	}
	return k, err
}

// writeKey writes an answer that is a key.
func (c *client) writeKey(cmd *cobra.Command, answer json.RawMessage, asJSON bool) error {
	if asJSON {
		return writeJSON(cmd, answer)
	}
	var k admin.Key
	if err := decode(answer, &k); err != nil {
		return c.found.failed(err)
	}
	return keyTable(&k, time.Now()).writeTo(cmd.OutOrStdout())
}

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
