package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/keystore"
)

// key is a key in an answer of the admin API.
type key struct {
	ID              string    `json:"id"`
	DeploymentID    string    `json:"deployment_id"`
	Name            string    `json:"name"`
	Description     string    `json:"description"`
	Scopes          []string  `json:"scopes"`
	CreatedAt       time.Time `json:"created_at"`
	CreatedBy       string    `json:"created_by"`
	ExpiresAt       time.Time `json:"expires_at"`
	AllowedIPs      []string  `json:"allowed_ips"`
	TokensRevokedAt time.Time `json:"tokens_revoked_at"`

	LastUsedAt         time.Time `json:"last_used_at"`
	LastTokenAt        time.Time `json:"last_token_at"`
	LastTokenAddress   string    `json:"last_token_address"`
	LastRequestAt      time.Time `json:"last_request_at"`
	LastRequestAddress string    `json:"last_request_address"`

	PreviousSecretExpiresAt  time.Time `json:"previous_secret_expires_at"`
	PreviousSecretLastUsedAt time.Time `json:"previous_secret_last_used_at"`

	Secret string `json:"secret"`
}

func keysPath(deployment string) string    { return deploymentPath(deployment) + "/keys" }
func keyPath(deployment, id string) string { return keysPath(deployment) + "/" + url.PathEscape(id) }

// status says whether a key works, by this machine's clock.
func (k *key) status(now time.Time) string {
	switch {
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	case now.Before(k.PreviousSecretExpiresAt):
		return "rotating: previous secret until " + showTime(k.PreviousSecretExpiresAt)
	}
	return "active"
}

// table shows a key, but for its secret.
func (k *key) table(now time.Time) *table {
	t := newTable()
	t.field("ID", k.ID)
	t.field("Deployment", k.DeploymentID)
	t.field("Name", k.Name)
	t.field("Description", oneLine(k.Description))
	t.field("Status", k.status(now))
	t.field("Scopes", strings.Join(k.Scopes, " "))
	t.field("Allowed IPs", strings.Join(k.AllowedIPs, " "))
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

func showUse(at time.Time, address string) string {
	if at.IsZero() || address == "" {
		return showTime(at)
	}
	return showTime(at) + " from " + address
}

// readKey asks for a key.
func (c *client) readKey(cmd *cobra.Command, deployment, id string) (k key, err error) {
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
	var k key
	if err := decode(answer, &k); err != nil {
		return c.found.failed(err)
	}
	return k.table(time.Now()).writeTo(cmd.OutOrStdout())
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

// body is what the flags say, as the admin API wants it; what is not given is not in it.
func (f *keyFields) body(cmd *cobra.Command, now time.Time) (map[string]any, error) {
	body := make(map[string]any)
	given := cmd.Flags().Changed
	if given("name") {
		body["name"] = f.name
	}
	if given("description") {
		body["description"] = f.description
	}
	if given("scope") {
		scopes := strings.Fields(strings.Join(f.scopes, " "))
		if _, err := keystore.ParseScopes(scopes); err != nil {
			return nil, fmt.Errorf("--scope: %w", err)
		}
		if len(scopes) == 0 {
			return nil, errors.New("--scope is empty: name one, or leave it out")
		}
		body["scopes"] = scopes
	}
	if given("expires") {
		expires, err := parseExpiry(f.expires, now)
		if err != nil {
			return nil, err
		}
		body["expires_at"] = expires
	}
	if given("allowed-ip") {
		allowed := f.allowed
		if slices.Contains(allowed, "any") {
			if len(allowed) > 1 {
				return nil, errors.New("--allowed-ip: any is all addresses: leave out the others, or leave out any")
			}
			allowed = []string{}
		} else if len(allowed) == 0 {
			return nil, errors.New("--allowed-ip is empty: name an address or a block, or any")
		}
		body["allowed_ips"] = allowed
	}
	return body, nil
}
