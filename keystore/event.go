package keystore

import (
	"encoding/json"
	"fmt"
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
	Via        Via       `json:"via,omitempty"`
	Address    string    `json:"address,omitempty"`
	Deployment string    `json:"deployment,omitempty"`
	Key        string    `json:"key,omitempty"`   // key ID, or kid of a signing key
	User       string    `json:"user,omitempty"`  // the member it is about, or whose token
	Token      string    `json:"token,omitempty"` // jti of the token it is about

	// Set are the values that the change has given, by the names that fields have in the admin API, as
	// people read them; a long name or description is cut off.
	Set map[string]string `json:"set,omitempty"`
}

// logName is what events are sealed as. The number that an event will have in the log is not known
// when it is sealed.
const logName = "log"

// encodeEvent is an event as the log keeps it: with an authentication code before the JSON, so that
// nobody who can write the store can say that somebody else has done something.
func encodeEvent(v *vault, event Event) ([]byte, error) {
	content, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encoding an event: %w", err)
	}
	return v.sealRecord(logName, content), nil
}

// openEvent reads an event of the log. Errors: [ErrAltered].
func openEvent(v *vault, encoded []byte) (Event, error) {
	if _, err := v.openRecord(logName, encoded); err != nil {
		return Event{}, err
	}
	return DecodeEvent(encoded)
}

// DecodeEvent reads the event of a [LogEntry], without a look at its authentication code: it is enough
// for whoever only forgets what the event is about.
func DecodeEvent(encoded []byte) (Event, error) {
	if len(encoded) < codeSize {
		return Event{}, fmt.Errorf("an event of %d bytes is none", len(encoded))
	}
	var event Event
	err := json.Unmarshal(encoded[codeSize:], &event)
	return event, err
}

// maxSetLength is how many bytes of a name or a description an event keeps.
const maxSetLength = 256

// set says that a change has given a field a value. A value is whole, and bounded by what the field may
// be; but for text that people write.
func (e *Event) set(field, value string) {
	if e.Set == nil {
		e.Set = make(map[string]string)
	}
	if field == "name" || field == "description" {
		value = clipTo(value, maxSetLength)
	}
	e.Set[field] = value
}

// setIfOther is set for a field that may have been changed.
func (e *Event) setIfOther(field, before, after string) {
	if before != after {
		e.set(field, after)
	}
}

// A Caller is who makes a change.
type Caller struct {
	Name    string // "admin", a certificate's name, a user, or "gateway" for what nodes do by themselves
	Address string // the IP address they came from; empty for a local caller
	Via     Via
}

// Via says by which way a caller has come, and so who vouches for their name: a user, or the owner of a
// certificate, may be called admin or gateway. It is empty for what nodes do by themselves.
type Via string

// The ways in.
const (
	ViaLocalAdmin  Via = "local_admin"  // Caddy's admin endpoint, which knows no callers
	ViaRemoteAdmin Via = "remote_admin" // the same for remote callers: the name is of their certificate
	ViaConsole     Via = "console"      // the name is of a user whom the site has signed in
	ViaOAuth       Via = "oauth"        // a token endpoint of keys and users
	ViaCommand     Via = "command"      // a command that has opened the store itself
)

// gatewayCaller is the caller of what a node does by itself.
var gatewayCaller = Caller{Name: "gateway"}
