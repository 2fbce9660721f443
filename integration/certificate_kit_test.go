package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// clientCertificate is a certificate of a caller of the remote admin endpoint, and its key.
type clientCertificate struct {
	template *x509.Certificate
	der      []byte
	key      *ecdsa.PrivateKey
	parent   *clientCertificate
}

// newClientCertificate makes a certificate that a parent signs, or itself for nil. Options change it before.
func newClientCertificate(t *testing.T, name string, parent *clientCertificate, options ...func(*x509.Certificate)) *clientCertificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, option := range options {
		option(template)
	}
	return (&clientCertificate{template: template, key: key, parent: parent}).sign(t)
}

func (c *clientCertificate) sign(t *testing.T) *clientCertificate {
	t.Helper()
	signer := c
	if c.parent != nil {
		signer = c.parent
	}
	der, err := x509.CreateCertificate(rand.Reader, c.template, signer.template, &c.key.PublicKey, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	c.der = der
	return c
}

func asAuthority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }
func expired(c *x509.Certificate)     { c.NotAfter = time.Now().Add(-time.Minute) }
func forServers(c *x509.Certificate)  { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }

// renamed is a certificate of the same key that its owner has made themselves.
func (c *clientCertificate) renamed(t *testing.T, name string) *clientCertificate {
	t.Helper()
	template := *c.template
	template.Subject.CommonName = name
	return (&clientCertificate{template: &template, key: c.key}).sign(t)
}

// base64 is the certificate as Caddy's configuration has it.
func (c *clientCertificate) base64() string { return base64.StdEncoding.EncodeToString(c.der) }

// as sends a request as it stands, such as "GET /deployments", to the remote admin endpoint, and returns the answer. With
// an error there is none.
func (g *remoteSite) as(c *clientCertificate, request, body string, headers ...string) (reply, error) {
	pem, err := os.ReadFile(g.root)
	if err != nil {
		return reply{}, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return reply{}, errors.New("no certificate in " + g.root)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if c == nil {
			return new(tls.Certificate), nil
		}
		chain := &tls.Certificate{PrivateKey: c.key}
		for at := c; at != nil; at = at.parent {
			chain.Certificate = append(chain.Certificate, at.der)
		}
		return chain, nil
	}
	dialer := &net.Dialer{Timeout: patience}
	conn, err := tls.DialWithDialer(dialer, "tcp", fmt.Sprintf("127.0.0.1:%d", g.remote), config)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return reply{}, err
	}
	headers = append([]string{fmt.Sprintf("Host: 127.0.0.1:%d", g.remote), "Connection: close", fmt.Sprintf("Content-Length: %d", len(body))}, headers...)
	if body != "" {
		headers = append(headers, "Content-Type: application/json")
	}
	if _, err := io.WriteString(conn, request+" HTTP/1.1\r\n"+strings.Join(headers, "\r\n")+"\r\n\r\n"+body); err != nil {
		return reply{}, err
	}
	return gatewaytest.ReadReply(g.test, conn, request)
}
