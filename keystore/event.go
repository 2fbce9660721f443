package keystore

import (
	"encoding/json"
	"time"
)

// EventKind says what happened, as "thing.past participle".
type EventKind string

// The kinds of change that are in the log.
const (
	StoreCreated      EventKind = "store.created"
	DeploymentCreated EventKind = "deployment.created"
	DeploymentUpdated EventKind = "deployment.updated"
	DeploymentDeleted EventKind = "deployment.deleted" // with its keys and members
	KeyCreated        EventKind = "key.created"
	KeyUpdated        EventKind = "key.updated"
	KeyDeleted        EventKind = "key.deleted"
	MemberPut         EventKind = "member.put"
	MemberDeleted     EventKind = "member.deleted"

	// Of secrets. A rotation may also have ended the tokens of the key.
	KeyRotated             EventKind = "key.rotated"
	KeyPreviousSecretEnded EventKind = "key.previous_secret_ended"

	// Of access tokens. What was issued until then ends: of a key, of all keys of a Deployment, of
	// everybody; or one token alone.
	KeyTokensRevoked        EventKind = "key.tokens_revoked"
	DeploymentTokensRevoked EventKind = "deployment.tokens_revoked"
	TokensRevoked           EventKind = "tokens.revoked"
	TokenRevoked            EventKind = "token.revoked"

	SigningKeyAdded     EventKind = "signing_key.added"     // announced; the first one of a store signs at once
	SigningKeyActivated EventKind = "signing_key.activated" // it signs from now on
	SigningKeyRemoved   EventKind = "signing_key.removed"   // it verifies nothing any more
	SigningKeysReplaced EventKind = "signing_keys.replaced" // by the key that is named: all others are removed

	StoreSecretChanged EventKind = "store.secret_changed" // the store has another master secret
)

// An Event is a change as the log keeps it, in JSON. It never holds a secret.
type Event struct {
	Kind       EventKind `json:"kind"`
	Time       time.Time `json:"time"` // UTC, by the clock of the node that made the change
	By         string    `json:"by"`   // who made it: Caller.Name
	Address    string    `json:"address,omitempty"`
	Deployment string    `json:"deployment,omitempty"`
	Key        string    `json:"key,omitempty"`   // key ID, or kid of a signing key
	User       string    `json:"user,omitempty"`  // the member it is about, or whose token
	Token      string    `json:"token,omitempty"` // jti of the token it is about
}

// DecodeEvent reads the event of a [LogEntry].
func DecodeEvent(encoded []byte) (Event, error) {
	var event Event
	err := json.Unmarshal(encoded, &event)
	return event, err
}

// A Caller is who makes a change.
type Caller struct {
	Name    string // "admin", a certificate's name, a user, or "gateway" for what nodes do by themselves
	Address string // the IP address they came from; empty for a local caller
}

// gatewayCaller is the caller of what a node does by itself.
var gatewayCaller = Caller{Name: "gateway"}
