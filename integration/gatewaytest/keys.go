package gatewaytest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Key is what the admin API answers for a key that was made.
type Key struct {
	ID           string   `json:"id"`
	DeploymentID string   `json:"deployment_id"`
	Scopes       []string `json:"scopes"`
	CreatedBy    string   `json:"created_by"`
	Secret       string   `json:"secret"`
}

// NewDeployment makes a Deployment.
func (g *Gateway) NewDeployment(t *testing.T, id string) {
	t.Helper()
	Call(t, http.MethodPost, g.Admin("/deployments"), map[string]any{"id": id, "name": "Deployment " + id}).
		Want(http.StatusCreated)
}

// NewKey makes a key of a Deployment, with all scopes unless some are named.
func (g *Gateway) NewKey(t *testing.T, deployment string, scopes ...string) Key {
	t.Helper()
	body := map[string]any{"name": "CI"}
	if len(scopes) > 0 {
		body["scopes"] = scopes
	}
	var made Key
	Call(t, http.MethodPost, g.Admin("/deployments/"+deployment+"/keys"), body).Want(http.StatusCreated).JSON(&made)
	return made
}

// DeleteKey deletes a key.
func (g *Gateway) DeleteKey(t *testing.T, k Key) {
	t.Helper()
	Call(t, http.MethodDelete, g.Admin("/deployments/"+k.DeploymentID+"/keys/"+k.ID), nil).Want(http.StatusNoContent)
}

// DeleteDeployment deletes a Deployment.
func (g *Gateway) DeleteDeployment(t *testing.T, id string) {
	t.Helper()
	Call(t, http.MethodDelete, g.Admin("/deployments/"+id), nil).Want(http.StatusNoContent)
}

// AskToken sends the credentials of a key to the token endpoint of the site at port.
func (g *Gateway) AskToken(t *testing.T, port int, k Key) Reply {
	t.Helper()
	return Call(t, http.MethodPost, g.URL(port, "/oauth/token"), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret},
	})
}

// Token exchanges a key for an access token at the site at port.
func (g *Gateway) Token(t *testing.T, port int, k Key) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	g.AskToken(t, port, k).Want(http.StatusOK).JSON(&answer)
	return answer.AccessToken
}

// Raw sends a request to a port as it stands, with none of the care that net/http takes, and returns the answer. In the
// text, \n stands for CR LF.
func Raw(t *testing.T, port int, request string) Reply {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(request, "\n")
	answer, err := ReadReply(t, conn, line)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return answer
}

// ReadReply reads the answer to a request that was written to a connection; name is how a failure calls it.
func ReadReply(t *testing.T, connection io.Reader, name string) (Reply, error) {
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return Reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Status: response.StatusCode, Header: response.Header, Body: body, t: t, request: name}, nil
}

// Send sends a part of a request to a port, as [Raw] does, and leaves it at that. It returns what closes the connection.
func Send(t *testing.T, port int, part string) func() {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.ReplaceAll(part, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	return func() { conn.Close() }
}
