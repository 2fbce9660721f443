package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

const exportPath = "/audit/export"

// serveExport is GET /audit/export?deployment=: the audit log as it is when the call comes, oldest first,
// as NDJSON, whole or of one Deployment. In the place of an entry that is not there or not as it was
// written stands {"seq","fault"}, with the fault "missing", "altered", or "expired" when its time was over
// while the export went on.
//
// An answer that ends early, because the store could not be asked any more, is cut off: the connection
// ends without the end of the body.
func (a *API) serveExport(w http.ResponseWriter, r *http.Request) {
	if !Allow(w, r, http.MethodGet) {
		return
	}
	c := a.newCall(w, r)
	if err := c.authorize(exportPath, http.MethodGet); err != nil {
		a.refuse(c, err)
		return
	}
	deployment, err := exportedDeployment(r)
	if err != nil {
		writeError(w, err)
		return
	}
	keys, err := a.Keystore()
	if err != nil {
		a.failed(r, writeError(w, err), err)
		return
	}
	log, err := keys.AuditRange(r.Context())
	if err != nil {
		err = auditError(err)
		a.failed(r, writeError(w, err), err)
		return
	}
	slots, err := keys.AuditSlots(r.Context(), log.First, log.Last)
	if err != nil {
		a.failed(r, writeError(w, err), err)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/x-ndjson")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set(HeaderAuditFirst, fmt.Sprintf("%d %s", log.First, log.FirstPrevious))
	header.Set(HeaderAuditHead, fmt.Sprintf("%d %s", log.Last, log.Hash))
	if r.Method == http.MethodHead {
		return
	}
	faults := 0
	for next := log.First; len(slots) > 0; {
		for _, slot := range slots {
			if slot.Fault != "" && slot.Fault != keystore.AuditFaultExpired {
				faults++
			}
			if line := exportedLine(slot, deployment); line != nil {
				if _, err := w.Write(append(line, '\n')); err != nil {
					return // the caller has gone away
				}
			}
		}
		next += uint64(len(slots))
		if slots, err = keys.AuditSlots(r.Context(), next, log.Last); err != nil {
			a.failed(r, http.StatusServiceUnavailable, err)
			panic(http.ErrAbortHandler)
		}
	}
	if faults > 0 {
		a.Logger.Error("entries of the audit log were removed or altered outside of this product", zap.Int("entries", faults))
	}
}

// exportedDeployment is that of the query; "" is all.
func exportedDeployment(r *http.Request) (string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", badRequest("the query of the URL is malformed")
	}
	for name, values := range query {
		switch {
		case name != "deployment":
			return "", badRequest(fmt.Sprintf("unknown parameter %q: use deployment", name))
		case len(values) > 1:
			return "", badRequest("deployment is there more than once")
		}
	}
	if !query.Has("deployment") {
		return "", nil
	}
	return query.Get("deployment"), keystore.ValidateDeploymentID(query.Get("deployment"))
}

// exportedLine is an entry as it is kept, or its fault; nil is one that is not asked for.
func exportedLine(slot keystore.AuditSlot, deployment string) []byte {
	if slot.Fault == "" {
		if deployment != "" && slot.Entry.Deployment != deployment {
			return nil
		}
		return slot.Entry.Line
	}
	line, err := json.Marshal(AuditFault{slot.Seq, slot.Fault})
	if err != nil {
		panic(err) // a number and a word can be encoded
	}
	return line
}

// auditError says what becomes of an audit log whose head was altered: that is entered, and it begins
// anew.
func auditError(err error) error {
	if errors.Is(err, keystore.ErrAltered) {
		return &apiError{http.StatusServiceUnavailable, err.Error() + "; the audit log begins anew with the next change"}
	}
	return err
}
