package admin

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What is told by its headers to be of a browser, and is let through by Caddy with some of its settings.
func TestEndpointRefusesPages(t *testing.T) {
	t.Parallel()
	const form = "text/html,application/xhtml+xml,*/*;q=0.8"
	for name, test := range map[string]struct {
		method  string
		header  http.Header
		refused bool
	}{
		"a program":                             {"POST", http.Header{"Accept": {"*/*"}, "Content-Type": {"application/x-www-form-urlencoded"}}, false},
		"a program that names the endpoint":     {"DELETE", http.Header{"Origin": {"http://localhost:2019"}}, false},
		"a browser's address bar":               {"GET", http.Header{"Accept": {form}}, false},
		"another site":                          {"POST", http.Header{"Sec-Fetch-Site": {"cross-site"}}, true},
		"another site that Caddy was told of":   {"POST", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://dashboard.example.com"}}, true},
		"the same, reading":                     {"GET", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://dashboard.example.com"}}, true},
		"another port":                          {"DELETE", http.Header{"Sec-Fetch-Site": {"same-site"}}, true},
		"another origin":                        {"PUT", http.Header{"Origin": {"http://localhost:3000"}}, true},
		"a form of a browser without Origin":    {"POST", http.Header{"Accept": {form}, "Content-Type": {"application/x-www-form-urlencoded"}}, true},
		"a form, written and sent in two lines": {"POST", http.Header{"Accept": {"image/png", "Text/HTML"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(test.method, "http://localhost:2019/tokens/revoke_all", nil)
			r.Header = test.header
			if err := guardEndpoint(r); (err != nil) != test.refused {
				t.Errorf("%v, want it to be refused: %t", err, test.refused)
			}
		})
	}
}

// Caddy's access control must not have decided on another path than the one that the API then obeys.
func TestRemoteEndpointHasOneReadingOfAPath(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{
		"/deployments/dep1/keys":                            true,
		"/deployments/dep1/keys/":                           true,
		"/deployments/dep1/members/team%2Falice":            true,
		"/deployments/dep1/members/..alice.":                true,
		"/deployments/dep1/members/100%25":                  true,
		"/deployments/dep1/members/%252e%252e%252f":         true, // decoded once, by both
		"/deployments/dep2/members/..%2f..%2fdep1%2fkeys":   false,
		"/deployments/dep2/members/%2e%2e%2f..%2Fdep1/keys": false,
		"/deployments/dep1/members/%2e%2e":                  false,
		"/deployments/dep1/members/%2e":                     false,
		"/deployments/dep1/members/%2falice":                false,
		"/deployments/dep1/members/a%2f%2fb":                false,
		"/deployments/dep2%2f..%2fdep1/keys":                false,
		"/deployments/%2e%2e/config/":                       false,
		"/deployments//dep1":                                false,
		"/deployments/dep1//":                               false,
	} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		if err := guardEndpoint(r); err != nil {
			t.Errorf("%s on the local endpoint, which decides on no path: %v", target, err)
		}
		r.TLS = new(tls.ConnectionState)
		if err := guardEndpoint(r); (err == nil) != want {
			t.Errorf("%s: %v, want it to pass: %t", target, err, want)
		}
	}
}
