//go:build linux

package load

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// A client that sends a body a byte at a time has ten seconds for it, at every endpoint, whether the body is read or the
// request is refused before. Without a bound of the product's own it could go on for as long as a byte a minute comes,
// and hold a goroutine and a connection.
func TestSlowBodiesEnd(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	form, json := "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/json"
	viewer := s.asViewer()
	for _, slow := range []struct {
		name, to string
		headers  []string
		statuses []int
		port     int
	}{
		{"/oauth/token", "POST /oauth/token", []string{form}, []int{400}, s.port},
		{"/oauth/token, JSON", "POST /oauth/token", []string{json}, []int{400}, s.port},
		{"/oauth/token, another type", "POST /oauth/token", []string{"Content-Type: text/plain"}, []int{400}, s.port},
		{"/oauth/token, another method", "PUT /oauth/token", []string{form}, []int{405}, s.port},
		{"/oauth/introspect", "POST /oauth/introspect", []string{form}, []int{400}, s.port},
		{"/oauth/revoke", "POST /oauth/revoke", []string{form}, []int{400}, s.port},
		{"bearer check, no credentials", "POST " + airflowPath, []string{json}, []int{401}, s.port},
		{"bearer check, garbage", "POST " + airflowPath, []string{json, bearer("x")}, []int{401}, s.port},
		{"console, no right", "POST /api/deployments", append(viewer, json), []int{400}, s.console},
		{"console, nothing wanted", "DELETE /api/deployments/" + deployment, append(viewer, json), []int{403}, s.console},
		{"console, another site's page", "POST /token", []string{basic("viewer", password), "Sec-Fetch-Site: cross-site"}, []int{403}, s.console},
		{"admin API", "POST /deployments", []string{json}, []int{400}, s.adminPort()},
	} {
		for _, length := range []string{"Content-Length: 16000", "Transfer-Encoding: chunked"} {
			t.Run(slow.name+", "+length, func(t *testing.T) {
				t.Parallel()
				headers := append(slices.Clone(slow.headers), "Host: "+s.address(slow.port), length)
				status, took := s.trickle(t, slow.port, slow.to+" HTTP/1.1\r\n"+strings.Join(headers, "\r\n")+"\r\n\r\n")
				if !slices.Contains(slow.statuses, status) {
					t.Errorf("status %d, want one of %v", status, slow.statuses)
				}
				figure(t, "a body of a byte at a time: %s: answered %d, ended after %.1f s", slow.name+", "+length, status, took.Seconds())
			})
		}
	}
}

// trickle sends a request's headers and then its body a byte at a time, until the gateway has answered and ended the
// connection. It returns the status of the answer and the time that all of it has taken.
func (s *site) trickle(t *testing.T, port int, head string) (status int, took time.Duration) {
	t.Helper()
	conn, err := net.Dial("tcp", s.address(port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	if err := conn.SetDeadline(begin.Add(gatewaytest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	body := "a"
	if strings.Contains(head, "chunked") {
		body = "1\r\na\r\n"
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if _, err := io.WriteString(conn, body); err != nil {
					return
				}
			}
		}
	}()
	reader := bufio.NewReader(conn)
	if status, err = readStatus(reader); err != nil {
		t.Fatalf("not answered after %s: %v", time.Since(begin).Round(time.Second), err)
	}
	var timeout net.Error
	if _, err := io.Copy(io.Discard, reader); errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("answered, and the connection goes on after %s", time.Since(begin).Round(time.Second))
	}
	return status, time.Since(begin)
}

// many are connections that do nothing but keep the gateway waiting.
type many []net.Conn

// openMany opens connections and sends the same on each.
func (s *site) openMany(t *testing.T, number int, send string) many {
	t.Helper()
	all := make(many, 0, number)
	t.Cleanup(func() { all.close() })
	for range number {
		conn, err := net.DialTimeout("tcp", s.address(s.port), gatewaytest.Patience)
		if err != nil {
			t.Fatalf("after %d connections: %v", len(all), err)
		}
		all = append(all, conn)
		if _, err := io.WriteString(conn, send); err != nil {
			t.Fatalf("after %d connections: %v", len(all), err)
		}
	}
	return all
}

func (m many) close() {
	for _, conn := range m {
		conn.Close()
	}
}

// answer reads the answer on each connection, which stays open.
func (m many) answer(t *testing.T, want int) {
	t.Helper()
	for _, conn := range m {
		if err := conn.SetReadDeadline(time.Now().Add(gatewaytest.Patience)); err != nil {
			t.Fatal(err)
		}
		if status, _, err := readAnswer(bufio.NewReader(conn)); err != nil || status != want {
			t.Fatalf("status %d, want %d: %v", status, want, err)
		}
	}
}

// refusals is how often the bearer check has refused a token.
func (s *site) refusals(t *testing.T) float64 {
	t.Helper()
	return s.metric(t, `caddy_deployment_keys_requests_total{handler="auth",outcome="invalid_token"`)
}

// mostPerConnection is far more than a connection takes, in bytes: Go's buffers for one, and two or three stacks.
// mostBesides is what a gateway grows by while it serves the others.
const (
	mostPerConnection = 128 << 10
	mostBesides       = 64 << 20
)

// Connections that do nothing cost memory, as much for each, and nothing else: the others are served as before, and when
// they are gone their goroutines are.
func TestManyConnectionsCostMemoryOnly(t *testing.T) {
	beside(t)
	s := startSite(t)
	good := get(airflowPath, bearer(s.token(t, s.NewKey(t, deployment))))
	number := descriptors(t, sized(200, 10_000))
	host := "Host: " + s.address(s.port) + "\r\n"
	for _, waiting := range []struct {
		name, send string
		answered   bool
		refused    int // of the requests of a connection
		number     int
	}{
		{"idle", string(get("/.well-known/jwks.json")), true, 0, number},
		{"with half of a header", "GET " + airflowPath + " HTTP/1.1\r\n" + host + "X-A: ", false, 0, number},
		{"with half of a body", "POST " + airflowPath + " HTTP/1.1\r\n" + host + bearer("x") + "\r\nContent-Length: 1000\r\n\r\na", false, 1, number},
		{"that ask and don't read", strings.Repeat(string(get(airflowPath, bearer("x"))), 20), false, 20, number / 10},
	} {
		t.Run(waiting.name, func(t *testing.T) {
			without := s.throughput(t, good)
			goroutines, memory, refusals := s.goroutines(t), s.memory(t), s.refusals(t)
			all := s.openMany(t, waiting.number, waiting.send)
			if waiting.answered {
				all.answer(t, http.StatusOK)
			}
			// What it has to do for these requests at first is not what they cost for as long as they are there.
			gatewaytest.Eventually(t, "the gateway has done what it was sent", func() bool {
				taken := s.goroutines(t) >= goroutines+len(all)*3/4
				return taken && int(s.refusals(t)-refusals) >= waiting.refused*len(all)
			})
			with := s.throughput(t, good)
			grown := s.memory(t) - memory
			if most := int64(mostBesides + len(all)*mostPerConnection); grown > most {
				t.Errorf("%d connections take %d bytes, want %d at most", len(all), grown, most)
			}
			more := s.goroutines(t) - goroutines
			if more > 4*len(all) {
				t.Errorf("%d goroutines for %d connections", more, len(all))
			}
			if full {
				figure(t, "| %d connections %s | %d KiB and %.1f goroutines each | good requests a second %.0f, without them %.0f: %.2f |",
					len(all), waiting.name, max(0, grown)/int64(len(all))>>10, float64(more)/float64(len(all)), with, without, with/without)
				hold(t, with/without)
			}
			all.close()
			gatewaytest.Eventually(t, "the goroutines of the connections end", func() bool {
				return s.goroutines(t) < goroutines+len(all)/10+50
			})
		})
	}
}
