package cli

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/admin"
)

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
