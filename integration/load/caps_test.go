//go:build linux

package load

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// What is read at most, in bytes, of a request that is too large.
const (
	// mostOfHeaders is Caddy's bound on all headers with the request line, 16 KiB, and what net/http and its buffer read
	// beyond: 64 KiB is the bound of the admin endpoint.
	mostOfHeaders      = 16<<10 + slack
	mostOfAdminHeaders = 64<<10 + slack

	// mostOfBody is the bound on a body of the OAuth endpoints, and what net/http reads of a body that its handler does
	// not want before it ends the connection: 256 KiB before it answers, so that clients that read late get the answer,
	// and the same afterwards.
	mostOfBody      = 16<<10 + unwanted + slack
	mostOfAdminBody = 64<<10 + unwanted + slack

	unwanted = 2 * 256 << 10
	slack    = 48 << 10 // what the gateway reads besides, and buffers

	// tooMuch is what is sent at most. A gateway that has taken that much has no bound.
	tooMuch = 32 << 20
)

// An endless request never comes to its end: after its beginning, a piece is repeated until the gateway has had enough.
type endless struct {
	name        string
	begin, more string
	statuses    []int // one of them is answered
	most        int64 // bytes that the gateway reads
	port        int   // 0: the site's
}

// Sizes are bounded before work is done: what is too large is answered, and its connection ended, when the gateway has
// read no more than it has to. What it reads is counted by the system.
func TestEndlessRequestsAreCutOff(t *testing.T) {
	beside(t)
	s := startSite(t)
	k := s.NewKey(t, deployment)
	valid := bearer(s.token(t, k))
	for _, e := range s.endless(valid) {
		t.Run(e.name, func(t *testing.T) {
			before := s.bytesRead(t)
			status, sent := s.pour(t, e)
			if !slices.Contains(e.statuses, status) {
				t.Errorf("status %d, want one of %v", status, e.statuses)
			}
			read := s.bytesRead(t) - before
			if read > e.most {
				t.Errorf("the gateway has read %d bytes, want %d at most", read, e.most)
			}
			figure(t, "%s: answered %d; sent %d KiB, read %d KiB", e.name, status, sent>>10, read>>10)
		})
	}
	// It goes on.
	c := connection{address: s.address(s.port)}
	defer c.close()
	if status, err := c.send(get(airflowPath, valid)); status != 200 || err != nil {
		t.Errorf("afterwards a good request is answered %d: %v", status, err)
	}
}

// endless are the requests.
func (s *site) endless(valid string) []endless {
	host := "Host: 127.0.0.1\r\n"
	get := "GET " + airflowPath + " HTTP/1.1\r\n" + host
	kilobyte := strings.Repeat("a", 1<<10)
	all := []endless{
		{name: "path", begin: "GET /" + deployment + "/api/", more: kilobyte, statuses: []int{431}},
		{name: "method", begin: "GET", more: kilobyte, statuses: []int{400, 431}},
		{name: "query", begin: "GET " + airflowPath + "?", more: kilobyte, statuses: []int{431}},
		{name: "Authorization", begin: get + "Authorization: Bearer ", more: kilobyte, statuses: []int{431}},
		{name: "headers", begin: get, more: "X-A: b\r\n", statuses: []int{431}},
		{name: "Authorization headers", begin: get, more: valid + "\r\n", statuses: []int{431}},
		{name: "cookies", begin: get + "Cookie: a=b", more: "; a=b", statuses: []int{431}},
	}
	for i := range all {
		all[i].most = mostOfHeaders
		atAdmin := all[i]
		atAdmin.name, atAdmin.port, atAdmin.most = "admin endpoint, "+all[i].name, s.adminPort(), mostOfAdminHeaders
		all = append(all, atAdmin)
	}
	form, json := "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: application/json\r\n"
	chunked, length := "Transfer-Encoding: chunked\r\n\r\n", "Content-Length: 1000000000\r\n\r\n"
	viewer := strings.Join(s.asViewer(), "\r\n") + "\r\n"
	for _, body := range []struct {
		name, to, headers string
		statuses          []int
		most              int64
		port              int
	}{
		{"/oauth/token, form", "POST /oauth/token", form, []int{400}, mostOfBody, 0},
		{"/oauth/token, JSON", "POST /oauth/token", json, []int{400}, mostOfBody, 0},
		{"/oauth/token, another type", "POST /oauth/token", "Content-Type: text/plain\r\n", []int{400}, mostOfBody, 0},
		{"/oauth/token, compressed", "POST /oauth/token", form + "Content-Encoding: gzip\r\n", []int{400}, mostOfBody, 0},
		{"/oauth/token, another method", "PUT /oauth/token", form, []int{405}, mostOfBody, 0},
		{"/oauth/introspect", "POST /oauth/introspect", form, []int{400}, mostOfBody, 0},
		{"/oauth/revoke", "POST /oauth/revoke", form, []int{400}, mostOfBody, 0},
		{"/token", "POST /token", form, []int{401, 404}, mostOfBody, 0},
		{"key set", "GET /.well-known/jwks.json", "", []int{200}, mostOfBody, 0},
		{"bearer check, no credentials", "POST " + airflowPath, json, []int{401}, mostOfBody, 0},
		{"bearer check, garbage", "POST " + airflowPath, "Authorization: Bearer x\r\n", []int{401}, mostOfBody, 0},
		{"admin API", "POST /deployments", json, []int{413}, mostOfAdminBody, s.adminPort()},
		{"admin API, another type", "POST /deployments", form, []int{415}, mostOfAdminBody, s.adminPort()},
		{"admin API, nothing wanted", "DELETE /deployments/none", json, []int{404}, mostOfAdminBody, s.adminPort()},
		{"console, nobody", "POST /api/deployments", json, []int{401}, mostOfAdminBody, s.console},
		{"console, a user", "PATCH /api/deployments/" + deployment, viewer + json, []int{403, 413}, mostOfAdminBody, s.console},
		{"console, another site's page", "POST /token", basic("viewer", password) + "\r\nSec-Fetch-Site: cross-site\r\n", []int{403}, mostOfAdminBody, s.console},
		{"console, a page", "GET /", basic("viewer", password) + "\r\n", []int{302}, mostOfAdminBody, s.console},
	} {
		begin := body.to + " HTTP/1.1\r\nHost: " + s.address(cmp.Or(body.port, s.port)) + "\r\n" + body.headers
		chunk := fmt.Sprintf("%x\r\n%s\r\n", len(kilobyte), kilobyte)
		all = append(all,
			endless{body.name + ", chunked", begin + chunked, chunk, body.statuses, body.most, body.port},
			endless{body.name + ", a length of 1 GB", begin + length, kilobyte, body.statuses, body.most, body.port})
	}
	at := "POST /oauth/token HTTP/1.1\r\n" + host + form + chunked
	return append(all,
		// net/http counts what is in the chunks: each byte takes six.
		endless{"chunks of a byte", at, "1\r\na\r\n", []int{400}, 6 * mostOfBody, 0},
		endless{"chunks with extensions", at, "1;" + strings.Repeat("a", 2<<10) + "\r\na\r\n", []int{400}, mostOfBody, 0},
		endless{"a chunk's extension", at + "1;", kilobyte, []int{400}, mostOfBody, 0},
		endless{"trailers", at + "0\r\n", "X-A: b\r\n", []int{400}, mostOfBody, 0})
}

// adminPort is where the admin endpoint is.
func (s *site) adminPort() int {
	var port int
	fmt.Sscanf(s.Admin(""), "http://127.0.0.1:%d", &port)
	return port
}

// pour sends an endless request until the gateway ends the connection, and returns what it answered first, and how many
// bytes the system has taken for it.
func (s *site) pour(t *testing.T, e endless) (status, sent int) {
	t.Helper()
	conn, err := net.Dial("tcp", s.address(cmp.Or(e.port, s.port)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(gatewaytest.Patience)); err != nil {
		t.Fatal(err)
	}
	// Answers come while it is sent.
	type answer struct {
		status int
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		status, err := readStatus(bufio.NewReader(conn))
		answers <- answer{status, err}
	}()
	piece := []byte(strings.Repeat(e.more, 1+(4<<10)/len(e.more)))
	for next := []byte(e.begin); ; next = piece {
		n, err := conn.Write(next)
		sent += n
		if err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Fatalf("the connection has not ended after %s and %d bytes", gatewaytest.Patience, sent)
			}
			break
		}
		if sent > tooMuch {
			t.Fatalf("the gateway takes %d bytes and goes on", sent)
		}
	}
	got := <-answers
	if got.err != nil {
		t.Fatalf("the connection has ended after %d bytes without an answer: %v", sent, got.err)
	}
	return got.status, sent
}
