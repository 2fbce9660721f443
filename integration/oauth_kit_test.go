package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// The password of each user of oauthCaddyfile.
const password = "correct horse battery staple"

// oauthSite starts a gateway whose issuer is the address at which it can be reached, so that what its metadata names can
// be called, with the Deployments dep1 and dep2. Options are lines of the block deployment_keys.
func oauthSite(t *testing.T, s store, options ...string) *site {
	t.Helper()
	port := freePort(t)
	g := &site{startGateway(t, oauthCaddyfile(t, port, port, s, options...), withEnv(s.env...)), port}
	g.newDeployment(t, "dep1")
	g.newDeployment(t, "dep2")
	return g
}

// nodeBeside starts another gateway on the store of an oauthSite, with the issuer of that one.
func nodeBeside(t *testing.T, first *site, s store, options ...string) *site {
	t.Helper()
	port := freePort(t)
	return &site{startGateway(t, oauthCaddyfile(t, port, first.port, s, options...), withEnv(s.env...)), port}
}

// oauthCaddyfile is a site on which users sign in by basic_auth at the one path that needs it. There is no route block:
// the directives are in the order that they have by default. The issuer is the site at a port, this one's or another's.
func oauthCaddyfile(t *testing.T, port, issuer int, s store, options ...string) string {
	t.Helper()
	for _, option := range options {
		s.options += "\n\t\t" + option
	}
	hash := passwordHash(t)
	return fmt.Sprintf(`{
	deployment_keys {
		issuer http://127.0.0.1:%[5]d
		%[2]s
	}
}

http://:%[1]d {
	basic_auth /token {
		alice %[3]s
		bob %[3]s
	}
	deployment_token
	%[4]s
}
`, port, s.options, hash, checkedRoutes, issuer)
}

// passwordHash is password as caddy hash-password hashes it, but quickly.
func passwordHash(t *testing.T) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// issuer is what the tokens of an oauthSite name, and where it is.
func (s *site) issuer() string { return s.URL(s.port, "") }

// userToken is the personal access token of a user of an oauthSite.
func (s *site) userToken(t *testing.T, user string) string {
	t.Helper()
	var answer grant
	call(t, http.MethodPost, s.URL(s.port, "/token"), nil, basic(user, password)).Want(http.StatusOK).JSON(&answer)
	return answer.AccessToken
}

// putMember gives a user a role in a Deployment.
func (s *site) putMember(t *testing.T, deployment, user, role string) {
	t.Helper()
	call(t, http.MethodPut, s.Admin("/deployments/"+deployment+"/members/"+url.PathEscape(user)), map[string]string{"role": role}).
		Want(http.StatusOK)
}

func (s *site) deleteMember(t *testing.T, deployment, user string) {
	t.Helper()
	call(t, http.MethodDelete, s.Admin("/deployments/"+deployment+"/members/"+url.PathEscape(user)), nil).Want(http.StatusNoContent)
}

// revoke has a key end a token.
func (s *site) revoke(t *testing.T, k key, token string) reply {
	t.Helper()
	return call(t, http.MethodPost, s.URL(s.port, "/oauth/revoke"), url.Values{"token": {token}}, basic(k.ID, k.Secret))
}

// introspected is what introspection answers.
type introspected struct {
	Active       bool   `json:"active"`
	Scope        string `json:"scope"`
	ClientID     string `json:"client_id"`
	Username     string `json:"username"`
	Subject      string `json:"sub"`
	DeploymentID string `json:"deployment_id"`
}

// introspect asks as a key what a token is good for.
func (s *site) introspect(t *testing.T, k key, token string) (answer introspected) {
	t.Helper()
	call(t, http.MethodPost, s.URL(s.port, "/oauth/introspect"), url.Values{"token": {token}}, basic(k.ID, k.Secret)).
		Want(http.StatusOK).JSON(&answer)
	return answer
}
