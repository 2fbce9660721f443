package access

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// This file writes answers.

// WriteJSON answers with a value as JSON that nobody may keep.
func WriteJSON(w http.ResponseWriter, status int, body any) error {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // the type is JSON and nosniff; people read it in a terminal
	if err := encoder.Encode(body); err != nil {
		return err
	}
	return WriteEncoded(w, status, encoded.Bytes())
}

// WriteEncoded answers with JSON that nobody may keep (RFC 6749 section 5.1), whatever the site says of
// its answers.
func WriteEncoded(w http.ResponseWriter, status int, encoded []byte) error {
	// One array for the four values, made anew: Caddy's directive header changes values where they are. Each
	// slice has no room, so that whoever appends to one does not write into the next.
	values := [...]string{typeJSON, "nosniff", "no-store", "no-cache"}
	header := w.Header()
	header["Content-Type"] = values[0:1:1]
	header["X-Content-Type-Options"] = values[1:2:2]
	header["Cache-Control"] = values[2:3:3]
	header["Pragma"] = values[3:4:4]
	w.WriteHeader(status)
	_, err := w.Write(encoded)
	return err
}

// WithoutBody lets a refusal go out when the client waits for 100 Continue before it sends the body (RFC 9110 section
// 10.1.1). Caddy hides from net/http that it waits, and net/http would read the body before it sends the answer, and so
// wait as well. It does not where the connection ends with the answer.
//
// A client that sends its body a byte at a time is waited for no longer than one whose body is read: Caddy bounds how long
// net/http reads only where read_idle_timeout is not switched off, and by a minute.
func WithoutBody(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 {
		return
	}
	if r.Header.Get("Expect") != "" {
		w.Header().Set("Connection", "close")
	}
	if r.ContentLength != 0 {
		boundBody(w)
	}
}

// boundBody bounds how long the body of a request is read. Whoever sends a body this small one byte at a time does not mean
// to be served.
func boundBody(w http.ResponseWriter) {
	// The error is of no interest: a connection that can't have a deadline is one of a test.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestBodyTime))
}
