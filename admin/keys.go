package admin

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

func showKey(k keystore.Key, use keystore.KeyUse) Key {
	shown := Key{
		ID: k.ID, DeploymentID: k.DeploymentID, Name: k.Name, Description: k.Description, Scopes: k.Scopes.Names(),
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
	var body KeyFields
	if err := readBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	key := keystore.Key{DeploymentID: c.deployment()}
	set(&key.Name, body.Name)
	set(&key.Description, body.Description)
	set(&key.Scopes, body.Scopes)
	set(&key.AllowedIPs, body.AllowedIPs)
	if body.Scopes != nil && *body.Scopes == 0 {
		return 0, nil, badRequest("scopes is empty: leave it out for all scopes, or name some")
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
	body := KeyList{Keys: []Key{}, NextCursor: nextCursor(list)}
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
	var body KeyFields
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
