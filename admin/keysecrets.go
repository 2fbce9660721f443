package admin

import (
	"net/http"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// rotateKey is POST /deployments/{deployment}/keys/{key}/rotate: {"overlap"?,"revoke_tokens"?}, or no
// body. 200 with the key and its new secret, which is shown this once. overlap says for how long the
// secret of until now goes on working, as "1h" or "90m": 0s by default, and 168h at most. A secret that
// was the previous one already ends at once.
func rotateKey(c *callContext) (int, any, error) {
	var body KeyRotation
	if err := readOptionalBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	rotation := keystore.KeyRotation{RevokeTokens: body.RevokeTokens}
	if body.Overlap != nil {
		overlap, err := time.ParseDuration(*body.Overlap)
		if err != nil {
			return 0, nil, badRequest(`overlap must be a duration such as "1h" or "90m"`)
		}
		rotation.Overlap = overlap
	}
	key, secret, err := c.keys.RotateKey(c.r.Context(), c.by, c.deployment(), c.key(), rotation)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, showSecret(key, c.lastUse(key), secret), nil
}

// endPreviousSecret is DELETE /deployments/{deployment}/keys/{key}/previous_secret. 204: it ends before
// its time. 404 when there is none.
func endPreviousSecret(c *callContext) (int, any, error) {
	if err := c.keys.EndPreviousSecret(c.r.Context(), c.by, c.deployment(), c.key()); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

func showSecret(key keystore.Key, use keystore.KeyUse, secret keystore.Secret) KeyWithSecret {
	return KeyWithSecret{showKey(key, use), secret.Reveal()}
}
