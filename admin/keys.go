package admin

import (
	"net/http"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// keyJSON is a key in an answer.
type keyJSON struct {
	ID           string          `json:"id"`
	DeploymentID string          `json:"deployment_id"`
	Name         string          `json:"name"`
	Description  string          `json:"description"`
	Scopes       keystore.Scopes `json:"scopes"`
	CreatedAt    time.Time       `json:"created_at"`
	CreatedBy    string          `json:"created_by"`

	// When it ends, or has ended; only if it does.
	ExpiresAt time.Time `json:"expires_at,omitzero"`

	// From where it may be used, as blocks of addresses; only if not from everywhere.
	AllowedIPs keystore.AllowedIPs `json:"allowed_ips,omitempty"`

	// When all its tokens were last ended; only if they were.
	TokensRevokedAt time.Time `json:"tokens_revoked_at,omitzero"`

	// Until when the secret of before the last rotation works; only while it does.
	PreviousSecretExpiresAt time.Time `json:"previous_secret_expires_at,omitzero"`
}

func showKey(k keystore.Key) keyJSON {
	shown := keyJSON{
		ID: k.ID, DeploymentID: k.DeploymentID, Name: k.Name, Description: k.Description, Scopes: k.Scopes,
		CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy, ExpiresAt: k.ExpiresAt, AllowedIPs: k.AllowedIPs,
		TokensRevokedAt: k.TokensRevokedAt,
	}
	if k.HasPreviousSecret(time.Now()) {
		shown.PreviousSecretExpiresAt = k.PreviousSecretExpiresAt
	}
	return shown
}

// createKey is POST /deployments/{deployment}/keys: {"name","description"?,"scopes"?,"expires_at"?,
// "allowed_ips"?}. 201 with Location, and with the secret, which is shown this once.
func createKey(c *callContext) (int, any, error) {
	var body struct {
		Name        string              `json:"name"`
		Description string              `json:"description"`
		Scopes      *keystore.Scopes    `json:"scopes"`
		ExpiresAt   *string             `json:"expires_at"`
		AllowedIPs  keystore.AllowedIPs `json:"allowed_ips"`
	}
	if err := readBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	key := keystore.Key{DeploymentID: c.deployment(), Name: body.Name, Description: body.Description, AllowedIPs: body.AllowedIPs}
	if body.Scopes != nil {
		if *body.Scopes == 0 {
			return 0, nil, badRequest("scopes is empty: leave it out for all scopes, or name some")
		}
		key.Scopes = *body.Scopes
	}
	if body.ExpiresAt != nil {
		var err error
		if key.ExpiresAt, err = keystore.ParseExpiry(*body.ExpiresAt); err != nil {
			return 0, nil, err
		}
	}
	key, secret, err := c.keys.CreateKey(c.r.Context(), c.by, key)
	if err != nil {
		return 0, nil, err
	}
	c.setLocation(key.ID)
	c.changed(keystore.Event{Kind: keystore.KeyCreated, Deployment: key.DeploymentID, Key: key.ID})
	return http.StatusCreated, showSecret(key, secret), nil
}

// listKeys is GET /deployments/{deployment}/keys?limit=&cursor=: {"keys":[...],"next_cursor"?},
// oldest first.
func listKeys(c *callContext) (int, any, error) {
	page, err := readPage(c.r, keystore.IsKeyID)
	if err != nil {
		return 0, nil, err
	}
	list, err := c.keys.Keys(c.r.Context(), c.deployment(), page)
	if err != nil {
		return 0, nil, err
	}
	c.reportAltered(list.Altered)
	body := struct {
		Keys       []keyJSON `json:"keys"`
		NextCursor string    `json:"next_cursor,omitempty"`
	}{Keys: []keyJSON{}, NextCursor: nextCursor(list)}
	for _, key := range list.Items {
		body.Keys = append(body.Keys, showKey(key))
	}
	return http.StatusOK, body, nil
}

// getKey is GET /deployments/{deployment}/keys/{key}.
func getKey(c *callContext) (int, any, error) {
	key, err := c.keys.DeploymentKey(c.r.Context(), c.deployment(), c.key())
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, showKey(key), nil
}

// updateKey is PATCH /deployments/{deployment}/keys/{key}: {"name"?,"description"?,"scopes"?,
// "expires_at"?,"allowed_ips"?}. What is left out stays. An expires_at of "" takes the expiry away, one
// that has passed ends the key now; allowed_ips of [] allows all addresses again.
func updateKey(c *callContext) (int, any, error) {
	var body struct {
		Name        *string              `json:"name"`
		Description *string              `json:"description"`
		Scopes      *keystore.Scopes     `json:"scopes"`
		ExpiresAt   *string              `json:"expires_at"`
		AllowedIPs  *keystore.AllowedIPs `json:"allowed_ips"`
	}
	if err := readBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	var expires *time.Time
	if body.ExpiresAt != nil {
		expires = new(time.Time)
		if *body.ExpiresAt != "" {
			var err error
			if *expires, err = keystore.ParseExpiry(*body.ExpiresAt); err != nil {
				return 0, nil, err
			}
		}
	}
	key, err := c.keys.UpdateKey(c.r.Context(), c.by, c.deployment(), c.key(), func(key *keystore.Key) error {
		set(&key.Name, body.Name)
		set(&key.Description, body.Description)
		set(&key.Scopes, body.Scopes)
		set(&key.ExpiresAt, expires)
		set(&key.AllowedIPs, body.AllowedIPs)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	c.changed(keystore.Event{Kind: keystore.KeyUpdated, Deployment: key.DeploymentID, Key: key.ID})
	return http.StatusOK, showKey(key), nil
}

// deleteKey is DELETE /deployments/{deployment}/keys/{key}. 204; its tokens end with it.
func deleteKey(c *callContext) (int, any, error) {
	if err := c.keys.DeleteKey(c.r.Context(), c.by, c.deployment(), c.key()); err != nil {
		return 0, nil, err
	}
	c.changed(keystore.Event{Kind: keystore.KeyDeleted, Deployment: c.deployment(), Key: c.key()})
	return http.StatusNoContent, nil, nil
}
