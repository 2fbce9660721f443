package console

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// pagePaths has each page, in each of its forms.
var pagePaths = []string{
	"/deployments", "/deployments/dep1", "/deployments/dep1/keys", "/deployments/dep1/members", "/deployments/dep1/audit",
	"/deployments/dep1/connect", "/token", "/nope",
}

func TestPagesAreServed(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for _, path := range pagePaths {
		for _, user := range []string{"root", "vera"} {
			w := c.get(t, user, path)
			body := w.Body.String()
			if path != "/nope" && w.Code != http.StatusOK || !strings.HasPrefix(body, "<!DOCTYPE html>") || !strings.Contains(body, "</html>") {
				t.Errorf("%s: %d %s", path, w.Code, body)
			}
			if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
				t.Errorf("%s has the type %q", path, got)
			}
			if !strings.Contains(body, user) {
				t.Errorf("%s does not say that %s is signed in", path, user)
			}
		}
	}
}

// The policy forbids all of that, so a page with any would be broken.
var forbidden = map[string]*regexp.Regexp{
	"an inline script":          regexp.MustCompile(`(?i)<script(?:[^>]*)>\s*[^<\s]`),
	"a script without a file":   regexp.MustCompile(`(?i)<script(?:\s+(?:type|defer|async)(?:="[^"]*")?)*\s*>`),
	"an inline style":           regexp.MustCompile(`(?i)<style|\sstyle\s*=`),
	"an inline handler":         regexp.MustCompile(`(?i)<[^>]*\son[a-z]+\s*=`),
	"a script URL":              regexp.MustCompile(`(?i)javascript:`),
	"something of another site": regexp.MustCompile(`(?i)\s(?:src|href|action|srcset|poster|data)\s*=\s*["']?\s*(?:https?:)?//`),
	"a base":                    regexp.MustCompile(`(?i)<base\b`),
	"a frame":                   regexp.MustCompile(`(?i)<(?:i?frame|object|embed)\b`),
}

func TestPagesKeepToThePolicy(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for _, path := range append(pagePaths, "/") {
		for _, user := range []string{"root", ""} {
			body := c.get(t, user, path).Body.String()
			for what, pattern := range forbidden {
				if found := pattern.FindString(body); found != "" {
					t.Errorf("%s has %s: %s", path, what, found)
				}
			}
		}
	}
}

var linked = regexp.MustCompile(`(?:src|href)="(/assets/[^"]*)"`)

func TestWhatPagesNeedIsThere(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for _, path := range pagePaths {
		links := linked.FindAllStringSubmatch(c.get(t, "root", path).Body.String(), -1)
		if len(links) == 0 {
			t.Errorf("%s needs nothing", path)
		}
		for _, link := range links {
			if w := c.get(t, "root", html.UnescapeString(link[1])); w.Code != 200 || w.Header().Get("Cache-Control") != keptForGood {
				t.Errorf("%s needs %s, which is answered %d %q", path, link[1], w.Code, w.Header().Get("Cache-Control"))
			}
		}
	}
}

// A user may be called anything.
func TestPagesShowNamesAsText(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for _, user := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `{{.User}}`, `</title><b>`, "javascript:alert(1)"} {
		for _, path := range pagePaths {
			body := c.get(t, user, path).Body.String()
			for _, bad := range []string{"<script>alert", "<img src=x", `"><img`, "' onmouseover", "</title><b>", `href="javascript:`, `src="javascript:`} {
				if strings.Contains(body, bad) {
					t.Errorf("the page %s of the user %q has %s", path, user, bad)
				}
			}
			if !strings.Contains(html.UnescapeString(body), user) {
				t.Errorf("the page %s does not name %q", path, user)
			}
		}
	}
}
