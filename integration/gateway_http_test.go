package integration

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// client follows no redirect and keeps no connection: what it sees is the answer to its request alone, and a gateway
// that was restarted is not met on a connection to the one before.
var client = &http.Client{
	Timeout:       patience,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// requestOption changes a request before it is sent.
type requestOption func(*http.Request)

// header sets a header of a request; "Host" sets its host.
func header(name, value string) requestOption {
	return func(request *http.Request) {
		if http.CanonicalHeaderKey(name) == "Host" {
			request.Host = value
			return
		}
		request.Header.Set(name, value)
	}
}

// bearer sends an access token with a request.
func bearer(token string) requestOption { return header("Authorization", "Bearer "+token) }

// basic sends a user name and a password with a request.
func basic(user, password string) requestOption {
	return func(request *http.Request) { request.SetBasicAuth(user, password) }
}

// reply is the answer to a request, with its body read.
type reply struct {
	Status int
	Header http.Header
	Body   []byte

	t       *testing.T
	request string
}

// call sends a request and returns the answer. The body is nothing for nil, a form for url.Values, itself for a string
// or bytes, and JSON for all else. A request that gets no answer ends the test.
func call(t *testing.T, method, target string, body any, options ...requestOption) reply {
	t.Helper()
	answer, err := try(t, method, target, body, options...)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// try is call for a request that may get no answer, and for goroutines that must not end the test.
func try(t *testing.T, method, target string, body any, options ...requestOption) (reply, error) {
	reader, contentType, err := encode(body)
	if err != nil {
		return reply{}, err
	}
	request, err := http.NewRequestWithContext(t.Context(), method, target, reader)
	if err != nil {
		return reply{}, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for _, option := range options {
		option(request)
	}
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	return reply{
		Status: response.StatusCode, Header: response.Header, Body: content,
		t: t, request: method + " " + target,
	}, nil
}

func encode(body any) (io.Reader, string, error) {
	switch body := body.(type) {
	case nil:
		return http.NoBody, "", nil
	case string:
		return strings.NewReader(body), "", nil
	case []byte:
		return bytes.NewReader(body), "", nil
	case url.Values:
		return strings.NewReader(body.Encode()), "application/x-www-form-urlencoded", nil
	default:
		content, err := json.Marshal(body)
		return bytes.NewReader(content), "application/json", err
	}
}

// Want ends the test unless the answer has one of these statuses. It returns the answer, for what comes next.
func (r reply) Want(statuses ...int) reply {
	r.t.Helper()
	if !slices.Contains(statuses, r.Status) {
		r.t.Fatalf("%s: status %d, want %v\n%s", r.request, r.Status, statuses, r.Body)
	}
	return r
}

// JSON decodes the body, which must be one JSON value and say so, into value.
func (r reply) JSON(value any) {
	r.t.Helper()
	if contentType := r.Header.Get("Content-Type"); !strings.HasPrefix(contentType, "application/json") {
		r.t.Fatalf("%s: content type %q, want application/json\n%s", r.request, contentType, r.Body)
	}
	if err := json.Unmarshal(r.Body, value); err != nil {
		r.t.Fatalf("%s: %v\n%s", r.request, err, r.Body)
	}
}
