package gatewaytest

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
	Timeout:       Patience,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// RequestOption changes a request before it is sent.
type RequestOption func(*http.Request)

// Header sets a header of a request; "Host" sets its host.
func Header(name, value string) RequestOption {
	return func(request *http.Request) {
		if http.CanonicalHeaderKey(name) == "Host" {
			request.Host = value
			return
		}
		request.Header.Set(name, value)
	}
}

// Bearer sends an access token with a request.
func Bearer(token string) RequestOption { return Header("Authorization", "Bearer "+token) }

// Basic sends a user name and a password with a request.
func Basic(user, password string) RequestOption {
	return func(request *http.Request) { request.SetBasicAuth(user, password) }
}

// Reply is the answer to a request, with its body read.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte

	t       *testing.T
	request string
}

// Call sends a request and returns the answer. The body is nothing for nil, a form for url.Values, itself for a string
// or bytes, and JSON for all else. A request that gets no answer ends the test.
func Call(t *testing.T, method, target string, body any, options ...RequestOption) Reply {
	t.Helper()
	answer, err := Try(t, method, target, body, options...)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Try is [Call] for a request that may get no answer, and for goroutines that must not end the test.
func Try(t *testing.T, method, target string, body any, options ...RequestOption) (Reply, error) {
	reader, contentType, err := Encode(body)
	if err != nil {
		return Reply{}, err
	}
	request, err := http.NewRequestWithContext(t.Context(), method, target, reader)
	if err != nil {
		return Reply{}, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for _, option := range options {
		option(request)
	}
	response, err := client.Do(request)
	if err != nil {
		return Reply{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return Reply{}, err
	}
	return Reply{
		Status: response.StatusCode, Header: response.Header, Body: content,
		t: t, request: method + " " + target,
	}, nil
}

// Encode is a body as [Call] sends it, and its content type.
func Encode(body any) (io.Reader, string, error) {
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
func (r Reply) Want(statuses ...int) Reply {
	r.t.Helper()
	if !slices.Contains(statuses, r.Status) {
		r.t.Fatalf("%s: status %d, want %v\n%s", r.request, r.Status, statuses, r.Body)
	}
	return r
}

// JSON decodes the body, which must be one JSON value and say so, into value.
func (r Reply) JSON(value any) {
	r.t.Helper()
	if contentType := r.Header.Get("Content-Type"); !strings.HasPrefix(contentType, "application/json") {
		r.t.Fatalf("%s: content type %q, want application/json\n%s", r.request, contentType, r.Body)
	}
	if err := json.Unmarshal(r.Body, value); err != nil {
		r.t.Fatalf("%s: %v\n%s", r.request, err, r.Body)
	}
}
