package redisstore_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	certs, others := storetest.NewCertificates(t), storetest.NewCertificates(t)
	server := storetest.StartTLSRedis(t, certs)
	noFile := filepath.Join(t.TempDir(), "none")
	noCert := filepath.Join(t.TempDir(), "empty")
	storetest.OK(t, os.WriteFile(noCert, []byte("hello"), 0o600))
	for _, tt := range []struct {
		name      string
		options   url.Values
		openSays  string // "": Open works
		applySays string // "": Apply works
	}{
		{"all as it should be", url.Values{"tls_ca": {certs.CA}, "tls_cert": {certs.Cert}, "tls_key": {certs.Key}}, "", ""},
		{"the certificate itself is trusted", url.Values{"tls_ca": {certs.Cert}, "tls_cert": {certs.Cert}, "tls_key": {certs.Key}}, "", ""},
		{"another CA", url.Values{"tls_ca": {others.CA}, "tls_cert": {certs.Cert}, "tls_key": {certs.Key}}, "", "certificate"},
		{"the system's CAs", url.Values{"tls_cert": {certs.Cert}, "tls_key": {certs.Key}}, "", "certificate"},
		{"another name", url.Values{"tls_ca": {certs.CA}, "tls_cert": {certs.Cert}, "tls_key": {certs.Key}, "tls_server_name": {"redis.example"}}, "", "certificate"},
		{"no certificate to show", url.Values{"tls_ca": {certs.CA}}, "", "certificate"},
		{"a certificate of another CA to show", url.Values{"tls_ca": {certs.CA}, "tls_cert": {others.Cert}, "tls_key": {others.Key}}, "", "certificate authority"},
		{"no such CA", url.Values{"tls_ca": {noFile}}, "tls_ca", ""},
		{"no CA in the file", url.Values{"tls_ca": {noCert}}, "tls_ca", ""},
		{"no such certificate", url.Values{"tls_cert": {noFile}, "tls_key": {certs.Key}}, "tls_cert", ""},
		{"the key of another certificate", url.Values{"tls_cert": {certs.Cert}, "tls_key": {others.Key}}, "tls_cert", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := server.URL() + "?" + tt.options.Encode()
			if err := redisstore.CheckURL(address); err != nil {
				t.Errorf("CheckURL, which reads no files: %v", err)
			}
			if tt.openSays != "" {
				_, err := redisstore.Open(redisstore.Options{URL: address})
				storetest.FailIf(t, !errors.Is(err, keystore.ErrInvalid) || !strings.Contains(err.Error(), tt.openSays), "Open: %v, want %v that says %s", err, keystore.ErrInvalid, tt.openSays)
				return
			}
			store := open(t, redisstore.Options{URL: address, Timeout: patient})
			err := store.Apply(t.Context(), change())
			// A server that refuses a certificate closes the connection, and what the client had begun to send
			// then ends in a reset, which may come before the reason.
			for deadline := time.Now().Add(patient); errors.Is(err, syscall.ECONNRESET) && time.Now().Before(deadline); {
				err = store.Apply(t.Context(), change())
			}
			if tt.applySays == "" && err != nil {
				t.Error(err)
			}
			if tt.applySays != "" && (!errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), tt.applySays)) {
				t.Errorf("Apply: %v, want %v that says %s", err, keystore.ErrUnavailable, tt.applySays)
			}
		})
	}
}
