package caddymodule

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestCheckSameSite(t *testing.T) {
	t.Parallel()
	const own, evil = "https://auth.example.com", "https://evil.example.net"
	for name, test := range map[string]struct {
		header  http.Header
		refused bool
	}{
		"a program":                            {http.Header{}, false},
		"a page of its own":                    {http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {own}}, false},
		"typed by somebody":                    {http.Header{"Sec-Fetch-Site": {"none"}}, false},
		"a page of its own, without Fetch":     {http.Header{"Origin": {own}}, false},
		"another site":                         {http.Header{"Sec-Fetch-Site": {"cross-site"}}, true},
		"another host of the site":             {http.Header{"Sec-Fetch-Site": {"same-site"}}, true},
		"another site, with an Origin of ours": {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {own}}, true},
		"an unknown site":                      {http.Header{"Sec-Fetch-Site": {"Same-Origin"}}, true},
		"no site, and another origin":          {http.Header{"Sec-Fetch-Site": {""}, "Origin": {evil}}, true},
		"another origin":                       {http.Header{"Origin": {evil}}, true},
		"another port":                         {http.Header{"Origin": {own + ":8443"}}, true},
		"a host that begins the same":          {http.Header{"Origin": {own + ".evil.example.net"}}, true},
		"a sandbox":                            {http.Header{"Origin": {"null"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, own+"/token", nil)
			r.Header = test.header
			if err := CheckSameSite(r); errors.Is(err, ErrOtherSite) != test.refused {
				t.Errorf("%v, want it to be refused: %t", err, test.refused)
			}
		})
	}
}

func TestRequestOrigin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		host    string
		tls     bool
		trusted bool
		headers []string
		want    string
	}{
		"TLS":                            {host: "console.example.com", tls: true, want: "https://console.example.com"},
		"without":                        {host: "console.example.com", want: "http://console.example.com"},
		"another port":                   {host: "console.example.com:8443", tls: true, want: "https://console.example.com:8443"},
		"its own port":                   {host: "console.example.com:443", tls: true, want: "https://console.example.com"},
		"its own port without TLS":       {host: "console.example.com:80", want: "http://console.example.com"},
		"the other's port":               {host: "console.example.com:80", tls: true, want: "https://console.example.com:80"},
		"capitals":                       {host: "Console.Example.COM", want: "http://console.example.com"},
		"IPv6":                           {host: "[::1]:80", want: "http://[::1]"},
		"IPv6, another port":             {host: "[::1]:8080", want: "http://[::1]:8080"},
		"a proxy that is not trusted":    {host: "10.0.0.1", headers: []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example.net"}, want: "http://10.0.0.1"},
		"a proxy that is trusted":        {host: "10.0.0.1", trusted: true, headers: []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: console.example.com"}, want: "https://console.example.com"},
		"one that keeps the host":        {host: "console.example.com", trusted: true, headers: []string{"X-Forwarded-Proto: https"}, want: "https://console.example.com"},
		"one that says something else":   {host: "console.example.com", trusted: true, headers: []string{"X-Forwarded-Proto: javascript"}, want: "http://console.example.com"},
		"one that was told by a client":  {host: "10.0.0.1", trusted: true, headers: []string{"X-Forwarded-Host: evil.example.net, console.example.com"}, want: "http://10.0.0.1"},
		"one that adds to a client's":    {host: "10.0.0.1", trusted: true, headers: []string{"X-Forwarded-Host: evil.example.net", "X-Forwarded-Host: console.example.com"}, want: "http://10.0.0.1"},
		"one that adds to a client's, 2": {host: "console.example.com", trusted: true, headers: []string{"X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, want: "http://console.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			for _, line := range test.headers {
				header, value, _ := strings.Cut(line, ": ")
				r.Header.Add(header, value)
			}
			r.Host, r.TLS = test.host, nil
			if test.tls {
				r.TLS = new(tls.ConnectionState)
			}
			r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), &caddyhttp.Server{})
			caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, test.trusted)
			if got := RequestOrigin(r); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
