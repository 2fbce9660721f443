package integration

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// certificateSite has users signed in by their certificates: Caddy verifies those that are given, and vars says which part
// of one is the user. vars has its place before deployment_token by default, so no route is needed. Keys need none.
const certificateSite = `{
	auto_https disable_redirects
	skip_install_trust
	deployment_keys
}

https://localhost:%d {
	tls internal {
		client_auth {
			mode verify_if_given
			trust_pool file %s
		}
	}
	vars /token http.auth.user.id {http.request.tls.client.subject}
	deployment_token
	%s
}
`

func TestUserOfACertificate(t *testing.T) {
	t.Parallel()
	certs, others := storetest.NewCertificates(t), storetest.NewCertificates(t)
	const alice = "CN=redis of a test" // whom NewCertificates makes them for
	port := freePort(t)
	g := &site{startGateway(t, fmt.Sprintf(certificateSite, port, certs.CA, checkedRoutes)), port}
	g.newDeployment(t, "dep1")
	g.putMember(t, "dep1", alice, "viewer")
	target := fmt.Sprintf("https://localhost:%d", port)
	clientOf := func(of *storetest.Certificates) *http.Client {
		config := &tls.Config{InsecureSkipVerify: true} // the server's own certificate is not what is tested
		if of != nil {
			own, err := tls.LoadX509KeyPair(of.Cert, of.Key)
			if err != nil {
				t.Fatal(err)
			}
			// Also when the server does not ask for one of this CA.
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		}
		c := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: config, DialContext: toLoopback}}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}

	stranger := clientOf(nil)
	eventually(t, "Caddy has made itself a certificate", func() bool {
		_, err := send(stranger, http.MethodGet, target+"/", nil, nil)
		return err == nil
	})
	var got grant
	status, err := send(clientOf(certs), http.MethodPost, target+"/token", nil, &got)
	if err := wanted(http.StatusOK, status, err); err != nil {
		t.Fatal(err)
	}
	if claims := claimsOf(t, got.AccessToken); claims["sub"] != alice {
		t.Errorf("the token says %v", claims)
	}
	status, err = send(stranger, http.MethodPost, target+"/token", nil, nil)
	if err := wanted(http.StatusUnauthorized, status, err); err != nil {
		t.Errorf("without a certificate: %v", err)
	}
	if status, err := send(clientOf(others), http.MethodPost, target+"/token", nil, nil); err == nil {
		t.Errorf("with a certificate of another CA: %d", status)
	}
	// The token needs no certificate, nor does a key.
	for what, token := range map[string]string{"the user's": got.AccessToken, "a key's": g.tokenBy(t, stranger, target)} {
		status, err = send(stranger, http.MethodGet, target+"/dep1/api/v2/dags", nil, nil, bearer(token))
		if err := wanted(http.StatusOK, status, err); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// toLoopback connects to a port of this machine, whatever the name of the host is.
func toLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// tokenBy makes a key of dep1 and exchanges it by a client.
func (s *site) tokenBy(t *testing.T, c *http.Client, target string) string {
	t.Helper()
	k := s.newKey(t, "dep1")
	var answer grant
	status, err := send(c, http.MethodPost, target+"/oauth/token", map[string]string{
		"grant_type": "client_credentials", "client_id": k.ID, "client_secret": k.Secret,
	}, &answer)
	if err := wanted(http.StatusOK, status, err); err != nil {
		t.Fatal(err)
	}
	return answer.AccessToken
}

// Where HTTP Basic is accepted, a user's token is the password, with any name: the token says who it is. What signs the
// user in at the site is not accepted there.
func TestUserTokenAsBasicPassword(t *testing.T) {
	t.Parallel()
	g := oauthSite(t, embedded(t))
	g.putMember(t, "dep1", "alice", "editor")
	g.putMember(t, "dep1", "bob", "viewer")
	token := g.userToken(t, "alice")
	ask := func(deployment, user, password string) reply {
		return call(t, http.MethodPut, g.URL(g.port, "/deploy/"+deployment+"/image"), nil, basic(user, password))
	}
	for _, user := range []string{"alice", "bob", "anything", ""} {
		if body := string(ask("dep1", user, token).Want(http.StatusOK).Body); body != "dep1 alice "+allScopes {
			t.Errorf("as %q the identity is %q", user, body)
		}
	}
	for name, test := range map[string]struct {
		answer reply
		status int
		code   string
	}{
		"of one who may only read":             {ask("dep1", "bob", g.userToken(t, "bob")), 403, "insufficient_scope"},
		"where the user is no member":          {ask("dep2", "alice", token), 403, "insufficient_scope"},
		"the password of the site":             {ask("dep1", "alice", password), 401, "invalid_token"},
		"a token with another signature":       {ask("dep1", "alice", tampered(token)), 401, "invalid_token"},
		"the token as the name, no password":   {ask("dep1", token, ""), 401, "invalid_token"},
		"the token, and a colon and more text": {ask("dep1", "alice", token+":x"), 401, "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, test.answer, test.status, test.code)
			if challenge := test.answer.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Basic ") {
				t.Errorf("the challenge is %q", challenge)
			}
		})
	}
	// It is a bearer token on the same route.
	call(t, http.MethodPut, g.URL(g.port, "/deploy/dep1/image"), nil, bearer(token)).Want(http.StatusOK)
}
