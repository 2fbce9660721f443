package access

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/deploymentkeys/gateway/internal/redact"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// This file alone knows which OAuth error code and which status stand for what.

// A Code is the "error" of an answer.
type Code string

const (
	CodeNone                 Code = "unauthorized"            // no credentials: RFC 6750 section 3.1 wants no code in the challenge
	CodeInvalidRequest       Code = "invalid_request"         // RFC 6749 section 5.2, RFC 6750 section 3.1
	CodeInvalidClient        Code = "invalid_client"          // RFC 6749 section 5.2
	CodeUnsupportedGrantType Code = "unsupported_grant_type"  // RFC 6749 section 5.2
	CodeInvalidScope         Code = "invalid_scope"           // RFC 6749 section 5.2
	CodeInvalidTarget        Code = "invalid_target"          // RFC 8707 section 2
	CodeInvalidToken         Code = "invalid_token"           // RFC 6750 section 3.1
	CodeInsufficientScope    Code = "insufficient_scope"      // RFC 6750 section 3.1
	CodeUnauthorizedClient   Code = "unauthorized_client"     // RFC 6749 section 5.2: from a wrong address; RFC 7009 section 2.1 leaves open which one says that a token is another client's
	CodeAccessDenied         Code = "access_denied"           // RFC 6749 section 4.1.2.1
	CodeUnavailable          Code = "temporarily_unavailable" // RFC 6749 section 4.1.2.1, with the status it could not have there
)

var statusOf = map[Code]int{
	CodeNone:                 http.StatusUnauthorized,
	CodeInvalidRequest:       http.StatusBadRequest,
	CodeInvalidClient:        http.StatusUnauthorized,
	CodeUnsupportedGrantType: http.StatusBadRequest,
	CodeInvalidScope:         http.StatusBadRequest,
	CodeInvalidTarget:        http.StatusBadRequest,
	CodeInvalidToken:         http.StatusUnauthorized,
	CodeInsufficientScope:    http.StatusForbidden,
	CodeUnauthorizedClient:   http.StatusBadRequest,
	CodeAccessDenied:         http.StatusForbidden,
	CodeUnavailable:          http.StatusServiceUnavailable,
}

// Codes returns all codes there are, in order.
func Codes() []Code { return slices.Sorted(maps.Keys(statusOf)) }

// Status returns the HTTP status of answers with a code.
func (c Code) Status() int { return statusOf[c] }

// retryAfter is the Retry-After of a 503, in seconds: the store is asked anew with each request.
const retryAfter = "1"

// A Refusal is an answer other than the one that was asked for: an ordinary result, which the
// client caused, or an outage (codeUnavailable), which it did not.
type Refusal struct {
	Code        Code
	Description string
	Scope       string // insufficient_scope: what the request needs
	Check       Check  // which check of a token it did not pass; "": one of the request, or none
	Cause       error  // for the log; never shown

	// For events and the audit log: who was refused, if they have proven to be that, and of which
	// Deployment a key is; the Deployment that the request was for; and, of those who have not proven to
	// be anybody, the key ID that they sent.
	Key, User     string
	KeyDeployment string
	Deployment    string
	ClaimedKey    string
}

func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Description }
func (r *Refusal) Unwrap() error { return r.Cause }

func Refuse(code Code, description string) *Refusal {
	return &Refusal{Code: code, Description: description}
}

// Unavailable is the answer when nothing is known: never that the credential is wrong.
func Unavailable(cause error) *Refusal {
	return &Refusal{Code: CodeUnavailable, Description: "the keys cannot be checked right now; try again", Cause: cause}
}

// clientRefusal is the answer of the token endpoint to an error of the keystore. Whether the key
// ID or the secret was wrong is not told, nor that a record was altered: whoever asks has not
// proven who they are. Who gets ErrExpired has.
func clientRefusal(err error, keyID string) *Refusal {
	switch {
	case errors.Is(err, keystore.ErrExpired):
		return &Refusal{Code: CodeInvalidClient, Description: err.Error(), Key: keyID}
	case errors.Is(err, keystore.ErrCredentials), errors.Is(err, keystore.ErrAltered):
		return &Refusal{Code: CodeInvalidClient, Description: keystore.ErrCredentials.Error(), Cause: err}
	}
	return Unavailable(err)
}

// clientElsewhere is the answer of the token endpoint to the right secret from a wrong address. The
// client is authenticated and may not do what it asks for: of the codes of RFC 6749 section 5.2 that is
// unauthorized_client. With invalid_client it would be told to look for another secret.
func clientElsewhere(keyID, clientIP string) *Refusal {
	return &Refusal{Code: CodeUnauthorizedClient, Description: "this key" + elsewhere(clientIP), Key: keyID}
}

// otherAddress is the answer to a credential that is good, but not from there. It is no invalid_token
// (RFC 6750 section 3.1): the client would get itself another token, which is of no use there either.
func otherAddress(clientIP string) *Refusal {
	refused := Refuse(CodeInsufficientScope, "this credential"+elsewhere(clientIP))
	refused.Check = CheckAddress
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
func basicRefusal(err error, keyID string) *Refusal {
	refused := clientRefusal(err, keyID)
	if refused.Code == CodeInvalidClient {
		refused.Code = CodeInvalidToken
	}
	return refused
}

// tokenRefusal is the answer to an access token that does not verify. The reason is told once
// the signature is proven; before that, it would only help somebody who tries tokens out.
func tokenRefusal(err error) *Refusal {
	if !token.Proven(err) {
		return &Refusal{Code: CodeInvalidToken, Description: "this is not a valid access token of this gateway", Check: checkOf(err), Cause: err}
	}
	keyID := token.ProvenClient(err)
	if keyID == UserClient {
		keyID = ""
	}
	return &Refusal{Code: CodeInvalidToken, Description: "the access token is refused: " + err.Error(), Check: checkOf(err), Cause: err, Key: keyID}
}

// invalidHolder is the answer to a proven token that is of nobody.
func invalidHolder(description string) *Refusal {
	return &Refusal{Code: CodeInvalidToken, Description: description, Check: CheckHolder}
}

// keyRefusal is the answer to a proven token whose key could not be read. The key of a Deployment
// that was deleted is gone too.
func keyRefusal(err error, deploymentGone bool) *Refusal {
	switch {
	case deploymentGone:
		return invalidHolder(deploymentDeleted)
	case errors.Is(err, keystore.ErrNotFound):
		return invalidHolder("the key of this access token was deleted")
	case errors.Is(err, keystore.ErrAltered):
		return alteredRefusal("the record of this access token's key was altered; delete the key and make a new one", err)
	}
	return Unavailable(err)
}

// expiredKey is the answer to a proven token whose key is expired.
func expiredKey(key *keystore.Key) *Refusal {
	return invalidHolder("the key of this access token expired at " + key.ExpiresAt.UTC().Format(time.RFC3339))
}

const deploymentDeleted = "the Deployment of this access token was deleted"

// deploymentRefusal is the answer to a proven token whose Deployment could not be read.
func deploymentRefusal(err error) *Refusal {
	switch {
	case errors.Is(err, keystore.ErrNotFound):
		return invalidHolder(deploymentDeleted)
	case errors.Is(err, keystore.ErrAltered):
		return alteredRefusal("the record of this access token's Deployment was altered; delete the Deployment and make it anew", err)
	}
	return Unavailable(err)
}

// alteredRefusal is the answer to a proven token of which a record was altered: it grants nothing.
func alteredRefusal(description string, err error) *Refusal {
	refused := invalidHolder(description)
	refused.Cause = err
	return refused
}

// notMember is the answer to a user's token in a Deployment in which they have no role.
func notMember(user, deployment string) *Refusal {
	refused := Refuse(CodeInsufficientScope, user+" is not a member of "+deployment)
	refused.Check = CheckHolder
	return refused
}

// OtherDeployment is the answer to a credential in a Deployment that it is not of. What was asked for
// is repeated only where it can be a Deployment: otherwise it is a text of the client's.
func OtherDeployment(id Identity, asked string) *Refusal {
	if keystore.ValidateDeploymentID(asked) != nil {
		asked = "another"
	}
	refused := Refuse(CodeInsufficientScope, "this credential is of Deployment "+id.DeploymentID+", and the request is for "+asked)
	refused.Check = CheckDeployment
	return refused
}

// missingScope is the answer to a credential that lacks a scope.
func missingScope(id Identity, need keystore.Scopes) *Refusal {
	return &Refusal{
		Code:        CodeInsufficientScope,
		Description: "this request needs the scope " + need.String() + "; the credential has " + id.Scopes.String(),
		Scope:       need.String(),
		Check:       CheckScope,
	}
}

// revokedRefusal is the answer to a token that was revoked, alone or with others at a time.
func revokedRefusal(how string, at time.Time) *Refusal {
	description := "the access token is refused: " + how
	if !at.IsZero() {
		description += " at " + at.UTC().Format(time.RFC3339)
	}
	return &Refusal{Code: CodeInvalidToken, Description: description, Check: CheckRevocation}
}

// revocationRefusal is the answer when a token was not revoked. 503 means that it lives on (RFC 7009
// section 2.2.1).
func revocationRefusal(err error) *Refusal {
	refused := Unavailable(err)
	if errors.Is(err, keystore.ErrLimit) {
		refused.Description = "the token was not revoked: " + err.Error()
	}
	return refused
}

// Write answers with the refusal. The caller has set the challenge where there is one.
func (r *Refusal) Write(w http.ResponseWriter) error {
	if r.Code == CodeUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	return WriteJSON(w, statusOf[r.Code], struct {
		Error       Code   `json:"error"`
		Description string `json:"error_description"`
	}{r.Code, Printable(r.Description)})
}

// BearerChallenge is the WWW-Authenticate of RFC 6750 section 3.
func (r *Refusal) BearerChallenge(realm string) string {
	var b strings.Builder
	b.WriteString(`Bearer realm="` + realm + `"`)
	if r.Code != CodeNone {
		b.WriteString(`, error="` + string(r.Code) + `", error_description="` + Printable(r.Description) + `"`)
		if r.Scope != "" {
			b.WriteString(`, scope="` + r.Scope + `"`)
		}
	}
	return b.String()
}

// BasicChallenge is the WWW-Authenticate of RFC 7617 section 2.
func BasicChallenge(realm string) string { return `Basic realm="` + realm + `", charset="UTF-8"` }

// Printable keeps a description to the characters that RFC 6749 section 5.2 and RFC 6750
// section 3 allow in it, and credentials out of it: it may name what a client sent.
func Printable(s string) string {
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
