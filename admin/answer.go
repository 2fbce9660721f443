package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/internal/redact"
	"github.com/deploymentkeys/gateway/keystore"
)

// This file alone knows which status stands for what.

// Error is the body of every answer that is an error.
type Error struct {
	Error string `json:"error"` // what to change, as a sentence
}

// An apiError is an answer with a status of its own; its text is for the caller.
type apiError struct {
	status int
	text   string
}

func (e *apiError) Error() string { return e.text }

func badRequest(text string) error { return &apiError{http.StatusBadRequest, text} }

// statusOf says what an error of a call is to the caller, and what they are told of it.
func statusOf(err error) (status int, text string) {
	var own *apiError
	switch {
	case errors.As(err, &own):
		return own.status, own.text
	case errors.Is(err, keystore.ErrInvalid):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, keystore.ErrNotFound), errors.Is(err, access.ErrNotOurs):
		return http.StatusNotFound, err.Error()
	case errors.Is(err, keystore.ErrExists), errors.Is(err, keystore.ErrLimit):
		return http.StatusConflict, err.Error()
	case errors.Is(err, keystore.ErrAltered):
		return http.StatusServiceUnavailable, err.Error() + "; delete it and make it anew"
	default:
		// The rest are faults of the store. Their texts name the store and what it said.
		return http.StatusServiceUnavailable, err.Error()
	}
}

// writeError answers with an error. Its text may name what the caller sent in the wrong place, which is a secret when
// that was pasted there by mistake: answers get into the logs of whoever calls.
func writeError(w http.ResponseWriter, err error) int {
	status, text := statusOf(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	WriteJSON(w, status, Error{redact.Text(text)})
	return status
}

// WriteError answers with an [Error].
func WriteError(w http.ResponseWriter, status int, text string) {
	writeError(w, &apiError{status, text})
}

// Allow reports whether a request has one of these methods, of which GET includes HEAD. If not, it answers 405.
func Allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	if slices.Contains(methods, r.Method) {
		return true
	}
	slices.Sort(methods)
	allowed := strings.Join(methods, ", ")
	w.Header().Set("Allow", allowed)
	WriteError(w, http.StatusMethodNotAllowed, "the method must be one of: "+allowed)
	return false
}

// WriteJSON answers with JSON that nobody may keep: one of the answers has a secret in it.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // the type is JSON and nosniff; people read it in a terminal
	if err := encoder.Encode(body); err != nil {
		// Only a type of this package that can't be encoded does that.
		status = http.StatusInternalServerError
		encoded.WriteString(`{"error":"the answer could not be encoded"}`)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(encoded.Bytes()) // a caller who has gone away does not read an error either
}

// setLocation names what was made: a path below that of the request, wherever it is mounted.
func (c *callContext) setLocation(id string) {
	c.w.Header().Set("Location", c.r.URL.EscapedPath()+"/"+url.PathEscape(id))
}
