package admin

import (
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// SigningKey is a signing key in an answer: nothing of its private part.
type SigningKey struct {
	KeyID       string                   `json:"kid"`
	Algorithm   string                   `json:"algorithm"`
	State       keystore.SigningKeyState `json:"state"`
	CreatedAt   time.Time                `json:"created_at"`            // when it was published
	SignsFrom   time.Time                `json:"signs_from"`            // of a key that is only published the earliest time
	RetiredAt   time.Time                `json:"retired_at,omitzero"`   // since when it signs no more
	RemovedFrom time.Time                `json:"removed_from,omitzero"` // of a retired key: when its last token has expired
}

// SigningKeyList is the answer of GET /signing_keys, oldest first. It has no pages.
type SigningKeyList struct {
	Keys []SigningKey `json:"keys"`
}

// SigningKeyRotation is the body of POST /signing_keys/rotate, which may be absent.
type SigningKeyRotation struct {
	// For a signing key that leaked: the new key signs at once, and all others are deleted, which revokes
	// every token that was issued.
	Replace bool `json:"replace,omitempty"`
}
