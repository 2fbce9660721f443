package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/deploymentkeys/gateway/keystore"
)

// tlsFiles are the options of a URL that have to do with TLS.
type tlsFiles struct {
	ca, cert, key, serverName string
}

// takeTLS takes the options of TLS out of a query; nil without TLS.
//
// skip_verify is refused, although go-redis knows it. Whoever can stand between the gateway and an
// unverified Redis can give it back keys that were deleted. A certificate of one's own making is
// named with tls_ca, and one for another name with tls_server_name.
func takeTLS(use bool, query url.Values, take func(string) string) (*tlsFiles, error) {
	if query.Has("skip_verify") {
		return nil, errors.New("skip_verify is not possible; name the certificate of the CA, or the server's own one, with tls_ca=/path, and the name in it with tls_server_name")
	}
	f := tlsFiles{take("tls_ca"), take("tls_cert"), take("tls_key"), take("tls_server_name")}
	switch {
	case !use && f != (tlsFiles{}):
		return nil, errors.New("it has options of TLS and no TLS; begin it with rediss")
	case !use:
		return nil, nil
	case (f.cert == "") != (f.key == ""):
		return nil, errors.New("tls_cert and tls_key go together")
	}
	return &f, nil
}

// config reads the files.
func (f *tlsFiles) config() (*tls.Config, error) {
	if f == nil {
		return nil, nil
	}
	refuse := func(option string, why any) (*tls.Config, error) {
		return nil, fmt.Errorf("%w redis URL: %s: %v", keystore.ErrInvalid, option, why)
	}
	// Without a name of its own, each connection asks for the host that it goes to.
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.serverName}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return refuse("tls_ca", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return refuse("tls_ca", f.ca+" has no certificate in PEM form")
		}
	}
	if f.cert != "" {
		if _, err := tls.LoadX509KeyPair(f.cert, f.key); err != nil {
			return refuse("tls_cert and tls_key", err)
		}
		// Read again for each connection: such files are renewed.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(f.cert, f.key)
			return &pair, err
		}
	}
	return config, nil
}
