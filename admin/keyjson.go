package admin

import (
	"net/netip"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// Key is a key in an answer.
type Key struct {
	ID           string    `json:"id"`
	DeploymentID string    `json:"deployment_id"`
	Name         string    `json:"name"`
	Description  string    `json:"description"`
	Scopes       []string  `json:"scopes"`
	CreatedAt    time.Time `json:"created_at"`
	CreatedBy    string    `json:"created_by"`

	// When the key expires, or has expired; absent if it does not.
	ExpiresAt time.Time `json:"expires_at,omitzero"`

	// The blocks of addresses from which the key may be used; absent if it may be used from anywhere.
	AllowedIPs keystore.AllowedIPs `json:"allowed_ips,omitempty"`

	// When all its tokens were last revoked; absent if they never were.
	TokensRevokedAt time.Time `json:"tokens_revoked_at,omitzero"`

	// Until when the previous secret works; only while it does.
	PreviousSecretExpiresAt time.Time `json:"previous_secret_expires_at,omitzero"`

	// When it was last used, at most a minute late, and from which address as far as that is known; absent
	// if it never was. LastUsedAt is the later of the last token and the last accepted request.
	LastUsedAt         time.Time  `json:"last_used_at,omitzero"`
	LastTokenAt        time.Time  `json:"last_token_at,omitzero"`
	LastTokenAddress   netip.Addr `json:"last_token_address,omitzero"`
	LastRequestAt      time.Time  `json:"last_request_at,omitzero"`
	LastRequestAddress netip.Addr `json:"last_request_address,omitzero"`

	// When the previous secret was last used since the rotation; only while it works.
	PreviousSecretLastUsedAt time.Time `json:"previous_secret_last_used_at,omitzero"`
}

// KeyWithSecret is a key in the one answer that has its secret: of the call that creates or rotates it.
type KeyWithSecret struct {
	Key
	Secret string `json:"secret"`
}

// KeyList is the answer of GET /deployments/{deployment}/keys, oldest first.
type KeyList struct {
	Keys       []Key  `json:"keys"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// KeyFields is the body of POST /deployments/{deployment}/keys, which needs a name, and of PATCH
// /deployments/{deployment}/keys/{key}, where what is absent stays.
type KeyFields struct {
	Name        *string          `json:"name,omitempty"`
	Description *string          `json:"description,omitempty"`
	Scopes      *keystore.Scopes `json:"scopes,omitempty"` // Default of a new key: all. An empty list is refused.

	// RFC 3339, whole seconds. Default of a new key: never. PATCH takes the expiry away with "".
	ExpiresAt *string `json:"expires_at,omitempty"`

	// Addresses and blocks. Default of a new key: any. PATCH allows all again with [].
	AllowedIPs *keystore.AllowedIPs `json:"allowed_ips,omitempty"`
}

// KeyRotation is the body of POST /deployments/{deployment}/keys/{key}/rotate, which may be absent.
type KeyRotation struct {
	// How long the previous secret goes on working, such as "1h" or "90m". Default: "0s". At most "168h". A
	// secret that was the previous one already expires at once.
	Overlap *string `json:"overlap,omitempty"`

	RevokeTokens bool `json:"revoke_tokens,omitempty"` // revokes all tokens of the key
}
