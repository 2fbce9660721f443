package console

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A stranger's name server can answer with any address, also that of this machine: then a page of theirs is
// of the same origin as the console. Where a password is needed, the browser has none for that origin.
func TestConsoleWithoutAuthenticationIsForLocalNames(t *testing.T) {
	t.Parallel()
	c := newConsole(func(c *Console) { c.Administrators, c.InsecureNoAuth = nil, true })
	for host, local := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST": true, "console.localhost:80": true, "127.0.0.1:8080": true, "192.0.2.7": true,
		"[::1]:8080": true, "[::1]": true, "": false, "evil.example.net": false, "evil.example.net:8080": false, "localhost.evil.example.net": false,
		"127.0.0.1.evil.example.net": false, "xlocalhost": false, "localhost.": false,
	} {
		r := header(httptest.NewRequest("POST", "http://x/api/deployments", nil), own, "Sec-Fetch-Site: same-origin", "Origin: http://"+host)
		r.Host = host
		want := http.StatusForbidden
		if local {
			want = passed
		}
		if w := c.serve(t, "", r); w.Code != want {
			t.Errorf("%q: %d %s, want %d", host, w.Code, w.Body, want)
		}
		page := httptest.NewRequest("GET", "http://x/deployments", nil)
		page.Host = host
		if w := c.serve(t, "", page); (w.Code == 200) != local {
			t.Errorf("%q: the page is answered %d", host, w.Code)
		}
	}
}

// The same by way of a proxy on the machine, which puts its own name for the console into Host.
func TestConsoleWithoutAuthenticationBehindAProxy(t *testing.T) {
	t.Parallel()
	c := newConsole(func(c *Console) { c.Administrators, c.InsecureNoAuth = nil, true })
	for forwarded, want := range map[string]int{
		"localhost:8080": http.StatusOK, "127.0.0.1": http.StatusOK, "localhost, 127.0.0.1": http.StatusOK,
		"evil.example.net": http.StatusForbidden, "evil.example.net, localhost": http.StatusForbidden, "localhost,evil.example.net": http.StatusForbidden,
	} {
		r := header(httptest.NewRequest("GET", "http://127.0.0.1:8080/deployments", nil), "X-Forwarded-Host: "+forwarded)
		if w := c.serve(t, "", r); w.Code != want {
			t.Errorf("%q: %d, want %d", forwarded, w.Code, want)
		}
	}
}
