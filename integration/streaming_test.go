package integration

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// This file holds that deployment_auth decides on a request by its head, and then stays out of the way: bodies and answers
// go through it piece by piece, in both directions.

// streams are what an upstream says to its test while a request is on its way, and what it is told.
type streams struct {
	pieces chan string   // of a body, as they come; "" is its end
	next   chan struct{} // go on
}

// startStreamSite is a gateway before an upstream, with a key of dep1 and an access token of it:
//
//	/dep1/body    says each piece of the body
//	/dep1/events  server-sent events, one at once and one for each time that it may go on
//	/dep1/socket  a WebSocket handshake, and then whatever comes
func startStreamSite(t *testing.T) (g *site, s streams, k key, token string) {
	t.Helper()
	s = streams{make(chan string), make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/dep1/body", func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 64)
		for {
			n, err := r.Body.Read(piece)
			if n > 0 {
				s.pieces <- string(piece[:n])
			}
			if err != nil {
				break
			}
		}
		fmt.Fprint(w, r.ContentLength, r.TransferEncoding)
		close(s.pieces)
	})
	mux.HandleFunc("/dep1/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for number := 1; ; number++ {
			fmt.Fprintf(w, "data: %d of %s\n\n", number, r.Header.Get("X-Deployment-Id"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-s.next:
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("/dep1/socket", func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("X-Deployment-Id") != "dep1" {
			w.WriteHeader(http.StatusUpgradeRequired)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 section 4.2.2
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]))
		_, _ = io.Copy(conn, buffered)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	g, k, token = proxySite(t, &upstream{Server: server})
	return g, s, k, token
}

// wantPiece waits for a piece of a body at the upstream.
func (s streams) wantPiece(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-s.pieces:
		if got != want {
			t.Fatalf("the upstream got the piece %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("the upstream did not get %q", want)
	}
}

// dial is a connection to the gateway on which nothing waits for ever.
func (s *site) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// write writes with CR LF for \n.
func write(t *testing.T, to io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(to, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
}

// wantText reads as many bytes as it wants.
func wantText(t *testing.T, from io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(from, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got[:n], err, want)
	}
}

func readAnyHead(t *testing.T, from *bufio.Reader) *http.Response {
	t.Helper()
	response, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func readHead(t *testing.T, from *bufio.Reader, status int) *http.Response {
	t.Helper()
	response := readAnyHead(t, from)
	if response.StatusCode != status {
		t.Fatalf("status %s, want %d", response.Status, status)
	}
	return response
}

// Each piece of a body is at the upstream before the next one is sent, so none waits in the gateway for the end.
func TestBodiesStreamToTheUpstream(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ head, first, second, end, told string }{
		"chunked":       {"Transfer-Encoding: chunked", "3\none\n", "3\ntwo\n", "0\n\n", "-1 [chunked]"},
		"with a length": {"Content-Length: 6", "one", "two", "", "6 []"},
	} {
		t.Run("HTTP/1.1, "+name, func(t *testing.T) {
			g, s, _, token := startStreamSite(t)
			conn, from := g.dial(t)
			write(t, conn, "POST /dep1/body HTTP/1.1\nHost: x\nAuthorization: Bearer "+token+"\n"+test.head+"\n\n"+test.first)
			s.wantPiece(t, "one")
			write(t, conn, test.second)
			s.wantPiece(t, "two")
			write(t, conn, test.end)
			s.wantPiece(t, "")
			wantText(t, readHead(t, from, http.StatusOK).Body, test.told)
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		g, s, _, token := startStreamSite(t)
		client := h2c()
		defer client.CloseIdleConnections()
		body, pieces := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL(g.port, "/dep1/body"), body)
		if err != nil {
			t.Fatal(err)
		}
		bearer(token)(request)
		status := make(chan int, 1)
		go func() {
			response, err := client.Do(request)
			if err != nil {
				t.Error(err)
				status <- 0
				return
			}
			response.Body.Close()
			status <- response.StatusCode
		}()
		for _, piece := range []string{"one", "two"} {
			if _, err := io.WriteString(pieces, piece); err != nil {
				t.Fatal(err)
			}
			s.wantPiece(t, piece)
		}
		pieces.Close()
		s.wantPiece(t, "")
		if got := <-status; got != http.StatusOK {
			t.Errorf("status %d", got)
		}
	})
}

// A client that waits for 100 Continue is asked for the body when the upstream may have it, and not for one that is
// refused.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	g, s, _, token := startStreamSite(t)
	head := func(path, token string) string {
		return "POST " + path + " HTTP/1.1\nHost: x\nAuthorization: Bearer " + token + "\nContent-Length: 3\nExpect: 100-continue\n\n"
	}
	t.Run("read by the upstream", func(t *testing.T) {
		conn, from := g.dial(t)
		write(t, conn, head("/dep1/body", token))
		readHead(t, from, http.StatusContinue)
		write(t, conn, "one")
		s.wantPiece(t, "one")
		s.wantPiece(t, "")
		// The upstream asks for the body too, and that is passed on: a client takes any number of these.
		for answer := readAnyHead(t, from); answer.StatusCode != http.StatusOK; answer = readAnyHead(t, from) {
			if answer.StatusCode != http.StatusContinue {
				t.Fatalf("status %s, want 200", answer.Status)
			}
		}
	})
	for name, refused := range map[string]struct {
		path, token string
		status      int
	}{
		"another Deployment": {"/dep2/body", token, http.StatusForbidden},
		"a bad token":        {"/dep1/body", token + "x", http.StatusUnauthorized},
		"a second reading":   {"/dep1/../dep2/body", token, http.StatusBadRequest},
		"the token endpoint": {"/oauth/token?grant_type=x", token, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			conn, from := g.dial(t)
			write(t, conn, head(refused.path, refused.token))
			// At once, and not 100. The connection ends, as nobody knows whether the body comes.
			if answer := readHead(t, from, refused.status); !answer.Close {
				t.Error("the connection goes on")
			}
		})
	}
}

func TestServerSentEventsPass(t *testing.T) {
	t.Parallel()
	g, s, k, token := startStreamSite(t)
	conn, from := g.dial(t)
	write(t, conn, rawGet("/dep1/events", token))
	response := readHead(t, from, http.StatusOK)
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("the type is %s", got)
	}
	wantText(t, response.Body, "data: 1 of dep1\n\n")
	s.next <- struct{}{}
	wantText(t, response.Body, "data: 2 of dep1\n\n")

	// As the README says: a stream that is open when its key is deleted goes on until it ends.
	g.deleteKey(t, k)
	s.next <- struct{}{}
	wantText(t, response.Body, "data: 3 of dep1\n\n")
	g.raw(t, rawGet("/dep1/events", token)).Want(http.StatusUnauthorized)
}

func TestWebSocketsPass(t *testing.T) {
	t.Parallel()
	g, _, _, token := startStreamSite(t)
	// The key and the answer to it are the example of RFC 6455 section 1.3.
	handshake := func(deployment, token string) string {
		return "GET /" + deployment + "/socket HTTP/1.1\nHost: x\nAuthorization: Bearer " + token +
			"\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"
	}
	conn, from := g.dial(t)
	write(t, conn, handshake("dep1", token))
	response := readHead(t, from, http.StatusSwitchingProtocols)
	if got := response.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("the handshake is answered with %q", got)
	}
	for _, frame := range []string{"\x81\x03one", "\x82\x01\x00"} {
		if _, err := io.WriteString(conn, frame); err != nil {
			t.Fatal(err)
		}
		wantText(t, from, frame)
	}
	for name, refused := range map[string]struct {
		request string
		status  int
	}{
		"another Deployment":   {handshake("dep2", token), http.StatusForbidden},
		"a bad token":          {handshake("dep1", token+"x"), http.StatusUnauthorized},
		"another protocol":     {strings.Replace(handshake("dep1", token), "websocket", "h2c", 1), http.StatusUpgradeRequired},
		"one of two protocols": {strings.Replace(handshake("dep1", token), "websocket", "h2c, websocket", 1), http.StatusUpgradeRequired},
	} {
		t.Run(name, func(t *testing.T) {
			conn, from := g.dial(t)
			write(t, conn, refused.request)
			readHead(t, from, refused.status)
		})
	}
}
