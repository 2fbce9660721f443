package admin

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deploymentkeys/gateway/internal/strictjson"
	"github.com/deploymentkeys/gateway/keystore"
)

// maxBody is the largest body of a request, in bytes.
const maxBody = 64 << 10

const defaultLimit = 100

// IsCleanPath reports whether a path, as it was sent, has neither an empty segment nor one that is . or ..
func IsCleanPath(path string) bool {
	segments := strings.Split(path, "/")
	return !strings.Contains(path, "//") && !slices.Contains(segments, ".") && !slices.Contains(segments, "..")
}

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

// readPage reads limit and cursor. A cursor is where the page before ended; it comes back from
// a caller who may have made it up, so what is in it must be an ID of the kind that is listed,
// and it means nothing but a place in an order.
func readPage(r *http.Request, valid func(id string) bool) (keystore.Page, error) {
	page := keystore.Page{Limit: defaultLimit}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return page, badRequest("the query of the URL is malformed")
	}
	for name, values := range query {
		if len(values) > 1 {
			return page, badRequest(fmt.Sprintf("%s is there more than once", name))
		}
		switch name {
		case "limit":
			page.Limit, err = strconv.Atoi(values[0])
			if err != nil || page.Limit < 1 || page.Limit > keystore.MaxPage {
				return page, badRequest(fmt.Sprintf("limit must be a number from 1 to %d", keystore.MaxPage))
			}
		case "cursor":
			id, err := base64.RawURLEncoding.DecodeString(values[0])
			// The decoder passes over line breaks and spare bits: of a place one cursor is accepted, the one that was given.
			if err != nil || !valid(string(id)) || cursorOf(string(id)) != values[0] {
				return page, badRequest("cursor is not one that this list gave: begin again without it")
			}
			page.After = string(id)
		default:
			return page, badRequest(fmt.Sprintf("unknown parameter %q: use limit and cursor", name))
		}
	}
	return page, nil
}

// cursorOf is the cursor of the page after the one that ended with id.
func cursorOf(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(id))
}
