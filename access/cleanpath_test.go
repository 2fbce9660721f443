package access

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Each path is as it stands in the request line.
func TestCheckPath(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path   string
		reason string // "" is accepted
	}{
		"plain":                        {"/dep1/api/v2/dags", ""},
		"root":                         {"/", ""},
		"slash at the end":             {"/dep1/api/", ""},
		"hidden file":                  {"/dep1/.well-known/x", ""},
		"dots in a name":               {"/dep1/api/v2/dags/a..b.c...", ""},
		"three dots":                   {"/dep1/.../x", ""},
		"encoded space":                {"/dep1/a%20b", ""},
		"encoded UTF-8":                {"/dep1/%C3%A9t%c3%a9", ""},
		"a run ID of Airflow":          {"/dep1/api/v2/dags/d/dagRuns/manual__2026-01-01T00:00:00%2B00:00", ""},
		"parameter on a name":          {"/dep1/a;v=1/b", ""},
		"percent sign":                 {"/dep1/100%25", ""},
		"percent sign encoded twice":   {"/dep1/100%2525", ""},
		"dot segment":                  {"/dep1/../dep2/api", "dot segment (..)"},
		"dot segment at the end":       {"/dep1/..", "dot segment (..)"},
		"single dot":                   {"/dep1/./api", "dot segment (.)"},
		"encoded dots":                 {"/dep1/%2e%2e/dep2", "%2e"},
		"encoded dots, capitals":       {"/dep1/%2E%2E/dep2", "%2e"},
		"half encoded dots":            {"/dep1/.%2e/dep2", "%2e"},
		"encoded dot in a name":        {"/dep1/a%2eb", "%2e"},
		"encoded slash":                {"/dep1/..%2fdep2", "%2f"},
		"encoded slash, Caddy PR 7941": {"/public/..%2fadmin", "%2f"},
		"encoded slash alone":          {"/dep1/a%2Fb", "%2f"},
		"backslash":                    {`/dep1/..\dep2`, `\`},
		"encoded backslash":            {"/dep1/%5c../dep2", "%5c"},
		"encoded backslash, capitals":  {"/dep1/..%5Cdep2", "%5c"},
		"double slash":                 {"//dep1/api", "//"},
		"double slash inside":          {"/dep1//api", "//"},
		"double slash at the end":      {"/dep1/api//", "//"},
		"parameter on dots":            {"/dep1/..;/dep2/api", "dot segment (..)"},
		"parameter on dots with value": {"/dep1/..;a=b/dep2/api", "dot segment (..)"},
		"encoded parameter on dots":    {"/dep1/..%3b/dep2/api", "dot segment (..)"},
		"parameter on nothing":         {"/dep1/;/dep2/api", "empty segment (;)"},
		"parameter on nothing at once": {"/;a=b/dep2/api", "empty segment (;)"},
		"encoded parameter on nothing": {"/%3b/dep2/api", "empty segment (;)"},
		"dots and a space":             {"/dep1/..%20/dep2/api", "white space"},
		"dots around a space":          {"/dep1/.%20./dep2/api", "white space"},
		"nothing but a space":          {"/dep1/%20/api", "white space"},
		"space in a name of dots":      {"/dep1/.%20a/api", ""},
		"NUL":                          {"/dep1/a%00b", "%00"},
		"encoded line feed":            {"/dep1/a%0ab", "control character"},
		"encoded delete":               {"/dep1/a%7fb", "control character"},
		"double encoded dots":          {"/dep1/%252e%252e/dep2", "%2e"},
		"double encoded slash":         {"/dep1/..%252fdep2", "%2f"},
		"double encoded backslash":     {"/dep1/..%255cdep2", "%5c"},
		"double encoded NUL":           {"/dep1/%2500", "%00"},
		"each character encoded twice": {"/dep1/%25%32%65%25%32%65/dep2", "%2e"},
		"triple encoded slash":         {"/dep1/..%25252fdep2", "%2f"},
		"encoded many times":           {"/dep1/%" + strings.Repeat("25", 9) + "2fdep2", "several times over"},
		"overlong slash":               {"/dep1/..%c0%afdep2", "not UTF-8"},
		"overlong dot":                 {"/dep1/%c0%ae%c0%ae/dep2", "not UTF-8"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/", nil)
			u, err := url.ParseRequestURI(test.path)
			if err != nil {
				t.Fatal(err)
			}
			r.URL = u
			expectRefusal(t, CheckPath(r.URL, nil), CodeInvalidRequest, test.reason)
		})
	}
}

// The same with a path that a rewrite has made harmless: a matcher may have looked at what it was
// before.
func TestCheckPathLooksAtTheOriginalPathToo(t *testing.T) {
	t.Parallel()
	original := httptest.NewRequest("GET", "/dep1/..;/dep2/api", nil)
	r := httptest.NewRequest("GET", "/api", nil)
	expectRefusal(t, CheckPath(r.URL, original.URL), CodeInvalidRequest, "dot segment")
}

func TestCheckPathWantsAPath(t *testing.T) {
	t.Parallel()
	for name, u := range map[string]*url.URL{
		"asterisk (RFC 9112 section 3.2.4)": {Path: "*"},
		"authority":                         {Host: "dep1:443"},
		"opaque":                            {Scheme: "dep1", Opaque: "api"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("OPTIONS", "/", nil)
			r.URL = u
			expectRefusal(t, CheckPath(r.URL, nil), CodeInvalidRequest, "not a path")
		})
	}
}

// expectRefusal wants a refusal with a code and a part of its description, or none for "".
func expectRefusal(t *testing.T, refused *Refusal, code Code, part string) {
	t.Helper()
	switch {
	case part == "" && refused != nil:
		t.Errorf("refused: %v", refused)
	case part != "" && refused == nil:
		t.Errorf("accepted, want %s: …%s…", code, part)
	case part != "" && (refused.Code != code || !strings.Contains(refused.Description, part)):
		t.Errorf("refused with %v, want %s: …%s…", refused, code, part)
	}
}
