package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// auditAPI is an API whose audit log is up to date, and what writes it.
func auditAPI(t *testing.T) (http.Handler, *keystore.Keystore) {
	t.Helper()
	var keys *keystore.Keystore
	api := newAPI(t, func(a *API) { keys, _ = a.Keystore() })
	for _, call := range [][3]string{
		{"POST", "/deployments", `{"id":"dep1","name":"One <&> two"}`},
		{"POST", "/deployments", `{"id":"dep2","name":"Two"}`},
		{"POST", "/deployments/dep1/keys", `{"name":"CI"}`},
		{"DELETE", "/deployments/dep2", ""},
	} {
		if w := callAPI(t, api, call[0], call[1], call[2]); w.Code >= 300 {
			t.Fatalf("%s: %d %s", call, w.Code, w.Body)
		}
	}
	if _, _, err := keys.WriteAudit(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return api, keys
}

func TestAuditLists(t *testing.T) {
	t.Parallel()
	api, _ := auditAPI(t)
	for path, want := range map[string]string{
		"/audit":                            "deployment.deleted key.created deployment.created deployment.created store.created",
		"/audit?limit=2":                    "deployment.deleted key.created deployment.created deployment.created store.created",
		"/deployments/dep1/audit":           "key.created deployment.created",
		"/deployments/dep1/audit?limit=1":   "key.created deployment.created",
		"/deployments/dep2/audit?limit=500": "deployment.deleted deployment.created",
	} {
		var kinds []string
		for next := path; next != ""; {
			w := callAPI(t, api, http.MethodGet, next, "")
			var page struct {
				Events []struct {
					Kind, By, Address, Hash string
				}
				NextCursor string `json:"next_cursor"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &page); w.Code != http.StatusOK || err != nil {
				t.Fatalf("%s: %d %s", next, w.Code, w.Body)
			}
			for _, event := range page.Events {
				kinds = append(kinds, event.Kind)
				if event.Kind != "store.created" && (event.By != "anna" || event.Address != "192.0.2.9" || len(event.Hash) != 64) {
					t.Errorf("%s: an event is %+v", next, event)
				}
			}
			next = ""
			if page.NextCursor != "" {
				next = path + "&cursor=" + page.NextCursor
			}
		}
		if got := strings.Join(kinds, " "); got != want {
			t.Errorf("%s has %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string]int{
		"/deployments/dep3/audit":                 http.StatusNotFound,
		"/audit?limit=0":                          http.StatusBadRequest,
		"/deployments/dep1/audit?since=1":         http.StatusBadRequest,
		"/audit/export?deployment=DEP":            http.StatusBadRequest,
		"/audit/export?deployment=":               http.StatusBadRequest,
		"/audit/export?limit=1":                   http.StatusBadRequest,
		"/audit/export?deployment=a&deployment=b": http.StatusBadRequest,
	} {
		if w := callAPI(t, api, http.MethodGet, path, ""); w.Code != want || want >= 400 && !strings.Contains(w.Body.String(), `{"error":"`) {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
		}
	}
	for _, path := range []string{"/audit", "/audit/export", "/deployments/dep1/audit"} {
		if w := callAPI(t, api, http.MethodPost, path, "{}"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d %s", path, w.Code, w.Header())
		}
	}
}

func TestAuditExport(t *testing.T) {
	t.Parallel()
	api, keys := auditAPI(t)
	w := callAPI(t, api, http.MethodGet, "/audit/export", "")
	lines := strings.Split(strings.TrimSuffix(w.Body.String(), "\n"), "\n")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-ndjson" || len(lines) != 5 {
		t.Fatalf("%d %v\n%s", w.Code, w.Header(), w.Body)
	}
	if !strings.Contains(lines[1], `"name":"One <&> two"`) {
		t.Errorf("the second line is %s", lines[1])
	}
	log, err := keys.AuditRange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.Header().Get("Audit-Head"), "5 "+log.Hash; got != want || !strings.Contains(lines[4], log.Hash) {
		t.Errorf("the head is %q, want %q", got, want)
	}
	if got, want := w.Header().Get("Audit-First"), fmt.Sprintf("1 %064d", 0); got != want {
		t.Errorf("the first is %q, want %q", got, want)
	}
	// The same bytes as in a list: a hash is of bytes.
	list := callAPI(t, api, http.MethodGet, "/audit", "").Body.String()
	for _, line := range lines {
		if !strings.Contains(list, line) {
			t.Errorf("the list has not the line %s", line)
		}
	}
	of := callAPI(t, api, http.MethodGet, "/audit/export?deployment=dep2", "").Body.String()
	if of != lines[2]+"\n"+lines[4]+"\n" {
		t.Errorf("of dep2 there is\n%s", of)
	}
	head := callAPI(t, api, http.MethodHead, "/audit/export", "")
	if head.Code != http.StatusOK || head.Body.Len() != 0 || head.Header().Get("Audit-Head") == "" {
		t.Errorf("HEAD: %d %v %s", head.Code, head.Header(), head.Body)
	}
}
