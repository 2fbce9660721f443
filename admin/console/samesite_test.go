package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const own = "X-Requested-With: deployment-console"

// One test for each way in which a page of another site could have a browser make a change.
func TestChangesAreForOwnPages(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for name, test := range map[string]struct {
		headers []string
		refused string // what the reason says; "": it is passed
	}{
		"a page of the console":                 {[]string{own, "Sec-Fetch-Site: same-origin", "Origin: https://console.example.com"}, ""},
		"the same, without Origin":              {[]string{own, "Sec-Fetch-Site: same-origin"}, ""},
		"the same, in an old browser":           {[]string{own, "Origin: https://console.example.com"}, ""},
		"a program":                             {[]string{own}, ""},
		"a program that does not mean to":       {nil, "has not the header"},
		"a form of another site":                {[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Origin: https://evil.example.net", "Content-Type: application/x-www-form-urlencoded"}, "another site"},
		"a form of another site, old browser":   {[]string{"Origin: https://evil.example.net", "Content-Type: text/plain"}, "another origin"},
		"a fetch of another site":               {[]string{own, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Origin: https://evil.example.net"}, "another site"},
		"a fetch of another site, without CORS": {[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Origin: https://evil.example.net"}, "another site"},
		"a fetch of another site, old browser":  {[]string{own, "Origin: https://evil.example.net"}, "another origin"},
		"another host of the same site":         {[]string{own, "Sec-Fetch-Site: same-site", "Origin: https://evil.example.com"}, "another site"},
		"another host of it, old browser":       {[]string{own, "Origin: https://evil.example.com"}, "another origin"},
		"another port":                          {[]string{own, "Origin: https://console.example.com:8443"}, "another origin"},
		"a host that begins the same":           {[]string{own, "Origin: https://console.example.com.evil.example.net"}, "another origin"},
		"a user in the origin":                  {[]string{own, "Origin: https://console.example.com@evil.example.net"}, "another origin"},
		"a sandboxed page":                      {[]string{own, "Sec-Fetch-Site: cross-site", "Origin: null"}, "another site"},
		"a sandboxed page, old browser":         {[]string{own, "Origin: null"}, "another origin"},
		"an unknown site":                       {[]string{own, "Sec-Fetch-Site: same-origin-ish", "Origin: https://console.example.com"}, "another site"},
		"a form of the console's own origin":    {[]string{"Sec-Fetch-Site: same-origin", "Origin: https://console.example.com"}, "has not the header"},
		"a library's header":                    {[]string{"X-Requested-With: XMLHttpRequest", "Sec-Fetch-Site: same-origin"}, "has not the header"},
		"the header twice":                      {[]string{own, "X-Requested-With: x", "Sec-Fetch-Site: same-origin"}, "has not the header"},
		"a host that the page made up":          {[]string{own, "Origin: https://evil.example.net", "X-Forwarded-Host: evil.example.net", "X-Forwarded-Proto: https"}, "another origin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, call := range [][2]string{
				{"POST", "/api/deployments"},
				{"PUT", "/api/deployments/dep1/members/x"},
				{"PATCH", "/api/deployments/dep1"},
				{"DELETE", "/api/deployments/dep1"},
				{"POST", "/api/tokens/revoke_all"},
			} {
				r := header(httptest.NewRequest(call[0], "https://console.example.com"+call[1], strings.NewReader(`{"name":"x"}`)), test.headers...)
				w := c.serve(t, "root", r)
				if test.refused == "" && w.Code != passed {
					t.Errorf("%s %s: %d %s", call[0], call[1], w.Code, w.Body)
				}
				if test.refused != "" && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), test.refused)) {
					t.Errorf("%s %s: %d %s, want 403 that says %q", call[0], call[1], w.Code, w.Body, test.refused)
				}
			}
			// Reading changes nothing, and no other origin may read the answer.
			w := c.serve(t, "root", header(httptest.NewRequest("GET", "https://console.example.com/api/deployments", nil), test.headers...))
			if w.Code != passed || w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("GET: %d %v", w.Code, w.Header())
			}
		})
	}
}

// A browser asks before it lets a page of another origin send the header. It is not allowed.
func TestNoOriginIsLetIn(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for _, path := range []string{"/api/deployments", "/api/me", "/token", "/deployments"} {
		w := c.serve(t, "root", header(httptest.NewRequest("OPTIONS", "https://console.example.com"+path, nil), "Origin: https://evil.example.net",
			"Sec-Fetch-Site: cross-site", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-requested-with"))
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s is answered with %s", path, name)
			}
		}
		if w.Code < 400 {
			t.Errorf("%s is answered %d, which lets the browser go on", path, w.Code)
		}
	}
}
