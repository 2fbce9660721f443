package main

import (
	"strings"
	"testing"
	"time"
)

// What wrk 4.1.0 prints with the script.
const wrkOutput = `Running 1s test @ http://127.0.0.1:20910
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.51ms    1.23ms  20.11ms   80.00%
  4873 requests in 1.01s, 0.91MB read
bench 4873 requests 1006451 us 0 failed statuses 200=4870,401=3
`

func TestParseWrk(t *testing.T) {
	r, err := parseWrk(wrkOutput)
	if err != nil {
		t.Fatal(err)
	}
	if r.requests != 4873 || r.lasted != 1006451*time.Microsecond || r.failed != 0 || r.statuses[200] != 4870 || r.statuses[401] != 3 {
		t.Errorf("%+v", r)
	}
	if none, err := parseWrk("bench 0 requests 1000000 us 32 failed statuses \n"); err != nil || none.failed != 32 || len(none.statuses) != 0 {
		t.Errorf("without an answer: %+v, %v", none, err)
	}
	for _, bad := range []string{"", "unable to connect to 127.0.0.1:1 Connection refused\n", "bench 1 requests 1 us 0 failed statuses 200\n", "bench 1 requests 1 us 0 failed statuses x=1\n"} {
		if r, err := parseWrk(bad); err == nil {
			t.Errorf("parseWrk(%q) = %+v, want an error", bad, r)
		}
	}
}

func TestEveryAnswerHasToBeTheRightOne(t *testing.T) {
	report := func(requests, failed int, statuses map[int]int) *wrkReport {
		return &wrkReport{requests: requests, lasted: time.Second, failed: failed, statuses: statuses}
	}
	for name, c := range map[string]struct {
		report *wrkReport
		wrong  string
	}{
		"all right":        {report(3, 0, map[int]int{200: 3}), ""},
		"one of another":   {report(3, 0, map[int]int{200: 2, 503: 1}), "1 of 3 answers had status 503, want 200"},
		"one without":      {report(3, 1, map[int]int{200: 3}), "1 of 3 requests had no answer"},
		"none":             {report(0, 0, nil), "no answer within 1s"},
		"all of another":   {report(3, 0, map[int]int{401: 3}), "3 of 3 answers had status 401, want 200"},
		"none, and no end": {&wrkReport{requests: 3}, "no answer within 0s"},
	} {
		err := c.report.check(200)
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || err.Error() != c.wrong) {
			t.Errorf("%s: %v, want %q", name, err, c.wrong)
		}
	}
}

func TestReportBetween(t *testing.T) {
	document := "# Title\n\n" + reportBegins + "\n\nold\n\n" + reportEnds + "\n\nend\n"
	got, err := between(document, "new\n")
	if want := "# Title\n\n" + reportBegins + "\n\nnew\n\n" + reportEnds + "\n\nend\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", reportBegins, reportEnds + reportBegins} {
		if got, err := between(bad, "new"); err == nil {
			t.Errorf("between(%q) = %q, want an error", bad, got)
		}
	}
}

func TestGoal(t *testing.T) {
	least := goal{what: "a", found: spreadOf([]float64{0.98}), limit: 0.97, least: true, digit: 2}
	most := goal{what: "b", found: spreadOf([]float64{7}), limit: 6, digit: 1, unit: " µs"}
	none := goal{what: "c", found: spreadOf(nil), limit: 6}
	for want, g := range map[string]goal{
		"| a | at least 0.97 | 0.98 (0.98 to 0.98) | met |\n":          least,
		"| b | at most 6.0 µs | 7.0 (7.0 to 7.0) µs | **not met** |\n": most,
		"| c | at most 6 | not measured | |\n":                         none,
	} {
		if got := g.row(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestForgedTokensDifferInTheSignatureAlone(t *testing.T) {
	for token, want := range map[string]string{"h.p.sig": "h.p.Aig", "h.p.Aig": "h.p.Big"} {
		if got := forged([]string{token})[0]; got != want {
			t.Errorf("forged(%s) = %s, want %s", token, got, want)
		}
	}
}

func TestAskIsAWholeRequest(t *testing.T) {
	text := ask(key{ID: "id", Secret: "s&c"})
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	if !strings.Contains(head, "\r\nContent-Length: 62") || body != "client_id=id&client_secret=s%26c&grant_type=client_credentials" {
		t.Errorf("%q", text)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}
