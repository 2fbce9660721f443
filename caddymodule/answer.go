package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/deploymentkeys/gateway/internal/redact"
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
	codeUnauthorizedClient   errorCode = "unauthorized_client"     // RFC 6749 section 5.2: from a wrong address; RFC 7009 section 2.1 leaves open which one says that a token is another client's
	codeAccessDenied         errorCode = "access_denied"           // RFC 6749 section 4.1.2.1
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
	codeUnauthorizedClient:   http.StatusBadRequest,
	codeAccessDenied:         http.StatusForbidden,
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
	check       check  // which check of a token it did not pass; "": one of the request, or none
	cause       error  // for the log; never shown

	// For events and the audit log: who was refused, if they have proven to be that, and of which
	// Deployment a key is; the Deployment that the request was for; and, of those who have not proven to
	// be anybody, the key ID that they sent.
	keyID, user     string
	keyDeploymentID string
	deploymentID    string
	claimedID       string
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
// proven who they are. Who gets ErrExpired has.
func clientRefusal(err error, keyID string) *refusal {
	switch {
	case errors.Is(err, keystore.ErrExpired):
		return &refusal{code: codeInvalidClient, description: err.Error(), keyID: keyID}
	case errors.Is(err, keystore.ErrCredentials), errors.Is(err, keystore.ErrAltered):
		return &refusal{code: codeInvalidClient, description: keystore.ErrCredentials.Error(), cause: err}
	}
	return unavailable(err)
}

// clientElsewhere is the answer of the token endpoint to the right secret from a wrong address. The
// client is authenticated and may not do what it asks for: of the codes of RFC 6749 section 5.2 that is
// unauthorized_client. With invalid_client it would be told to look for another secret.
func clientElsewhere(keyID, clientIP string) *refusal {
	return &refusal{code: codeUnauthorizedClient, description: "this key" + elsewhere(clientIP), keyID: keyID}
}

// otherAddress is the answer to a credential that is good, but not from there. It is no invalid_token
// (RFC 6750 section 3.1): the client would get itself another token, which is of no use there either.
func otherAddress(clientIP string) *refusal {
	refused := refuse(codeInsufficientScope, "this credential"+elsewhere(clientIP))
	refused.check = checkAddress
	return refused
}

// elsewhere tells which address was seen: behind a proxy that is not trusted it is the proxy's.
func elsewhere(clientIP string) string {
	if clientIP == "" {
		clientIP = "of this request, which is no IP address"
	}
	return " is not allowed from the address " + clientIP
}

// basicRefusal is the answer to a key ID and a secret in front of an upstream.
func basicRefusal(err error, keyID string) *refusal {
	refused := clientRefusal(err, keyID)
	if refused.code == codeInvalidClient {
		refused.code = codeInvalidToken
	}
	return refused
}

// tokenRefusal is the answer to an access token that does not verify. The reason is told once
// the signature is proven; before that, it would only help somebody who tries tokens out.
func tokenRefusal(err error) *refusal {
	if !token.Proven(err) {
		return &refusal{code: codeInvalidToken, description: "this is not a valid access token of this gateway", check: checkOf(err), cause: err}
	}
	keyID := token.ProvenClient(err)
	if keyID == userClient {
		keyID = ""
	}
	return &refusal{code: codeInvalidToken, description: "the access token is refused: " + err.Error(), check: checkOf(err), cause: err, keyID: keyID}
}

// invalidHolder is the answer to a proven token that is of nobody.
func invalidHolder(description string) *refusal {
	return &refusal{code: codeInvalidToken, description: description, check: checkHolder}
}

// keyRefusal is the answer to a proven token whose key could not be read. The key of a Deployment
// that was deleted is gone too.
func keyRefusal(err error, deploymentGone bool) *refusal {
	switch {
	case deploymentGone:
		return invalidHolder(deploymentDeleted)
	case errors.Is(err, keystore.ErrNotFound):
		return invalidHolder("the key of this access token was deleted")
	case errors.Is(err, keystore.ErrAltered):
		return alteredRefusal("the record of this access token's key was altered; delete the key and make a new one", err)
	}
	return unavailable(err)
}

// expiredKey is the answer to a proven token whose key is expired.
func expiredKey(key *keystore.Key) *refusal {
	return invalidHolder("the key of this access token expired at " + key.ExpiresAt.UTC().Format(time.RFC3339))
}

const deploymentDeleted = "the Deployment of this access token was deleted"

// deploymentRefusal is the answer to a proven token whose Deployment could not be read.
func deploymentRefusal(err error) *refusal {
	switch {
	case errors.Is(err, keystore.ErrNotFound):
		return invalidHolder(deploymentDeleted)
	case errors.Is(err, keystore.ErrAltered):
		return alteredRefusal("the record of this access token's Deployment was altered; delete the Deployment and make it anew", err)
	}
	return unavailable(err)
}

// alteredRefusal is the answer to a proven token of which a record was altered: it grants nothing.
func alteredRefusal(description string, err error) *refusal {
	refused := invalidHolder(description)
	refused.cause = err
	return refused
}

// notMember is the answer to a user's token in a Deployment in which they have no role.
func notMember(user, deployment string) *refusal {
	refused := refuse(codeInsufficientScope, user+" is not a member of "+deployment)
	refused.check = checkHolder
	return refused
}

// otherDeployment is the answer to a credential in a Deployment that it is not of. What was asked for
// is repeated only where it can be a Deployment: otherwise it is a text of the client's.
func otherDeployment(id identity, asked string) *refusal {
	if keystore.ValidateDeploymentID(asked) != nil {
		asked = "another"
	}
	refused := refuse(codeInsufficientScope, "this credential is of Deployment "+id.deploymentID+", and the request is for "+asked)
	refused.check = checkDeployment
	return refused
}

// missingScope is the answer to a credential that lacks a scope.
func missingScope(id identity, need keystore.Scopes) *refusal {
	return &refusal{
		code:        codeInsufficientScope,
		description: "this request needs the scope " + need.String() + "; the credential has " + id.scopes.String(),
		scope:       need.String(),
		check:       checkScope,
	}
}

// revokedRefusal is the answer to a token that was revoked, alone or with others at a time.
func revokedRefusal(how string, at time.Time) *refusal {
	description := "the access token is refused: " + how
	if !at.IsZero() {
		description += " at " + at.UTC().Format(time.RFC3339)
	}
	return &refusal{code: codeInvalidToken, description: description, check: checkRevocation}
}

// revocationRefusal is the answer when a token was not revoked. 503 means that it lives on (RFC 7009
// section 2.2.1).
func revocationRefusal(err error) *refusal {
	refused := unavailable(err)
	if errors.Is(err, keystore.ErrLimit) {
		refused.description = "the token was not revoked: " + err.Error()
	}
	return refused
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

// withoutBody lets a refusal go out when the client waits for 100 Continue before it sends the body (RFC 9110 section
// 10.1.1). Caddy hides from net/http that it waits, and net/http would read the body before it sends the answer, and so
// wait as well. It does not where the connection ends with the answer.
//
// A client that sends its body a byte at a time is waited for no longer than one whose body is read: Caddy bounds how long
// net/http reads only where read_idle_timeout is not switched off, and by a minute.
func withoutBody(w http.ResponseWriter, r *http.Request) {
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
// section 3 allow in it, and credentials out of it: it may name what a client sent.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, redact.Text(s))
}

// A jsonAppender writes itself as JSON without reflection: what is answered often.
type jsonAppender interface{ appendJSON(text []byte) []byte }

func writeJSON(w http.ResponseWriter, status int, body any) error {
	if appender, ok := body.(jsonAppender); ok {
		return writeEncoded(w, status, append(appender.appendJSON(make([]byte, 0, usualAnswer)), '\n'))
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // the type is JSON and nosniff; people read it in a terminal
	if err := encoder.Encode(body); err != nil {
		return err
	}
	return writeEncoded(w, status, encoded.Bytes())
}

// usualAnswer is room for an access token and what is said of it.
const usualAnswer = 1 << 10

// writeEncoded answers with JSON that nobody may keep (RFC 6749 section 5.1), whatever the site says of
// its answers.
func writeEncoded(w http.ResponseWriter, status int, encoded []byte) error {
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
