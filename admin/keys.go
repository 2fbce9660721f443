package admin

import (
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

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

	// When it was last used, a minute late at most, and from which address as far as that is known; only
	// if it ever was. LastUsedAt is the later of the last token and the last accepted request.
	LastUsedAt         time.Time  `json:"last_used_at,omitzero"`
	LastTokenAt        time.Time  `json:"last_token_at,omitzero"`
	LastTokenAddress   netip.Addr `json:"last_token_address,omitzero"`
	LastRequestAt      time.Time  `json:"last_request_at,omitzero"`
	LastRequestAddress netip.Addr `json:"last_request_address,omitzero"`

	// When the secret of before the last rotation was last used since then; only while it works.
	PreviousSecretLastUsedAt time.Time `json:"previous_secret_last_used_at,omitzero"`
}

func showKey(k keystore.Key, use keystore.KeyUse) keyJSON {
	shown := keyJSON{
		ID: k.ID, DeploymentID: k.DeploymentID, Name: k.Name, Description: k.Description, Scopes: k.Scopes,
		CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy, ExpiresAt: k.ExpiresAt, AllowedIPs: k.AllowedIPs,
		TokensRevokedAt: k.TokensRevokedAt,
		LastUsedAt:      use.LastAt(), LastTokenAt: use.TokenAt, LastTokenAddress: use.TokenAddress,
		LastRequestAt: use.RequestAt, LastRequestAddress: use.RequestAddress,
	}
	if k.HasPreviousSecret(time.Now()) {
		shown.PreviousSecretExpiresAt = k.PreviousSecretExpiresAt
		shown.PreviousSecretLastUsedAt = use.PreviousSecretOf(&k)
	}
	return shown
}

// lastUses is when each of these keys was last used.
func (c *callContext) lastUses(keys ...keystore.Key) ([]keystore.KeyUse, error) {
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = key.ID
	}
	uses, altered, err := c.keys.KeyUses(c.r.Context(), ids...)
	for _, record := range altered {
		c.log.Error("a record was altered outside of this product; its key is shown as never used until it is used again", zap.String("record", record))
	}
	return uses, err
}

// lastUse is for a key that was changed. That was done, and is answered, whether or not it can be said
// when the key was last used.
func (c *callContext) lastUse(key keystore.Key) keystore.KeyUse {
	uses, err := c.lastUses(key)
	if err != nil {
		c.log.Warn("a key is shown without when it was last used", zap.Error(err))
		return keystore.KeyUse{}
	}
	return uses[0]
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
	return http.StatusCreated, showSecret(key, keystore.KeyUse{}, secret), nil
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
	uses, err := c.lastUses(list.Items...)
	if err != nil {
		return 0, nil, err
	}
	for i, key := range list.Items {
		body.Keys = append(body.Keys, showKey(key, uses[i]))
	}
	return http.StatusOK, body, nil
}

// getKey is GET /deployments/{deployment}/keys/{key}.
func getKey(c *callContext) (int, any, error) {
	key, err := c.keys.DeploymentKey(c.r.Context(), c.deployment(), c.key())
	if err != nil {
		return 0, nil, err
	}
	uses, err := c.lastUses(key)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, showKey(key, uses[0]), nil
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
	return http.StatusOK, showKey(key, c.lastUse(key)), nil
}

// deleteKey is DELETE /deployments/{deployment}/keys/{key}. 204; its tokens end with it.
func deleteKey(c *callContext) (int, any, error) {
	if err := c.keys.DeleteKey(c.r.Context(), c.by, c.deployment(), c.key()); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}
