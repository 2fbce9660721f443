package admin

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/deploymentkeys/gateway/keystore"
)

// listAudit is GET /audit?limit=&cursor=: {"events":[...],"next_cursor"?}, newest first, of the whole
// store.
func listAudit(c *callContext) (int, any, error) {
	page, err := readPage(c.r, keystore.IsAuditPlace)
	if err != nil {
		return 0, nil, err
	}
	list, err := c.keys.Audit(c.r.Context(), page)
	return c.showAudit(list, auditError(err))
}

// listDeploymentAudit is GET /deployments/{deployment}/audit?limit=&cursor=: the same of one Deployment,
// also after it was deleted. 404 when there is and was none of that ID, as far back as the log goes.
func listDeploymentAudit(c *callContext) (int, any, error) {
	page, err := readPage(c.r, keystore.IsAuditPlace)
	if err != nil {
		return 0, nil, err
	}
	list, err := c.keys.DeploymentAudit(c.r.Context(), c.deployment(), page)
	if err == nil && c.subject != nil && !c.subject.Administrator {
		err = c.onlyPresent(&list)
	}
	return c.showAudit(list, err)
}

// onlyPresent leaves out what is of an earlier Deployment of the same ID: its people are none of the
// business of the members of this one.
func (c *callContext) onlyPresent(list *keystore.List[keystore.AuditEntry]) error {
	d, err := c.keys.Deployment(c.r.Context(), c.deployment())
	if err != nil {
		return err
	}
	list.Items = slices.DeleteFunc(list.Items, func(entry keystore.AuditEntry) bool {
		return entry.Time.Before(d.CreatedAt)
	})
	return nil
}

func (c *callContext) showAudit(list keystore.List[keystore.AuditEntry], err error) (int, any, error) {
	if err != nil {
		return 0, nil, err
	}
	c.reportAltered(list.Altered)
	body := AuditList{Events: []json.RawMessage{}, NextCursor: nextCursor(list)}
	for _, entry := range list.Items {
		body.Events = append(body.Events, entry.Line)
	}
	return http.StatusOK, body, nil
}
