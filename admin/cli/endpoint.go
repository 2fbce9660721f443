package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// An endpoint is an admin endpoint of Caddy: the local one on a port or a socket, or a remote one.
type endpoint struct {
	name   string // for people
	url    string // in front of a path
	origin string // what the local one wants in the header Origin; "" for none
	http   *http.Client
}

// failed is an error of a call.
func (e *endpoint) failed(err error) error {
	return fmt.Errorf("the admin endpoint at %s: %w", e.name, err)
}

// find finds the endpoint as Caddy's own commands do; https:// is a remote one, for which they have no
// form.
func (c *client) find() (*endpoint, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(c.address, nil, c.config, c.adapter)
	if err != nil {
		return nil, fmt.Errorf("the address of the admin endpoint: %w", err)
	}
	if strings.HasPrefix(address, "https://") {
		return c.remote(address)
	}
	if c.cert != "" || c.key != "" || c.ca != "" {
		return nil, fmt.Errorf("--cert, --key and --ca-cert are for an address that begins with https://, and this one is %s", plain(address))
	}
	return local(address)
}

// local is the endpoint at an address of Caddy: localhost:2019, unix//run/caddy.sock.
func local(address string) (*endpoint, error) {
	parsed, err := caddy.ParseNetworkAddress(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("invalid admin address %s: %w", plain(address), err)
	case parsed.PortRangeSize() > 1 || parsed.IsFdNetwork():
		return nil, fmt.Errorf("invalid admin address %s: want one port, or a socket as unix//path", plain(address))
	}
	e := &endpoint{name: plain(address), url: "http://" + parsed.JoinHostPort(0)}
	dial := parsed.JoinHostPort(0)
	if parsed.IsUnixNetwork() {
		// What is called on a socket wants a host, and none that a page in a browser could have. A path may have
		// the socket's permissions after it.
		e.url = "http://127.0.0.1"
		dial, _, _ = strings.Cut(parsed.Host, "|")
	} else {
		e.origin = e.url
	}
	e.http = newHTTPClient(&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, parsed.Network, dial)
		},
	})
	return e, nil
}

// remote is a remote admin endpoint, which wants a certificate of its callers.
func (c *client) remote(address string) (*endpoint, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Hostname() == "" || strings.TrimSuffix(address, "/") != "https://"+parsed.Host {
		return nil, fmt.Errorf("invalid admin address %s: want a host and a port, as https://gateway.example.com:2021", plain(address))
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.cert == "" && c.key != "" {
		return nil, errors.New("--cert is missing: the certificate that --key is of")
	}
	if c.cert != "" {
		key := c.key
		if key == "" {
			key = c.cert
		}
		pair, err := tls.LoadX509KeyPair(c.cert, key)
		if err != nil {
			return nil, fmt.Errorf("--cert and --key: %w", err)
		}
		// It is sent whatever authorities the endpoint names: Caddy names the certificates that it knows in their place,
		// of which one that an authority has signed is not.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	if c.ca != "" {
		text, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca-cert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--ca-cert: there is no certificate in PEM form in %s", c.ca)
		}
	}
	// No Origin: to the remote endpoint that would be a page in a browser.
	return &endpoint{name: plain(address), url: "https://" + parsed.Host, http: newHTTPClient(&http.Transport{TLSClientConfig: config})}, nil
}

// newHTTPClient makes a client that goes where it is told: through no proxy, and after no redirect.
func newHTTPClient(transport *http.Transport) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
