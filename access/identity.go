package access

import (
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/deploymentkeys/gateway/keystore"
)

// The headers by which an upstream learns who a request is from. They are in the canonical form
// of net/http.
const (
	headerDeployment = "X-Deployment-Id"
	headerKey        = "X-Deployment-Key-Id"
	headerUser       = "X-Deployment-User"
	headerScopes     = "X-Deployment-Scopes"
)

var identityHeaders = [...]string{headerDeployment, headerKey, headerUser, headerScopes}

// overrideHeaders are those by which frameworks and servers let a client have another method or path
// served than the one in the request line, which is the one that was authorized. Gunicorn, in its default
// configuration, cuts SCRIPT_NAME off the path that comes from a proxy on the same machine.
var overrideHeaders = [...]string{
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url",
	"Script-Name", "X-Script-Name", "Path-Info",
}

// An Identity is who a request is from, proven, and what they may do: a key, or a user.
type Identity struct {
	KeyID, User  string // one of them
	DeploymentID string
	Scopes       keystore.Scopes

	// Of a key's identity: the key as the view has it, the second of Unix time in which it was found good,
	// and whether that was by its previous secret.
	key            *keystore.Key
	checkedAt      int64
	previousSecret bool
}

// identityOf is a key that may do this much.
func identityOf(key *keystore.Key, scopes keystore.Scopes) Identity {
	return Identity{KeyID: key.ID, DeploymentID: key.DeploymentID, Scopes: scopes, key: key}
}

// allowedIPs are the addresses from which it may be used.
func (id *Identity) allowedIPs() keystore.AllowedIPs {
	if id.key == nil {
		return nil
	}
	return id.key.AllowedIPs
}

// allowedFrom is for keys with a limit. What is no IP address, such as that of a client on a socket, is
// not allowed.
func allowedFrom(allowed keystore.AllowedIPs, clientIP string) bool {
	address, err := netip.ParseAddr(clientIP)
	return err == nil && allowed.Allow(address)
}

// name is what later handlers and upstreams know them by.
func (id *Identity) Name() string {
	if id.User != "" {
		return id.User
	}
	return id.KeyID
}

// checkTrailers refuses trailers that are announced and would be removed as headers: some servers add
// trailers to the headers. Those that come unannounced are not passed on either: see SetHeaders.
func checkTrailers(r *http.Request) *Refusal {
	for name := range r.Trailer {
		if isIdentityHeader(name) || isOverrideHeader(name) || strings.EqualFold(name, "Authorization") {
			return Refuse(CodeInvalidRequest, "trailer "+name+" is not allowed")
		}
	}
	return nil
}

// SetHeaders tells the upstream who the request is from, and makes sure that nobody but the gateway
// does: every spelling of the identity headers is removed, also of those that get no value.
func (id *Identity) SetHeaders(r *http.Request, keepAuthorization bool) {
	header := r.Header
	removeReserved(header)
	if r.Trailer != nil && r.Body != nil {
		r.Body = onlyAnnounced(r.Body, r.Trailer)
	}
	if !keepAuthorization {
		delete(header, "Authorization")
	}
	// One array for the three values; each slice has no room, so that whoever appends to one
	// does not write into the next.
	who, name := headerKey, id.Name()
	if id.User != "" {
		who = headerUser
	}
	values := [...]string{id.DeploymentID, name, id.Scopes.String()}
	header[headerDeployment] = values[0:1:1]
	header[who] = values[1:2:2]
	header[headerScopes] = values[2:3:3]
}

// announcedBody is a body whose trailers are those that were announced, and so were looked at by
// checkTrailers. net/http adds all that come at the end of the body to the announced ones, and
// reverse_proxy forwards them.
type announcedBody struct {
	io.ReadCloser
	trailer   http.Header
	announced map[string]bool
}

func onlyAnnounced(body io.ReadCloser, trailer http.Header) *announcedBody {
	b := &announcedBody{body, trailer, make(map[string]bool, len(trailer))}
	for name := range trailer {
		b.announced[name] = true
	}
	return b
}

// Read drops the others in the very call that ends the body: whoever reads it looks at the
// trailers after that.
func (b *announcedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		for name := range b.trailer {
			if !b.announced[name] {
				delete(b.trailer, name)
			}
		}
	}
	return n, err
}

// removeReserved removes the identity and override headers in all their spellings, and upgrades
// of the connection but to a WebSocket, and takes the identity headers out of Connection: a header
// that is named there is dropped on the way to the upstream, after it was set here.
func removeReserved(header http.Header) {
	for name := range header {
		if isIdentityHeader(name) || isOverrideHeader(name) {
			delete(header, name)
		}
	}
	// Of what a connection can be upgraded to, only a WebSocket is still the one request that was
	// authorized; through an h2c tunnel a client would send others, to any path, with any header.
	if upgrade, ok := header["Upgrade"]; ok && (len(upgrade) != 1 || !strings.EqualFold(upgrade[0], "websocket")) {
		delete(header, "Upgrade")
	}
	delete(header, "Http2-Settings")

	TakeOutOfConnection(header, isIdentityHeader)
}

// TakeOutOfConnection removes the names of headers from Connection.
func TakeOutOfConnection(header http.Header, names func(string) bool) {
	connection, ok := header["Connection"]
	if !ok {
		return
	}
	var kept []string
	for _, line := range connection {
		for option := range strings.SplitSeq(line, ",") {
			if option = strings.TrimSpace(option); option != "" && !names(option) {
				kept = append(kept, option)
			}
		}
	}
	if len(kept) == 0 {
		delete(header, "Connection")
		return
	}
	header["Connection"] = []string{strings.Join(kept, ", ")}
}

func isIdentityHeader(name string) bool { return isOneOf(name, identityHeaders[:]) }
func isOverrideHeader(name string) bool { return isOneOf(name, overrideHeaders[:]) }

// isOneOf compares as servers do that turn headers into variables (RFC 3875 section 4.1.18): without
// case, and with _ for -. In some, such as lighttpd, _ stands for whatever is no letter and no digit.
func isOneOf(name string, known []string) bool {
	if name == "" {
		return false
	}
	switch name[0] | 0x20 {
	case 'x', 's', 'p': // all of them begin so
	default:
		return false
	}
	for _, k := range known {
		if len(name) == len(k) && sameHeader(name, k) {
			return true
		}
	}
	return false
}

func sameHeader(a, b string) bool {
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// FoldHeader is a name as isOneOf compares it.
func FoldHeader(name string) string {
	plain := []byte(name)
	for i, c := range plain {
		plain[i] = fold(c)
	}
	return string(plain)
}
