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
	SigningKeyAdded   EventKind = "signing_key.added"
)

// An Event is a change as the log keeps it, in JSON. It never holds a secret.
type Event struct {
	Kind       EventKind `json:"kind"`
	Time       time.Time `json:"time"` // UTC, by the clock of the node that made the change
	By         string    `json:"by"`   // who made it: Caller.Name
	Address    string    `json:"address,omitempty"`
	Deployment string    `json:"deployment,omitempty"`
	Key        string    `json:"key,omitempty"`  // key ID, or kid of a signing key
	User       string    `json:"user,omitempty"` // the member it is about
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
