package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A testLog is an audit log as a gateway exports it.
type testLog struct {
	lines       []string
	first, head string // the headers
}

// auditEntry is an entry as a gateway writes it, and its hash.
func auditEntry(seq int, previous, name string) (line, hash string) {
	at := time.Date(2026, 11, 1, 0, seq, 0, 0, time.UTC).Format(time.RFC3339)
	rest := fmt.Sprintf(`"previous_hash":%q,"seq":%d,"time":%q,"kind":"key.created","outcome":"done","by":"admin","set":{"name":%q}}`,
		previous, seq, at, name)
	sum := sha256.Sum256([]byte("{" + rest))
	hash = hex.EncodeToString(sum[:])
	return fmt.Sprintf(`{"hash":%q,`, hash) + rest, hash
}

// newTestLog is a log of which the gateway keeps the entries from first to last.
func newTestLog(first, last int) testLog {
	log := testLog{first: fmt.Sprintf("%d %s", first, noHash), head: "0 " + noHash}
	hash := noHash
	for seq := 1; seq <= last; seq++ {
		before := hash
		var line string
		line, hash = auditEntry(seq, before, fmt.Sprintf("CI %d", seq))
		if seq == first {
			log.first = fmt.Sprintf("%d %s", first, before)
		}
		if seq >= first {
			log.lines = append(log.lines, line)
		}
		log.head = fmt.Sprintf("%d %s", seq, hash)
	}
	return log
}

func (log testLog) edit(edit func(lines []string) []string) testLog {
	log.lines = edit(slices.Clone(log.lines))
	return log
}

func (log testLog) text() string { return strings.Join(append(slices.Clone(log.lines), ""), "\n") }

func (log testLog) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != auditPath {
		answering(404, `{"error":"there is nothing at this path"}`)(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Audit-First", log.first)
	w.Header().Set("Audit-Head", log.head)
	_, _ = w.Write([]byte(log.text()))
}

// file writes the log into a file, as an export does.
func (log testLog) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	if err := os.WriteFile(path, []byte(log.text()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rechained is a log in which entry 5 is another one, and all after it follow it.
func rechained(last int) testLog {
	log := newTestLog(1, last)
	_, hash := auditEntry(1, noHash, "CI 1")
	for seq := 2; seq <= last; seq++ {
		name := fmt.Sprintf("CI %d", seq)
		if seq == 5 {
			name = "another"
		}
		log.lines[seq-1], hash = auditEntry(seq, hash, name)
	}
	return log
}

// In a log of ten entries; what is at index 4 is entry 5.
func TestAuditVerify(t *testing.T) {
	t.Parallel()
	whole := newTestLog(1, 10)
	for name, test := range map[string]struct {
		log    testLog
		faults []string // in this order; none: the log is intact
	}{
		"intact":         {whole, nil},
		"old ones ended": {newTestLog(4, 10), nil},
		"one entry":      {newTestLog(1, 1), nil},
		"empty":          {newTestLog(1, 0), nil},
		"empty, from 0":  {testLog{first: "0 " + noHash, head: "0 " + noHash}, nil},
		"changed entry": {whole.edit(func(l []string) []string {
			l[4] = strings.Replace(l[4], "CI 5", "CI 6", 1)
			return l
		}), []string{"entry 5 is not as it was written"}},
		"changed by a blank": {whole.edit(func(l []string) []string {
			l[4] += " "
			return l
		}), []string{"entry 5 is not as it was written"}},
		"changed, with its hash": {whole.edit(func(l []string) []string {
			_, before := auditEntry(3, "", "")
			for i := range l[:4] {
				before = l[i][len(`{"hash":"`):][:64]
			}
			l[4], _ = auditEntry(5, before, "another")
			return l
		}), []string{"entry 6 does not name entry 5 as it is"}},
		"removed entry": {whole.edit(func(l []string) []string { return slices.Delete(l, 4, 5) }), []string{"entry 5 is missing"}},
		"removed many":  {whole.edit(func(l []string) []string { return slices.Delete(l, 4, 7) }), []string{"entries 5 to 7 are missing"}},
		"removed first": {whole.edit(func(l []string) []string { return l[1:] }), []string{"entry 1 is missing"}},
		"removed tail":  {whole.edit(func(l []string) []string { return l[:8] }), []string{"entries 9 to 10 are missing"}},
		"removed all":   {whole.edit(func([]string) []string { return nil }), []string{"entries 1 to 10 are missing"}},
		"swapped": {whole.edit(func(l []string) []string {
			l[4], l[5] = l[5], l[4]
			return l
		}), []string{"entry 5 is missing", "entry 5 stands after entry 6"}},
		"twice": {whole.edit(func(l []string) []string { return slices.Insert(l, 5, l[4]) }), []string{"entry 5 stands after entry 5"}},
		"beyond the head": {whole.edit(func(l []string) []string {
			line, _ := auditEntry(11, whole.head[3:], "CI 11")
			return append(l, line)
		}), []string{"it goes on to entry 11, and its newest entry is 10"}},
		"re-chained":     {rechained(10), []string{"entry 10 is not the one that is its newest"}},
		"fault, missing": {whole.edit(func(l []string) []string { l[4] = `{"seq":5,"fault":"missing"}`; return l }), []string{"entry 5 is missing"}},
		"fault, altered": {whole.edit(func(l []string) []string { l[9] = `{"seq":10,"fault":"altered"}`; return l }), []string{"entry 10 is not as it was written (altered)"}},
		"expired meanwhile": {whole.edit(func(l []string) []string {
			l[0], l[1] = `{"seq":1,"fault":"expired"}`, `{"seq":2,"fault":"expired"}`
			return l
		}), nil},
		"expired in between": {whole.edit(func(l []string) []string { l[4] = `{"seq":5,"fault":"expired"}`; return l }), []string{"entry 5 is not as it was written (expired)"}},
		"no entry":           {whole.edit(func(l []string) []string { l[4] = `{}`; return l }), []string{"after entry 4: there is a line that is no entry", "entry 5 is missing"}},
		"hash not first":     {whole.edit(func(l []string) []string { l[4] = " " + l[4]; return l }), []string{"entry 5 does not have the form", "entry 5 is missing"}},
		"another beginning":  {testLog{lines: newTestLog(4, 10).lines, first: "4 " + noHash, head: whole.head}, []string{"entry 4 does not name entry 3 as it is"}},
		"first follows some": {testLog{lines: whole.lines, first: "1 " + whole.head[3:], head: whole.head}, []string{"its first entry names one before", "entry 1 does not name entry 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := against(t, test.log.serve).run(t, "deployment", "audit", "verify")
			wantFaults(t, test.faults, out, errs, code)
			if !strings.Contains(out, "\nHead: "+test.log.head+"\n") {
				t.Errorf("the head is not there:\n%s", out)
			}
		})
	}
}

// wantFaults holds the lines that name a fault, and the exit code.
func wantFaults(t *testing.T, want []string, out, errs string, code int) {
	t.Helper()
	var got []string
	for line := range strings.Lines(out) {
		if fault, ok := strings.CutPrefix(line, "FAULT: "); ok {
			got = append(got, strings.TrimSpace(fault))
		}
	}
	if !slices.EqualFunc(got, want, strings.Contains) {
		t.Errorf("faults %q, want %q", got, want)
	}
	if wantCode := min(len(want), 1); code != wantCode || (errs == "") != (wantCode == 0) {
		t.Errorf("exit %d, want %d: %s", code, wantCode, errs)
	}
}

func TestAuditVerifyAgainstAFile(t *testing.T) {
	t.Parallel()
	whole := newTestLog(1, 10)
	earlier := newTestLog(1, 6)
	for name, test := range map[string]struct {
		file, log testLog
		faults    []string
		code      int // when there are no faults
	}{
		"the same":          {whole, whole, nil, 0},
		"grown":             {earlier, whole, nil, 0},
		"old ones ended":    {earlier, newTestLog(4, 10), nil, 0},
		"both shortened":    {newTestLog(3, 6), newTestLog(5, 10), nil, 0},
		"just behind":       {earlier, newTestLog(7, 10), nil, 0},
		"nothing in common": {earlier, newTestLog(8, 10), nil, 2},
		"its part is written anew as expired": {newTestLog(1, 4), whole.edit(func(l []string) []string {
			for i := range 4 {
				l[i] = fmt.Sprintf(`{"seq":%d,"fault":"expired"}`, i+1)
			}
			return l
		}), nil, 2},
		"the log went back":  {whole, earlier, []string{"it goes on to entry 10, and the gateway's log ends with entry 6"}, 0},
		"emptied":            {earlier, newTestLog(1, 0), []string{"it goes on to entry 6, and the gateway's log ends with entry 0"}, 0},
		"written anew":       {earlier, withOwnHead(rechained(10)), []string{"entry 5 is another one", "entry 6 is another one"}, 0},
		"written anew later": {newTestLog(1, 4), withOwnHead(rechained(10)), nil, 0},
		"another before": {rechained(6), newTestLog(7, 10), []string{
			"entry 6 is another one than the first entry of the gateway's log names",
		}, 0},
		"the file is changed": {earlier.edit(func(l []string) []string {
			l[2] = strings.Replace(l[2], "CI 3", "CI 4", 1)
			return l
		}), whole, []string{"entry 3 is not as it was written"}, 0},
		"the file has a hole":  {earlier.edit(func(l []string) []string { return slices.Delete(l, 2, 3) }), whole, []string{"entry 3 is missing"}, 0},
		"the file has a fault": {earlier.edit(func(l []string) []string { l[2] = `{"seq":3,"fault":"missing"}`; return l }), whole, []string{"entry 3 is missing"}, 0},
		"no file of ours":      {testLog{lines: []string{"hello"}}, whole, nil, 2},
		"empty file":           {testLog{}, whole, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := against(t, test.log.serve).run(t, "deployment", "audit", "verify", test.file.file(t))
			if test.faults == nil && test.code != 0 {
				if code != test.code || !strings.HasPrefix(errs, "Error: ") {
					t.Errorf("exit %d, want %d: %s%s", code, test.code, out, errs)
				}
				return
			}
			wantFaults(t, test.faults, out, errs, code)
		})
	}
}

// withOwnHead is a log whose newest entry the gateway takes for its own: whoever wrote it has the master
// secret.
func withOwnHead(log testLog) testLog {
	log.head = "10 " + log.lines[9][len(`{"hash":"`):][:64]
	return log
}

// Faults are named up to a number, and then counted.
func TestAuditVerifyNamesSomeFaults(t *testing.T) {
	t.Parallel()
	log := newTestLog(1, 100).edit(func(l []string) []string {
		for i := range l {
			l[i] = strings.Replace(l[i], "CI", "CD", 1)
		}
		return l
	})
	out, _, code := against(t, log.serve).run(t, "deployment", "audit", "verify")
	if code != 1 || strings.Count(out, "FAULT: ") != maxFaults+1 || !strings.Contains(out, "FAULT: and 80 more\n") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// What the log tells of something else is no fault of it.
func TestAuditVerifyNotes(t *testing.T) {
	t.Parallel()
	log := newTestLog(1, 1)
	rest := strings.Replace(log.lines[0], "key.created", "audit.gap", 1)[len(`{"hash":"`)+64+len(`",`):]
	sum := sha256.Sum256([]byte("{" + rest))
	hash := hex.EncodeToString(sum[:])
	log.lines, log.head = []string{`{"hash":"` + hash + `",` + rest}, "1 "+hash
	out, errs, code := against(t, log.serve).run(t, "deployment", "audit", "verify")
	if code != 0 || !strings.Contains(out, "\nNOTE: the gateway's log: entry 1 is audit.gap\n") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// What is no answer about a log is neither yes nor no.
func TestAuditThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	whole := newTestLog(1, 10)
	with := func(change func(http.ResponseWriter)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			change(w)
			if w.Header().Get("Content-Type") == "" {
				w.Header().Set("Content-Type", "application/x-ndjson")
			}
			_, _ = w.Write([]byte(whole.text()))
		}
	}
	heads := func(first, head string) http.HandlerFunc {
		return with(func(w http.ResponseWriter) {
			w.Header().Set("Audit-First", first)
			w.Header().Set("Audit-Head", head)
		})
	}
	for name, test := range map[string]struct {
		gateway http.HandlerFunc
		says    string
	}{
		"no such call":   {answering(404, `{"error":"there is nothing at this path"}`), "there is nothing at this path"},
		"refused":        {answering(403, `{"error":"not authorized to access this path"}`), "not authorized"},
		"store gone":     {answering(503, `{"error":"the store does not answer"}`), "does not answer"},
		"JSON":           {answering(200, `{}`), "no export"},
		"no headers":     {with(func(http.ResponseWriter) {}), "Audit-First"},
		"no head":        {with(func(w http.ResponseWriter) { w.Header().Set("Audit-First", whole.first) }), "Audit-Head"},
		"no hash":        {heads("1 abc", whole.head), "Audit-First"},
		"no number":      {heads(whole.first, "ten "+noHash), "Audit-Head"},
		"negative":       {heads(whole.first, "-1 "+noHash), "Audit-Head"},
		"a line too far": {headed(whole, strings.Repeat("x", maxAuditLine+1)+"\n"), "has a line of more than"},
		"half a line":    {headed(whole, whole.text()+"{"), "ends in the middle of a line"},
		"breaks off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			whole.serve(w, r)
		}, "breaks off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := against(t, test.gateway).run(t, "deployment", "audit", "verify")
			if code != 2 || out != "" || !strings.Contains(errs, test.says) {
				t.Errorf("exit %d, want 2 and %q: %s%s", code, test.says, out, errs)
			}
		})
	}
	on := against(t, whole.serve)
	on.want(t, 2, "", "none.ndjson", "deployment", "audit", "verify", "none.ndjson")
}

// headed answers with the headers of a log, and with a text in its place.
func headed(log testLog, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Audit-First", log.first)
		w.Header().Set("Audit-Head", log.head)
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = w.Write([]byte(text))
	}
}

func TestAuditExport(t *testing.T) {
	t.Parallel()
	whole := newTestLog(1, 10)
	some := whole.edit(func(l []string) []string { return []string{l[2], l[6]} })
	faulty := whole.edit(func(l []string) []string { l[4] = `{"seq":5,"fault":"missing"}`; return l })
	for name, test := range map[string]struct {
		log  testLog
		args []string
		code int
		says string
	}{
		"whole":           {whole, nil, 0, ""},
		"empty":           {newTestLog(1, 0), nil, 0, ""},
		"a Deployment":    {some, []string{"etl"}, 0, ""},
		"nothing of it":   {whole.edit(func([]string) []string { return nil }), []string{"etl"}, 0, ""},
		"tail missing":    {whole.edit(func(l []string) []string { return l[:9] }), nil, 2, "ends with entry 9, and should end with entry 10"},
		"all missing":     {whole.edit(func([]string) []string { return nil }), nil, 2, "should end with entry 10"},
		"beyond the head": {testLog{whole.lines, whole.first, "9 " + noHash}, []string{"etl"}, 2, "should end with entry 9"},
		"out of order":    {whole.edit(func(l []string) []string { slices.Reverse(l); return l }), []string{"etl"}, 2, "entry 9 after entry 10"},
		"expired":         {whole.edit(func(l []string) []string { l[0] = `{"seq":1,"fault":"expired"}`; return l }), nil, 0, ""},
		"fault":           {faulty, nil, 1, "1 entry of the audit log is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := against(t, test.log.serve).run(t, append([]string{"deployment", "audit", "export"}, test.args...)...)
			if code != test.code || !strings.HasPrefix(test.log.text(), out) || !strings.Contains(errs, test.says) || (test.says == "") != (errs == "") {
				t.Errorf("exit %d, want %d and %q: %s\n%s", code, test.code, test.says, errs, out)
			}
			if test.code != 2 && out != test.log.text() {
				t.Errorf("the export is\n%s", out)
			}
		})
	}
	on := against(t, whole.serve)
	on.out = brokenWriter{}
	on.want(t, 2, "", "no room", "deployment", "audit", "export")
}
