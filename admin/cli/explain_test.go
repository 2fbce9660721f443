package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/access"
)

func TestWriteExplanation(t *testing.T) {
	t.Parallel()
	e := access.Explanation{
		Verdict: "refused", Status: 401, Error: "invalid_token", Description: "the access token is refused: it has expired",
		Checks: []access.ExplainedCheck{
			{Check: "form", Result: "passed"},
			{Check: "signature", Result: "passed", Detail: "by the key k1"},
			{Check: "time", Result: "failed", Detail: "expired\x1b[2J\nat noon"},
			{Check: "scope", Result: "skipped"},
		},
		Token: &access.ExplainedToken{
			Algorithm: "ES256", KeyID: "k1", Subject: "key\t1", ExpiresAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	}
	const want = `CHECK      RESULT   DETAIL
form       PASSED
signature  PASSED   by the key k1
time       FAILED   expired�[2J�at noon
scope      SKIPPED

The token says, whether that is proven or not:
  subject      key�1
  expires      2026-01-02T03:04:05Z
  signed with  ES256 k1

Verdict: refused. A request with this token is answered 401 invalid_token: the access token is refused: it has expired.
`
	write := func() string {
		var text strings.Builder
		if err := writeExplanation(&text, e); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	if got := write(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	e.Verdict = "accepted"
	if got := write(); !strings.HasSuffix(got, "\nVerdict: accepted. A request with this token is passed on, if it also passes what was skipped here.\n") {
		t.Errorf("%s", got)
	}
	e.Checks, e.Token = e.Checks[:2], nil
	if got := write(); !strings.HasSuffix(got, "by the key k1\n\nVerdict: accepted. A request with this token is passed on.\n") {
		t.Errorf("%s", got)
	}
}

func TestVerdictCodes(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[string]int{"accepted": 0, "refused": 1, "unknown": 2, "": 2} {
		if got := verdictCode(verdict); got != want {
			t.Errorf("%q: %d, want %d", verdict, got, want)
		}
	}
}
