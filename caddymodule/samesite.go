package caddymodule

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// ErrOtherSite is the error of [CheckSameSite].
var ErrOtherSite = errors.New("this request comes from the page of another site")

// crossOrigin trusts no other origin and exempts no path.
var crossOrigin http.CrossOriginProtection

// CheckSameSite returns [ErrOtherSite] for a request that a browser has sent for a page of another origin, as
// [http.CrossOriginProtection] decides. It checks GET too: Caddy's admin endpoint lets the origins that it was told of read
// answers. And the host that the request is for is that of [RequestOrigin], which a trusted proxy may have replaced.
func CheckSameSite(r *http.Request) error {
	checked := r.WithContext(r.Context())
	checked.Method = http.MethodPost
	_, checked.Host, _ = strings.Cut(RequestOrigin(r), "://")
	if crossOrigin.Check(checked) != nil {
		return ErrOtherSite
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
