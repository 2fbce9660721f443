package integration

import (
	"fmt"
	"net/http"
	"testing"
)

// consoleSite is a gateway with the console on a site at which the users of consoleUsers sign in.
type consoleSite struct{ *site }

// consoleUsers are the users of a consoleSite, all with the same password. root is an administrator of the console; in
// dep1 the next three have the roles that they are called by; in dep2 only other is a member, as an admin.
var consoleUsers = []string{"root", "viewer", "editor", "admin", "other", "nobody"}

// consoleCaddyfile is such a site. Directives are lines before those of the console.
func consoleCaddyfile(t *testing.T, port int, s store, directives string) string {
	t.Helper()
	users, hash := "", passwordHash(t)
	for _, user := range consoleUsers {
		users += fmt.Sprintf("\n\t\t%q %s", user, hash)
	}
	return fmt.Sprintf(`{
	deployment_keys {
		%[2]s
	}
}

http://:%[1]d {
	basic_auth {%[3]s
	}
	%[4]s
	deployment_console {
		administrator root
	}
}
`, port, s.options, users, directives)
}

// startConsole starts a consoleSite with the Deployments dep1 and dep2 and their members.
func startConsole(t *testing.T, s store, directives string) consoleSite {
	t.Helper()
	c := consoleBeside(t, s, directives)
	c.newDeployment(t, "dep1")
	c.newDeployment(t, "dep2")
	for _, role := range []string{"viewer", "editor", "admin"} {
		c.putMember(t, "dep1", role, role)
	}
	c.putMember(t, "dep2", "other", "admin")
	return c
}

// consoleBeside starts a consoleSite on a store that may have another gateway.
func consoleBeside(t *testing.T, s store, directives string) consoleSite {
	t.Helper()
	port := freePort(t)
	return consoleSite{&site{startGateway(t, consoleCaddyfile(t, port, s, directives), withEnv(s.env...)), port}}
}

// as sends a request to the console's API as its pages do.
func (c consoleSite) as(t *testing.T, user, method, path string, body any, options ...requestOption) reply {
	t.Helper()
	options = append([]requestOption{
		basic(user, password),
		header("Origin", c.URL(c.port, "")), header("Sec-Fetch-Site", "same-origin"), header("X-Requested-With", "deployment-console"),
	}, options...)
	return call(t, method, c.URL(c.port, "/api"+path), body, options...)
}

// get is a request for a page or a file of the console.
func (c consoleSite) page(t *testing.T, user, path string) reply {
	t.Helper()
	return call(t, http.MethodGet, c.URL(c.port, path), nil, basic(user, password))
}

// wantReason checks that an answer of the API is a refusal, and returns what it says.
func wantReason(t *testing.T, answer reply, status int) string {
	t.Helper()
	var said struct {
		Error string `json:"error"`
	}
	answer.Want(status).JSON(&said)
	if said.Error == "" {
		t.Errorf("a refusal without a reason: %s", answer.Body)
	}
	return said.Error
}
