package admin

import (
	"encoding/json"
	"net/http"

	"github.com/deploymentkeys/gateway/keystore"
)

// auditList is a page of the audit log. Its events are as they are kept, byte for byte: their hash is
// of that.
type auditList struct {
	Events     []json.RawMessage `json:"events"`
	NextCursor string            `json:"next_cursor,omitempty"`
}

// listAudit is GET /audit?limit=&cursor=: {"events":[...],"next_cursor"?}, newest first, of the whole
// store.
func listAudit(c *callContext) (int, any, error) {
	page, err := readPage(c.r, keystore.IsAuditPlace)
	if err != nil {
		return 0, nil, err
	}
	return c.showAudit(c.keys.Audit(c.r.Context(), page))
}

// listDeploymentAudit is GET /deployments/{deployment}/audit?limit=&cursor=: the same of one Deployment,
// also after it was deleted. 404 when there is and was none of that ID, as far back as the log goes.
func listDeploymentAudit(c *callContext) (int, any, error) {
	page, err := readPage(c.r, keystore.IsAuditPlace)
	if err != nil {
		return 0, nil, err
	}
	return c.showAudit(c.keys.DeploymentAudit(c.r.Context(), c.deployment(), page))
}

func (c *callContext) showAudit(list keystore.List[keystore.AuditEntry], err error) (int, any, error) {
	if err != nil {
		return 0, nil, auditError(err)
	}
	c.reportAltered(list.Altered)
	body := auditList{Events: []json.RawMessage{}, NextCursor: nextCursor(list)}
	for _, entry := range list.Items {
		body.Events = append(body.Events, entry.Line)
	}
	return http.StatusOK, body, nil
}
