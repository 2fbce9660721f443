package admin

import (
	"crypto/x509"
	"net"
	"net/http"

	"github.com/deploymentkeys/gateway/keystore"
)

// endpointCaller is the owner of the certificate on the remote admin endpoint, and "admin" on the
// local one, which knows no callers.
func endpointCaller(r *http.Request) keystore.Caller {
	by := keystore.Caller{Name: "admin", Via: keystore.ViaLocalAdmin}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		by.Address = host
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		by.Name, by.Via = certificateName(r.TLS.PeerCertificates[0]), keystore.ViaRemoteAdmin
	}
	return by
}

// certificateName is what a person would call the owner of a certificate. It is never empty, and nothing that plays
// tricks on whoever reads it: an authority may sign any text.
func certificateName(certificate *x509.Certificate) string {
	names := []string{certificate.Subject.CommonName}
	names = append(names, certificate.EmailAddresses...)
	names = append(names, certificate.DNSNames...)
	for _, uri := range certificate.URIs {
		names = append(names, uri.String())
	}
	for _, name := range names {
		if keystore.ValidateUser(name) == nil {
			return name
		}
	}
	return "certificate " + certificate.SerialNumber.String()
}
