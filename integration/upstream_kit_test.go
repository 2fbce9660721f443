package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// seen is a request as an upstream got it.
type seen struct {
	Target  string // as in the request line
	Method  string
	Header  http.Header
	Trailer http.Header
}

// upstream is a server that keeps what it gets.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	u := new(upstream)
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // trailers come after it
		u.mu.Lock()
		defer u.mu.Unlock()
		u.seen = append(u.seen, seen{r.RequestURI, r.Method, r.Header, r.Trailer})
	}))
	t.Cleanup(u.Close)
	return u
}

// take returns what has come since it was last called.
func (u *upstream) take() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.seen
	u.seen = nil
	return taken
}

// takeOne is take where one request must have come.
func (u *upstream) takeOne(t *testing.T) seen {
	t.Helper()
	taken := u.take()
	if len(taken) != 1 {
		t.Fatalf("the upstream got %d requests, want 1: %+v", len(taken), taken)
	}
	return taken[0]
}

// Routes of proxySite: the Deployment is the first part of the path behind each of them, except for fixedRoute.
const (
	plainRoute = ""        // Authorization is not passed on
	passRoute  = "/pass"   // passed on, and cut off the path
	stripRoute = "/strip"  // cut off the path
	fixedRoute = "/static" // of dep1 by the config, with a matcher
)

// proxySite starts a gateway in front of an upstream, with the Deployments dep1 and dep2, and returns a key and an
// access token of dep1.
func proxySite(t *testing.T, to *upstream) (g *site, k key, token string) {
	t.Helper()
	port := freePort(t)
	address := strings.TrimPrefix(to.URL, "http://")
	caddyfile := fmt.Sprintf(`{
	servers {
		protocols h1 h2c
	}
	deployment_keys
}

http://:%[1]d {
	log
	deployment_token
	handle_path %[2]s/* {
		deployment_auth {path.0} {
			pass_authorization
			basic
		}
		reverse_proxy %[3]s
	}
	handle_path %[4]s/* {
		deployment_auth {path.0}
		reverse_proxy %[3]s
	}
	handle %[5]s/* {
		deployment_auth dep1
		reverse_proxy %[3]s
	}
	handle /whoami/* {
		deployment_auth {path.1}
		respond "{http.auth.user.id}|{http.auth.user.deployment}|{http.auth.user.scopes}"
	}
	handle {
		deployment_auth {path.0} {
			scope airflow:read GET
			scope airflow:write POST
		}
		reverse_proxy %[3]s
	}
}
`, port, passRoute, address, stripRoute, fixedRoute)
	g = &site{startGateway(t, caddyfile), port}
	g.newDeployment(t, "dep1")
	g.newDeployment(t, "dep2")
	k = g.newKey(t, "dep1")
	return g, k, g.token(t, k)
}

// raw sends a request as it stands, with none of the care that net/http takes, and returns the answer. In the text, \n
// stands for CR LF.
func (s *site) raw(t *testing.T, request string) reply {
	t.Helper()
	return gatewaytest.Raw(t, s.port, request)
}

// rawGet is a request for raw, with header lines besides the usual ones.
func rawGet(target, token string, lines ...string) string {
	head := []string{"GET " + target + " HTTP/1.1", "Host: airflow.example.com", "Connection: close", "Authorization: Bearer " + token}
	return strings.Join(append(head, lines...), "\n") + "\n\n"
}
