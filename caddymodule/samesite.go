package caddymodule

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// This file tells what a browser sends for a page of another origin from the rest. The token endpoint of users, the
// console and the admin API all decide by it.

// ErrOtherSite is the error of [CheckSameSite].
var ErrOtherSite = errors.New("this request comes from the page of another site")

// CheckSameSite returns [ErrOtherSite] for a request that a browser has sent for a page of another origin. Of what it
// says, the first that is there counts:
//
//   - Sec-Fetch-Site, which no page can set: same-origin, or none for what somebody has typed
//     (https://www.w3.org/TR/fetch-metadata/). Browsers send it over TLS, and to this machine itself.
//   - Origin: that of the request itself, see [RequestOrigin]; never null.
//   - Referer, of browsers that knew no Origin of a form.
//
// A header that comes twice is none of a browser, and refused; an empty one says nothing. A request without any of the
// three is no page's.
func CheckSameSite(r *http.Request) error {
	own := func(said string) bool { return said == RequestOrigin(r) }
	for _, header := range []struct {
		name string
		ours func(string) bool
	}{
		{"Sec-Fetch-Site", func(said string) bool { return said == "same-origin" || said == "none" }},
		{"Origin", own},
		{"Referer", func(said string) bool {
			page, err := url.Parse(said)
			return err == nil && own(originOf(page.Scheme, page.Host))
		}},
	} {
		if values := r.Header[header.name]; strings.Join(values, "") != "" {
			if len(values) != 1 || !header.ours(values[0]) {
				return ErrOtherSite
			}
			return nil
		}
	}
	return nil
}

// RequestOrigin is the origin that a request is for, as a browser names it. A proxy that the site trusts, see
// trusted_proxies, says what it was asked for.
func RequestOrigin(r *http.Request) string {
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		// What comes twice is in part from a client.
		if said := r.Header["X-Forwarded-Proto"]; len(said) == 1 && (said[0] == "http" || said[0] == "https") {
			scheme = said[0]
		}
		if said := r.Header["X-Forwarded-Host"]; len(said) == 1 && said[0] != "" && !strings.Contains(said[0], ",") {
			host = said[0]
		}
	}
	return originOf(scheme, host)
}

// originOf writes an origin as a browser does: without the port that is the scheme's own, in lower case.
func originOf(scheme, host string) string {
	if name, port, err := net.SplitHostPort(host); err == nil && ((scheme == "http" && port == "80") || (scheme == "https" && port == "443")) {
		host = name
		if strings.Contains(name, ":") {
			host = "[" + name + "]"
		}
	}
	return scheme + "://" + strings.ToLower(host)
}
