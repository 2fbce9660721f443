package access

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/deploymentkeys/gateway/internal/strictjson"
)

// Bounds on a request to the OAuth endpoints.
const (
	MaxRequestBody  = 16 << 10 // bytes
	requestBodyTime = 10 * time.Second
)

// The media types of a body.
const (
	typeJSON = "application/json"
	typeForm = "application/x-www-form-urlencoded"
)

// A ClientRequest is a request to an OAuth endpoint at which clients authenticate themselves, read
// but not granted.
type ClientRequest struct {
	ClientID, ClientSecret string // empty when they are missing
	Basic                  bool   // they came as HTTP Basic
	Params                 Parameters
}

// Parameters are what a request to an OAuth endpoint may hold; those that the server does not
// know are ignored (RFC 6749 section 3.2). A parameter without a value is omitted.
type Parameters map[string]string

// ReadClientRequest reads credentials and parameters from the one place where each may be.
func ReadClientRequest(w http.ResponseWriter, r *http.Request) (ClientRequest, *Refusal) {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return ClientRequest{}, Refuse(CodeInvalidRequest, "parameters must be in the body, not in the URL")
	}
	params, refused := readParameters(w, r)
	if refused != nil {
		return ClientRequest{}, refused
	}
	return readClient(r.Header, params)
}

// readClient reads the credentials: HTTP Basic or the body, not both (RFC 6749 section 2.3).
func readClient(header http.Header, params Parameters) (ClientRequest, *Refusal) {
	authorization := header["Authorization"]
	switch len(authorization) {
	case 0:
		return ClientRequest{ClientID: params["client_id"], ClientSecret: params["client_secret"], Params: params}, nil
	case 1:
	default:
		return ClientRequest{}, Refuse(CodeInvalidRequest, "more than one Authorization header")
	}
	req := ClientRequest{Basic: true, Params: params}
	scheme, rest, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return req, Refuse(CodeInvalidClient, "the Authorization header must be HTTP Basic: the key ID and the secret")
	}
	// RFC 6749 section 2.3.1: each half is form-encoded before it becomes Basic.
	user, password, ok := decodeBasic(strings.TrimLeft(rest, " "))
	id, err := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	if !ok || err != nil || err2 != nil {
		return req, Refuse(CodeInvalidRequest, "the Authorization header is malformed: want Basic and base64 of ID:secret")
	}
	// The ID alone, and the same, is no second way to authenticate: some libraries send it.
	if params["client_secret"] != "" || (params["client_id"] != "" && params["client_id"] != id) {
		return req, Refuse(CodeInvalidRequest, "credentials in the Authorization header and in the body: send them once")
	}
	req.ClientID, req.ClientSecret = id, secret
	return req, nil
}

// readParameters reads the body, as a form or as JSON.
func readParameters(w http.ResponseWriter, r *http.Request) (Parameters, *Refusal) {
	contentTypes := r.Header["Content-Type"]
	if len(contentTypes) != 1 {
		return nil, Refuse(CodeInvalidRequest, "want one Content-Type: application/json or application/x-www-form-urlencoded")
	}
	contentType, refused := mediaType(contentTypes[0])
	if refused != nil {
		return nil, refused
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, Refuse(CodeInvalidRequest, "Content-Encoding is not supported here")
	}
	var parse func([]byte) (Parameters, error)
	switch contentType {
	case typeJSON:
		parse = parseJSON
	case typeForm:
		parse = parseForm
	default:
		return nil, Refuse(CodeInvalidRequest, "the Content-Type must be application/json or application/x-www-form-urlencoded")
	}
	body, refused := readBody(w, r)
	if refused != nil {
		return nil, refused
	}
	params, err := parse(body)
	if err != nil {
		return nil, Refuse(CodeInvalidRequest, err.Error())
	}
	return params, nil
}

// mediaType is that of a body, whose text is UTF-8.
func mediaType(contentType string) (string, *Refusal) {
	if contentType == typeForm || contentType == typeJSON {
		return contentType, nil // as nearly all clients write it
	}
	media, attributes, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", Refuse(CodeInvalidRequest, "the Content-Type is malformed")
	}
	if charset, given := attributes["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return "", Refuse(CodeInvalidRequest, "the charset must be UTF-8")
	}
	return media, nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Refusal) {
	if r.ContentLength > MaxRequestBody {
		return nil, bodyTooLarge()
	}
	boundBody(w)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequestBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, bodyTooLarge()
	case err != nil:
		return nil, Refuse(CodeInvalidRequest, "the body could not be read to its end")
	}
	return body, nil
}

func bodyTooLarge() *Refusal {
	return Refuse(CodeInvalidRequest, fmt.Sprintf("the body is larger than %d bytes", MaxRequestBody))
}

func parseForm(body []byte) (Parameters, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("the body is not a valid form")
	}
	params := make(Parameters, len(form))
	for name, values := range form {
		if !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, errors.New("the body is not valid UTF-8")
		}
		if len(values) > 1 {
			return nil, fmt.Errorf("%.64q is there more than once", name)
		}
		params[name] = values[0]
	}
	return params, nil
}

// knownParameters must be strings in JSON; what other members are is their sender's business.
var knownParameters = [...]string{"client_id", "client_secret", "grant_type", "audience", "resource", "scope", "token", "token_type_hint"}

func parseJSON(body []byte) (Parameters, error) {
	members, err := strictjson.Members(body)
	if err != nil {
		return nil, err
	}
	params := make(Parameters)
	for _, name := range knownParameters {
		raw, given := members[name]
		if !given {
			continue
		}
		value, isString := strictjson.String(raw)
		if !isString {
			return nil, fmt.Errorf("%q must be a string", name)
		}
		params[name] = value
	}
	return params, nil
}
