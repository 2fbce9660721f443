package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestAnswersToExitCodes(t *testing.T) {
	t.Parallel()
	const mayBeDone = "whether it was done is not known"
	for name, test := range map[string]struct {
		gateway http.HandlerFunc
		code    int
		says    string
		unsure  bool // of a change, whether it was made
	}{
		"not found":        {answering(404, `{"error":"Deployment \"etl\" does not exist"}`), 1, `Deployment "etl" does not exist`, false},
		"conflict":         {answering(409, `{"error":"it exists"}`), 1, "it exists", false},
		"not found, HTML":  {answering(404, "<html>"), 1, "it answers 404 Not Found", false},
		"no error in it":   {answering(400, `{"error":""}`), 1, "it answers 400 Bad Request", false},
		"store gone":       {answering(503, `{"error":"the store does not answer"}`), 2, "the store does not answer", true},
		"no JSON":          {answering(200, "<html>hello</html>"), 2, "not what a gateway answers", true},
		"empty":            {answering(200, ""), 2, "not what a gateway answers", true},
		"another type":     {answering(200, `[]`), 2, "not what a gateway answers", false},
		"too large":        {answering(200, strings.Repeat(" ", maxAnswer)+"{}"), 2, "larger than", true},
		"terminal escapes": {answering(400, `{"error":"\u001b[2J"}`), 1, "\ufffd[2J", false},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, 2, "reading its answer", true},
		"connection lost": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 2, "EOF", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			on := against(t, test.gateway)
			_, errs, code := on.run(t, "deployment", "show", "etl")
			if code != test.code || !strings.Contains(errs, test.says) || strings.Contains(errs, mayBeDone) || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit %d, want %d and one line with %q: %s", code, test.code, test.says, errs)
			}
			_, errs, code = on.run(t, "deployment", "update", "etl", "--name", "ETL")
			if code != test.code || !strings.Contains(errs, test.says) || strings.Contains(errs, mayBeDone) != test.unsure {
				t.Errorf("a change: exit %d, want %d and %q: %s", code, test.code, test.says, errs)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	on := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed.Store(true)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	on.want(t, 2, "", "it answers 307 Temporary Redirect", "deployment", "show", "etl")
	if followed.Load() {
		t.Error("the redirect was followed")
	}
}

func TestSilentGateway(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	on := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == auditPath {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Audit-First", "1 "+noHash)
			w.Header().Set("Audit-Head", "1 "+noHash)
			w.(http.Flusher).Flush()
		}
		<-release
	})
	t.Cleanup(func() { close(release) }) // before the server is closed, which waits
	on.timeout = 50 * time.Millisecond
	on.want(t, 2, "", "it does not answer within 50ms", "deployment", "show", "etl")
	on.want(t, 2, "", "it is silent for 50ms", "deployment", "audit", "export")
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	on := against(t, answering(200, "{}"))
	on.address = "127.0.0.1:1"
	_, errs, code := on.run(t, "deployment", "create", "ETL")
	if code != 2 || !strings.Contains(errs, "127.0.0.1:1") || strings.Contains(errs, "not known") {
		t.Errorf("exit %d: %s", code, errs)
	}
	for address, says := range map[string]string{
		"127.0.0.1:1-9":                   "want one port",
		"fd/3":                            "want one port, or a socket",
		"unix//nowhere/admin.sock":        "/nowhere/admin.sock",
		"https://":                        "want a host and a port",
		"https://host:1/path":             "want a host and a port",
		"https://user@host:1":             "want a host and a port",
		"unix//nowhere/\x1b[2Jadmin.sock": "\ufffd[2J",
	} {
		on.address = address
		on.want(t, 2, "", says, "deployment", "list")
	}
	on.address = "127.0.0.1:1"
	on.want(t, 2, "", "for an address that begins with https://", "deployment", "list", "--cert", "cert.pem")
	on.address = "https://127.0.0.1:1"
	on.want(t, 2, "", "--cert is missing", "deployment", "list", "--key", "key.pem")
	on.want(t, 2, "", "none.pem", "deployment", "list", "--cert", "none.pem")
	on.want(t, 2, "", "none.pem", "deployment", "list", "--ca-cert", "none.pem")
	on.want(t, 2, "", "there is no certificate in PEM form in client_test.go", "deployment", "list", "--ca-cert", "client_test.go")
}

// A list is followed to its end, in pages of a bounded size.
func TestListsFollowTheCursor(t *testing.T) {
	t.Parallel()
	const all = 450
	on := against(t, func(w http.ResponseWriter, r *http.Request) {
		var first, limit int
		if _, err := fmt.Sscan(r.FormValue("limit"), &limit); err != nil || limit > pageSize {
			t.Errorf("limit=%q", r.FormValue("limit"))
		}
		if cursor := r.FormValue("cursor"); cursor != "" {
			if _, err := fmt.Sscan(cursor, &first); err != nil {
				t.Error(err)
			}
		}
		var page struct {
			Deployments []map[string]any `json:"deployments"`
			Events      []map[string]any `json:"events"`
			Next        string           `json:"next_cursor,omitempty"`
		}
		for i := first; i < min(first+limit, all); i++ {
			page.Deployments = append(page.Deployments, map[string]any{"id": fmt.Sprintf("d%03d", i), "new_field": i})
			page.Events = append(page.Events, map[string]any{"seq": all - i, "kind": "key.created", "outcome": "done"})
		}
		if first+limit < all {
			page.Next = fmt.Sprint(first + limit)
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	out, errs, code := on.run(t, "deployment", "list")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != all+1 || !strings.HasPrefix(lines[0], "ID ") || !strings.HasPrefix(lines[all], "d449 ") {
		t.Errorf("exit %d, %d lines, the last %q: %s", code, len(lines), lines[len(lines)-1], errs)
	}
	out, errs, code = on.run(t, "deployment", "list", "--json")
	var list struct {
		Deployments []struct {
			ID  string `json:"id"`
			New int    `json:"new_field"` // what this does not know of is there too
		} `json:"deployments"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list.Deployments) != all || list.Deployments[449].New != 449 {
		t.Errorf("exit %d, %d Deployments, %v: %s", code, len(list.Deployments), err, errs)
	}
	for limit, want := range map[string]int{"1": 1, "200": 200, "250": 250, "1000": all} {
		out, errs, code = on.run(t, "deployment", "audit", "list", "--limit", limit)
		if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != want+1 {
			t.Errorf("--limit %s: exit %d, %d lines: %s", limit, code, len(lines), errs)
		}
	}
	on.want(t, 2, "", "--limit: want 1 or more", "deployment", "audit", "list", "--limit", "0")
}

func TestListWithoutEnd(t *testing.T) {
	t.Parallel()
	on := against(t, answering(200, `{"deployments":[{"id":"etl"}],"next_cursor":"again"}`))
	on.want(t, 2, "", "has no end", "deployment", "list")
	on = against(t, answering(200, `{"keys":[]}`)) // another list
	on.want(t, 2, "", "not what a gateway answers", "deployment", "list")
}
