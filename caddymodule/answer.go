package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// This file alone knows which OAuth error code and which status stand for what.

// An errorCode is the "error" of an answer.
type errorCode string

const (
	codeNone                 errorCode = "unauthorized"            // no credentials: RFC 6750 section 3.1 wants no code in the challenge
	codeInvalidRequest       errorCode = "invalid_request"         // RFC 6749 section 5.2, RFC 6750 section 3.1
	codeInvalidClient        errorCode = "invalid_client"          // RFC 6749 section 5.2
	codeUnsupportedGrantType errorCode = "unsupported_grant_type"  // RFC 6749 section 5.2
	codeInvalidScope         errorCode = "invalid_scope"           // RFC 6749 section 5.2
	codeInvalidTarget        errorCode = "invalid_target"          // RFC 8707 section 2
	codeInvalidToken         errorCode = "invalid_token"           // RFC 6750 section 3.1
	codeInsufficientScope    errorCode = "insufficient_scope"      // RFC 6750 section 3.1
	codeUnavailable          errorCode = "temporarily_unavailable" // RFC 6749 section 4.1.2.1, with the status it could not have there
)

var statusOf = map[errorCode]int{
	codeNone:                 http.StatusUnauthorized,
	codeInvalidRequest:       http.StatusBadRequest,
	codeInvalidClient:        http.StatusUnauthorized,
	codeUnsupportedGrantType: http.StatusBadRequest,
	codeInvalidScope:         http.StatusBadRequest,
	codeInvalidTarget:        http.StatusBadRequest,
	codeInvalidToken:         http.StatusUnauthorized,
	codeInsufficientScope:    http.StatusForbidden,
	codeUnavailable:          http.StatusServiceUnavailable,
}

// retryAfter is the Retry-After of a 503, in seconds: the store is asked anew with each request.
const retryAfter = "1"

// A refusal is an answer other than the one that was asked for: an ordinary result, which the
// client caused, or an outage (codeUnavailable), which it did not.
type refusal struct {
	code        errorCode
	description string
	scope       string // insufficient_scope: what the request needs
	cause       error  // for the log; never shown
	keyID       string // for events: who was refused, if they have proven to be that
}

func (r *refusal) Error() string { return string(r.code) + ": " + r.description }
func (r *refusal) Unwrap() error { return r.cause }

func refuse(code errorCode, description string) *refusal {
	return &refusal{code: code, description: description}
}

// unavailable is the answer when nothing is known: never that the credential is wrong.
func unavailable(cause error) *refusal {
	return &refusal{code: codeUnavailable, description: "the keys cannot be checked right now; try again", cause: cause}
}

// clientRefusal is the answer of the token endpoint to an error of the keystore. Whether the key
// ID or the secret was wrong is not told, nor that a record was altered: whoever asks has not
// proven who they are.
func clientRefusal(err error) *refusal {
	if errors.Is(err, keystore.ErrCredentials) || errors.Is(err, keystore.ErrAltered) {
		return &refusal{code: codeInvalidClient, description: keystore.ErrCredentials.Error(), cause: err}
	}
	return unavailable(err)
}

// basicRefusal is the answer to a key ID and a secret in front of an upstream.
func basicRefusal(err error) *refusal {
	refused := clientRefusal(err)
	if refused.code == codeInvalidClient {
		refused.code = codeInvalidToken
	}
	return refused
}

// tokenRefusal is the answer to an access token that does not verify. The reason is told once
// the signature is proven; before that, it would only help somebody who tries tokens out.
func tokenRefusal(err error) *refusal {
	if token.Proven(err) {
		return &refusal{code: codeInvalidToken, description: "the access token is refused: " + err.Error(), cause: err, keyID: token.ProvenClient(err)}
	}
	return &refusal{code: codeInvalidToken, description: "this is not a valid access token of this gateway", cause: err}
}

// keyRefusal is the answer to a proven token whose key could not be read. The key of a Deployment
// that was deleted is gone too.
func keyRefusal(err error, deploymentGone bool) *refusal {
	switch {
	case deploymentGone:
		return &refusal{code: codeInvalidToken, description: "the Deployment of this access token was deleted", cause: err}
	case errors.Is(err, keystore.ErrNotFound):
		return &refusal{code: codeInvalidToken, description: "the key of this access token was deleted", cause: err}
	case errors.Is(err, keystore.ErrAltered):
		return &refusal{code: codeInvalidToken, description: "the record of this access token's key was altered; delete the key and make a new one", cause: err}
	}
	return unavailable(err)
}

// write answers with the refusal. The caller has set the challenge where there is one.
func (r *refusal) write(w http.ResponseWriter) error {
	if r.code == codeUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	return writeJSON(w, statusOf[r.code], struct {
		Error       errorCode `json:"error"`
		Description string    `json:"error_description"`
	}{r.code, printable(r.description)})
}

// bearerChallenge is the WWW-Authenticate of RFC 6750 section 3.
func (r *refusal) bearerChallenge(realm string) string {
	var b strings.Builder
	b.WriteString(`Bearer realm="` + realm + `"`)
	if r.code != codeNone {
		b.WriteString(`, error="` + string(r.code) + `", error_description="` + printable(r.description) + `"`)
		if r.scope != "" {
			b.WriteString(`, scope="` + r.scope + `"`)
		}
	}
	return b.String()
}

// basicChallenge is the WWW-Authenticate of RFC 7617 section 2.
func basicChallenge(realm string) string { return `Basic realm="` + realm + `", charset="UTF-8"` }

// printable keeps a description to the characters that RFC 6749 section 5.2 and RFC 6750
// section 3 allow in it: it may name what a client sent.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, s)
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // the type is JSON and nosniff; people read it in a terminal
	if err := encoder.Encode(body); err != nil {
		return err
	}
	return writeEncoded(w, status, encoded.Bytes())
}

// writeEncoded answers with JSON that nobody may keep (RFC 6749 section 5.1), unless the caller
// has said otherwise.
func writeEncoded(w http.ResponseWriter, status int, encoded []byte) error {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	if header.Get("Cache-Control") == "" {
		header.Set("Cache-Control", "no-store")
		header.Set("Pragma", "no-cache")
	}
	w.WriteHeader(status)
	_, err := w.Write(encoded)
	return err
}
