package admin

import (
	"encoding/json"

	"github.com/deploymentkeys/gateway/keystore"
)

// AuditList is the answer of GET /audit and GET /deployments/{deployment}/audit, newest first.
type AuditList struct {
	// Each is a [keystore.AuditEvent] with its hash, byte for byte as it is stored: the hash is of that.
	Events     []json.RawMessage `json:"events"`
	NextCursor string            `json:"next_cursor,omitempty"`
}

// AuditFault is a line of GET /audit/export in the place of an entry that is missing or corrupted, or that expired
// during the export. The other lines are as the events of an [AuditList], oldest first.
type AuditFault struct {
	Seq   uint64              `json:"seq"`
	Fault keystore.AuditFault `json:"fault"`
}

// The headers of GET /audit/export.
const (
	HeaderAuditFirst = "Audit-First" // number of the oldest entry, and the hash of the one before it
	HeaderAuditHead  = "Audit-Head"  // number and hash of the newest entry that it goes to
)
