package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// documentedRights is what the documentation has an operator give to the user of the gateway in Redis, as the words of a
// command. In the place of PASSWORD is a password.
func documentedRights(t *testing.T, password string) []any {
	t.Helper()
	doc, err := os.ReadFile("../keystore/redisstore/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^//\tACL SETUSER gateway .*\n(?://\t  .*\n)+`).FindString(string(doc))
	if !strings.Contains(line, "PASSWORD") {
		t.Fatal("no ACL SETUSER with a PASSWORD is documented")
	}
	var words []any
	for _, word := range strings.Fields(strings.ReplaceAll(line, "//", "")) {
		words = append(words, strings.ReplaceAll(word, "PASSWORD", password))
	}
	return words
}

// askAgain repeats a call that is answered 503 because Redis was late, as Retry-After asks for: on a busy machine a new
// connection with TLS can take longer than a read may. A password that Redis refuses is another answer, and counts.
func askAgain(call func(*http.Client) string) func(*http.Client) string {
	return func(client *http.Client) string {
		deadline := time.Now().Add(patience)
		for {
			wrong := call(client)
			if !strings.Contains(wrong, "did not answer in time") || time.Now().After(deadline) {
				return wrong
			}
		}
	}
}

// A Redis with TLS, which asks each client for a certificate, and a user who may do what is documented and no more is
// enough for all that a gateway does. Its password is changed while the gateway serves.
func TestLeastRightsByTLSAndPasswordRotation(t *testing.T) {
	t.Parallel()
	certificates := storetest.NewCertificates(t)
	server := storetest.StartTLSRedis(t, certificates)
	acl := server.Client()
	do := func(words ...any) {
		t.Helper()
		if err := acl.Do(t.Context(), words...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	options := url.Values{"tls_ca": {certificates.CA}, "tls_cert": {certificates.Cert}, "tls_key": {certificates.Key}}
	file := filepath.Join(t.TempDir(), "redis-url")
	write := func(password string) {
		t.Helper()
		address := fmt.Sprintf("rediss://gateway:%s@%s?%s", url.PathEscape(password), server.Addr(), options.Encode())
		if err := os.WriteFile(file, []byte(address+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const first, second = "first-p@ss/word", "second-p@ss#word"
	do(documentedRights(t, first)...)
	write(first)
	s := redisAt("", newMasterSecret(), server)
	s.options = fmt.Sprintf("redis {file.%s}\n\t\tsecret {env.DK_SECRET}", file)
	nodes := []*site{startSite(t, s), startSite(t, s)}
	g := nodes[0]

	// All that a gateway asks of a store.
	g.newDeployment(t, "dep1")
	g.newDeployment(t, "dep2")
	keys := g.newKeys(t, "dep1", 3)
	tokens := g.tokens(t, keys)
	nodes[1].useAll(t, keys, tokens)
	g.list(t, "/deployments")
	g.list(t, "/deployments/dep1/keys")
	g.renamed(t, "dep1", "renamed")
	g.deleteKey(t, keys[2])
	g.deleteDeployment(t, "dep2")
	eventually(t, "the delete is heard of", func() bool {
		return nodes[1].get(t, "dep1", tokens[2]).Want(http.StatusOK, http.StatusUnauthorized).Status == http.StatusUnauthorized
	})

	// Both passwords are good for as long as it takes to give the new one to all gateways.
	l := startLoad(t,
		loadGet(g.URL(g.port, "/dep1/api/v2/dags"), tokens[0], http.StatusOK),
		loadToken(nodes[1], keys[1], http.StatusOK),
		askAgain(loadGet(g.Admin("/deployments/dep1"), "", http.StatusOK)),
		loadGet(nodes[1].URL(nodes[1].port, "/dep1/api/v2/dags"), tokens[2], http.StatusUnauthorized),
	)
	l.goOn(t, 20)
	do("acl", "setuser", "gateway", ">"+second)
	write(second)
	for i, g := range nodes {
		g.Reload(reloaded(g, s, i))
		l.goOn(t, 20)
	}
	do("acl", "setuser", "gateway", "<"+first)
	l.goOn(t, 50)
	l.stop(t)
	// Redis leaves the connections that were made with the old password alone. Without them, only the new one counts.
	do("client", "kill", "user", "gateway")
	c := keepAlive(t)
	eventually(t, "both nodes work with the new password", func() bool { return works(c, nodes, "dep1") })
	for _, g := range nodes {
		g.Restart()
		for _, secret := range []string{first, second, url.PathEscape(first), url.PathEscape(second)} {
			if strings.Contains(g.Logs(), secret) {
				t.Error("the log has a password of Redis in it")
			}
		}
	}
	if !works(c, nodes, "dep1") {
		t.Error("a restarted gateway does not work with the new password")
	}
	for _, g := range nodes {
		wantRefusal(t, g.get(t, "dep1", tokens[2]), http.StatusUnauthorized, "invalid_token")
	}
}
