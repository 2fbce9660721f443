package admin

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

func TestEndpointCaller(t *testing.T) {
	t.Parallel()
	uri := &url.URL{Scheme: "spiffe", Host: "example.org", Path: "/ci"}
	for name, test := range map[string]struct {
		certificate *x509.Certificate
		want        string
	}{
		"local endpoint": {nil, "admin"},
		"common name":    {&x509.Certificate{Subject: pkix.Name{CommonName: "ops"}, DNSNames: []string{"x"}}, "ops"},
		"mail address":   {&x509.Certificate{EmailAddresses: []string{"ops@example.org"}}, "ops@example.org"},
		"host name":      {&x509.Certificate{DNSNames: []string{"ops.example.org"}}, "ops.example.org"},
		"URI":            {&x509.Certificate{URIs: []*url.URL{uri}}, "spiffe://example.org/ci"},
		"tricks":         {&x509.Certificate{Subject: pkix.Name{CommonName: "ops\u009b2J\u202e"}, DNSNames: []string{"ops.example.org"}}, "ops.example.org"},
		"too long":       {&x509.Certificate{Subject: pkix.Name{CommonName: strings.Repeat("x", 1000)}, SerialNumber: big.NewInt(8)}, "certificate 8"},
		"no name":        {&x509.Certificate{SerialNumber: big.NewInt(7)}, "certificate 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/deployments", nil)
			r.RemoteAddr = "192.0.2.1:1234"
			via := keystore.ViaLocalAdmin
			if test.certificate != nil {
				via = keystore.ViaRemoteAdmin
				r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{test.certificate}}
			}
			if got, want := endpointCaller(r), (keystore.Caller{Name: test.want, Address: "192.0.2.1", Via: via}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}
