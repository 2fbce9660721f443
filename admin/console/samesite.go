package console

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// This file tells the requests of the console's own pages from those that pages of other sites have a
// browser send, with the user's password or cookie.

// The header, and its value, that the console's pages send with each change. A page of another origin has
// to ask the server before it may send it (https://fetch.spec.whatwg.org/#cors-preflight-fetch), and a form
// cannot.
const (
	ownHeader      = "X-Requested-With"
	ownHeaderValue = "deployment-console"
)

// ownPagesOnly refuses what may change something and does not come from a page of the console.
func (c *Console) ownPagesOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		if err := fromOwnPage(r); err != nil {
			writeError(w, http.StatusForbidden, err.Error())
			c.refused(r, callerOf(r), "", err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// A foreignError says why a request is not taken for one of the console's pages.
type foreignError string

func (e foreignError) Error() string { return string(e) }

const (
	errOtherSite = foreignError("this request comes from a page of another site: Sec-Fetch-Site must be same-origin")
	errNoOrigin  = foreignError("this request does not say from which page it comes: it needs Sec-Fetch-Site or Origin")
	errOrigin    = foreignError("this request comes from a page of another origin: Origin must be that of the console")
	errOwnHeader = foreignError("this request has not the header of the console's pages: " + ownHeader + ": " + ownHeaderValue)
)

// fromOwnPage says whether a request comes from a page of the same origin: as a browser says by
// Sec-Fetch-Site, which no page can set, and old browsers, as well as all on a site without TLS, by Origin.
// The console's own origin is what the request itself is for. That a host is one that the site serves is
// for the site's address to say, and for TLS: see [Console.InsecureNoAuth].
func fromOwnPage(r *http.Request) error {
	if sites := r.Header["Sec-Fetch-Site"]; len(sites) > 0 {
		if len(sites) != 1 || sites[0] != "same-origin" {
			return errOtherSite
		}
	} else {
		switch origins := r.Header["Origin"]; {
		case len(origins) == 0:
			return errNoOrigin
		case len(origins) != 1 || origins[0] != originOf(r):
			return errOrigin
		}
	}
	if own := r.Header[ownHeader]; len(own) != 1 || own[0] != ownHeaderValue {
		return errOwnHeader
	}
	return nil
}

// originOf is the origin that a request is for, as a browser names it. A proxy that the site trusts, see
// trusted_proxies, says what it was asked for.
func originOf(r *http.Request) string {
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
	// A browser leaves the port out that is the scheme's own, and writes names in lower case.
	if name, port, err := net.SplitHostPort(host); err == nil && ((scheme == "http" && port == "80") || (scheme == "https" && port == "443")) {
		host = name
		if strings.Contains(name, ":") {
			host = "[" + name + "]"
		}
	}
	return scheme + "://" + strings.ToLower(host)
}

// isLocalName reports whether a Host is one for which no stranger can have a name server answer with the
// address of this machine: an IP address, or localhost (RFC 6761 section 6.3).
func isLocalName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
