package console

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// isForThisMachine reports whether a request is for a name for which no stranger can have a name server answer with the
// address of this machine. A proxy may have put a name of its own into Host; if it says which name it was asked for, that
// counts too, whoever the proxy is.
func isForThisMachine(r *http.Request) bool {
	for _, forwarded := range r.Header["X-Forwarded-Host"] {
		for host := range strings.SplitSeq(forwarded, ",") {
			if !isLocalName(strings.TrimSpace(host)) {
				return false
			}
		}
	}
	return isLocalName(r.Host)
}

// isLocalName reports whether a Host is an IP address, or localhost (RFC 6761 section 6.3).
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
