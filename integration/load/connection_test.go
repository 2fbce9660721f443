//go:build linux

package load

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// A connection sends requests as they stand, and keeps nothing of an answer but its status: what a client costs is taken
// from the gateway on the same machine. It connects again where the gateway has ended it. It is for one goroutine.
type connection struct {
	address string
	conn    net.Conn // nil: not connected
	reader  *bufio.Reader
}

// send sends a request and returns the status of the answer.
func (c *connection) send(request []byte) (status int, err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.address, gatewaytest.Patience); err != nil {
			c.conn = nil
			return 0, err
		}
		c.reader = bufio.NewReader(c.conn)
	}
	if err = c.conn.SetDeadline(time.Now().Add(gatewaytest.Patience)); err == nil {
		_, err = c.conn.Write(request)
	}
	// What is refused while it is sent is answered all the same.
	status, ends, answered := readAnswer(c.reader)
	if answered != nil {
		c.close()
		return 0, errors.Join(err, answered)
	}
	if ends {
		c.close()
	}
	return status, nil
}

func (c *connection) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// readAnswer reads an answer and says whether it is the last one on its connection. It knows answers with a length.
func readAnswer(reader *bufio.Reader) (status int, ends bool, err error) {
	if status, err = readStatus(reader); err != nil {
		return 0, false, err
	}
	length := 0
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		header := strings.TrimRight(string(line), "\r\n")
		if header == "" {
			break
		}
		switch name, value, _ := strings.Cut(header, ": "); name {
		case "Content-Length":
			if length, err = strconv.Atoi(value); err != nil {
				return 0, false, err
			}
		case "Connection":
			ends = ends || value == "close"
		case "Transfer-Encoding":
			return 0, false, errors.New("the answer has no length")
		}
	}
	if ends {
		length = 0 // a refusal of net/http has none, and what comes is read by nobody
	}
	_, err = io.CopyN(io.Discard, reader, int64(length))
	return status, ends, err
}

// readStatus reads the first line of an answer.
func readStatus(reader *bufio.Reader) (int, error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("an answer begins with %q", line)
	}
	return strconv.Atoi(string(line[9:12]))
}

// get is a GET request with headers, each as "Name: value".
func get(path string, headers ...string) []byte { return request("GET", path, "", headers...) }

// post is a POST request with a form.
func post(path string, form url.Values, headers ...string) []byte {
	return request("POST", path, form.Encode(), append(headers, "Content-Type: application/x-www-form-urlencoded")...)
}

func request(method, path, body string, headers ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", method, path)
	for _, header := range headers {
		b.WriteString(header + "\r\n")
	}
	if method != "GET" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return []byte(b.String())
}

func bearer(token string) string { return "Authorization: Bearer " + token }

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// grant is the form with which a key asks for a token.
func grant(id, secret string, more ...string) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}
