package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// hostile are texts that a terminal obeys: sequences that begin with a character of eight bits, a line that is turned
// around, one that is not seen, a byte that is no UTF-8.
var hostile = map[string]string{
	"CSI":       "\u009b2J",
	"OSC":       "\u009d0;title\u009c",
	"delete":    "\x7f",
	"next line": "\u0085",
	"bidi":      "\u202egpj.exe",
	"invisible": "\u200b",
	"tag":       "\U000e0041",
	"escape":    "\x1b[2J",
	"eight bit": "\x9b2J",
}

func TestJSONOutputHasNoControlCharacters(t *testing.T) {
	t.Parallel()
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// As an answer has it that is not made by encoding/json alone: only what JSON forbids is escaped.
			answer := `{"name":"é 日本 ` + strings.NewReplacer("\x1b", `\u001b`).Replace(text) + `","id":"etl"}`
			var before, after map[string]any
			if err := json.Unmarshal([]byte(answer), &before); err != nil {
				t.Fatal(err)
			}
			on := against(t, answering(200, answer))
			out, errs, code := on.run(t, "deployment", "show", "etl", "--json")
			if code != exitDone || errs != "" {
				t.Fatalf("exit %d: %s", code, errs)
			}
			line := strings.TrimSuffix(out, "\n")
			if at := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); at >= 0 || strings.ContainsRune(line, unicode.ReplacementChar) {
				t.Errorf("a terminal would obey %q", line)
			}
			if !strings.Contains(line, "é 日本") {
				t.Errorf("what can be read was escaped: %s", line)
			}
			if err := json.Unmarshal([]byte(line), &after); err != nil || after["name"] != before["name"] {
				t.Errorf("%v: it says %q, and the answer %q", err, after["name"], before["name"])
			}
		})
	}
}

// The claims of a token that is explained were written by whoever made the token, who need not be this gateway.
func TestExplainAsJSONHasNoControlCharacters(t *testing.T) {
	t.Parallel()
	on := against(t, answering(200, `{"verdict":"accepted","checks":[],"claims":{"sub":"`+"\u009b2J\u202e"+`"}}`))
	on.in = "x.y.z"
	on.want(t, exitDone, `"\u009b2J\u202e"`, "", "deployment-key", "explain", "--json")
}

// The hash of an entry is of its bytes, so an export into a file or a pipe is byte for byte; on a terminal it is plain.
func TestExportIsPlainOnlyOnATerminal(t *testing.T) {
	t.Parallel()
	const line = "{\"hash\":\"" + noHash + "\",\"previous_hash\":\"" + noHash + "\",\"seq\":1,\"by\":\"\u009b2J\"}"
	for want, shown := range map[string]bool{line: false, strings.Replace(line, "\u009b", `\u009b`, 1): true} {
		var out bytes.Buffer
		writer := bufio.NewWriter(&out)
		if last, faults, err := copyExport(writer, newAuditLines(strings.NewReader(line+"\n")), shown); last != 1 || faults != 0 || err != nil {
			t.Errorf("entry %d, %d faults, %v", last, faults, err)
		}
		if err := writer.Flush(); err != nil || out.String() != want+"\n" {
			t.Errorf("%v: %q, want %q", err, out.String(), want)
		}
	}
}
