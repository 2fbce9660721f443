package admin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/deploymentkeys/gateway/internal/strictjson"
)

// maxBody is the largest body of a request, in bytes.
const maxBody = 64 << 10

// readBody reads the JSON body of a request into the struct that target points to.
func readBody(w http.ResponseWriter, r *http.Request, target any) error {
	// Demanding the type also keeps a form on a foreign web page from calling the API: a browser
	// asks the server before it sends JSON to another origin.
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return &apiError{http.StatusUnsupportedMediaType, "the Content-Type must be application/json"}
	}
	body, err := readAll(w, r)
	if err != nil {
		return err
	}
	if err := strictjson.Decode(body, target); err != nil {
		return badRequest(err.Error())
	}
	return nil
}

// readOptionalBody is readBody for a call that may also come without a body; then it needs no type,
// whatever type it names, as clients do that always name one.
func readOptionalBody(w http.ResponseWriter, r *http.Request, target any) error {
	body, err := readAll(w, r)
	if err != nil || len(body) == 0 {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return readBody(w, r, target)
}

// readNoBody refuses a body that says anything.
func readNoBody(w http.ResponseWriter, r *http.Request) error {
	return readOptionalBody(w, r, &struct{}{})
}

// BodyTime bounds how long the body of a request may take.
const BodyTime = 10 * time.Second

// readFirst reads the body of a request before it is decided who may make the call: whoever holds it back
// must not make a change, hours later, with a role that was taken from them meanwhile.
func (c *callContext) readFirst(method string) error {
	if method == http.MethodGet || method == http.MethodDelete {
		return nil // no body is looked at
	}
	connection := http.NewResponseController(c.w)
	// A connection that can't have a deadline is one of a test.
	_ = connection.SetReadDeadline(time.Now().Add(BodyTime))
	body, err := readAll(c.w, c.r)
	if err != nil {
		return err
	}
	_ = connection.SetReadDeadline(time.Time{})
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

func readAll(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, &apiError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	case err != nil:
		return nil, badRequest("the body could not be read to its end")
	}
	return body, nil
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}
