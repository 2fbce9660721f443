package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// A Check is one of the things that an access token has to pass, in their order. Refusals name the
// one that they come from.
type Check string

const (
	CheckForm       Check = "form"       // it is a signed JWT as this gateway writes them
	CheckSignature  Check = "signature"  // one of the signing keys has signed it
	CheckClaims     Check = "claims"     // it says all that is needed, in the right types
	CheckIssuer     Check = "issuer"     // iss is this gateway's
	CheckAudience   Check = "audience"   // aud is one of those configured
	CheckTime       Check = "time"       // it is not expired, and not of the future
	CheckHolder     Check = "holder"     // its key is there, or its user is a member of the Deployment
	CheckRevocation Check = "revocation" // neither it was revoked, nor all of its key, its Deployment, or the gateway
	CheckDeployment Check = "deployment" // it is of the Deployment that a request is for
	CheckScope      Check = "scope"      // it may do what a request needs

	// checkAddress comes after checkRevocation, where it matters: most keys are allowed from everywhere.
	CheckAddress Check = "address" // its key allows the address that a request comes from
)

var allChecks = [...]Check{
	CheckForm, CheckSignature, CheckClaims, CheckIssuer, CheckAudience, CheckTime,
	CheckHolder, CheckRevocation, CheckDeployment, CheckScope,
}

// checkOf is the check from which an error of [token.Verifier.Verify] comes.
func checkOf(err error) Check {
	switch {
	case errors.Is(err, token.ErrAlgorithm), errors.Is(err, token.ErrUnknownKey), errors.Is(err, token.ErrSignature):
		return CheckSignature
	case errors.Is(err, token.ErrClaims):
		return CheckClaims
	case errors.Is(err, token.ErrIssuer):
		return CheckIssuer
	case errors.Is(err, token.ErrAudience):
		return CheckAudience
	case errors.Is(err, token.ErrExpired), errors.Is(err, token.ErrNotYetValid):
		return CheckTime
	}
	return CheckForm
}

// An Explanation says which checks an access token passes, and how a request with it is answered.
// It is for operators: it also tells what a stranger is not told.
type Explanation struct {
	// Verdict is "accepted"; or "refused"; or "unknown", when the store cannot be asked.
	Verdict string `json:"verdict"`

	// What a request with the token is answered, unless it is passed on.
	Status      int    `json:"status,omitempty"`
	Error       string `json:"error,omitempty"`
	Description string `json:"error_description,omitempty"`

	// Checks are all there are, in their order. That of the address is left out when no address is
	// given, unless the key has a limit.
	Checks []ExplainedCheck `json:"checks"`

	// Token is what the token says, also when that is not proven; nothing when it cannot be read.
	Token *ExplainedToken `json:"token,omitempty"`
}

// An ExplainedCheck is how a token fares in one check.
type ExplainedCheck struct {
	Check  string `json:"check"`
	Result string `json:"result"` // "passed", "failed", "unknown" when the store cannot be asked, or "skipped"
	Detail string `json:"detail,omitempty"`
}

// An ExplainedToken is what a token says.
type ExplainedToken struct {
	Algorithm    string    `json:"alg"`
	KeyID        string    `json:"kid"`
	Type         string    `json:"typ"`
	Issuer       string    `json:"iss"`
	Subject      string    `json:"sub"`
	Audience     string    `json:"aud"`
	ClientID     string    `json:"client_id"`
	ID           string    `json:"jti"`
	IssuedAt     time.Time `json:"iat"`
	ExpiresAt    time.Time `json:"exp"`
	Scope        string    `json:"scope"`
	DeploymentID string    `json:"deployment_id"`
}

// Explain says how a token fares in every check. deployment, need and the address from are of the
// request that it is for; what is not given ("", 0, the zero Addr) is not checked.
func (a *Authority) Explain(ctx context.Context, raw, deployment string, need keystore.Scopes, from netip.Addr) Explanation {
	e := &explaining{results: make(map[Check]ExplainedCheck, len(allChecks)+1)}
	if from.IsValid() {
		e.skipped(CheckAddress, "")
	}
	said, err := token.Peek(raw)
	if said.Type != "" || err == nil {
		e.token = showToken(said)
	}
	if err != nil {
		e.unread = &Refusal{Code: CodeInvalidToken, Check: checkOf(err), Cause: err, Description: tokenRefusal(err).Description}
	}
	verified := a.explainToken(ctx, e, raw)
	if verified != nil {
		a.explainHolder(ctx, e, verified, deployment, need, from)
	}
	return e.explanation()
}

// explainToken does the checks of the token alone. It returns what the token says if that is proven,
// even if it is refused: there may be more than one reason.
func (a *Authority) explainToken(ctx context.Context, e *explaining, raw string) *token.Verified {
	verified, refused := a.Verify(ctx, raw)
	if refused != nil {
		// In an outage, what can be said without the signing keys.
		if refused.Check == "" && e.unread != nil {
			refused = e.unread
		} else if refused.Check == "" {
			refused.Check = CheckSignature
		}
		e.failed(refused)
		for _, earlier := range allChecks {
			if earlier == refused.Check {
				break
			}
			e.passed(earlier, "")
		}
		proven, ok := token.ProvenToken(refused.Cause)
		if !ok {
			return nil
		}
		verified = *proven
	} else {
		for _, c := range allChecks[:6] {
			e.passed(c, "")
		}
	}
	e.detail(CheckSignature, "by the key "+verified.KeyID)
	e.detail(CheckIssuer, verified.Issuer)
	e.detail(CheckAudience, verified.Audience)
	e.detail(CheckTime, "valid until "+verified.ExpiresAt.Format(time.RFC3339))
	return &verified
}

// explainHolder does the checks of what hangs on the token, and of the request.
func (a *Authority) explainHolder(ctx context.Context, e *explaining, verified *token.Verified, deployment string, need keystore.Scopes, from netip.Addr) {
	user := verified.ClientID == UserClient
	if user && deployment == "" {
		e.skipped(CheckHolder, "user "+verified.Subject+": say for which Deployment a request is")
		e.skipped(CheckDeployment, "a user's token is of none")
		e.skipped(CheckScope, "")
		if refused := a.userTokenAlive(ctx, verified); refused != nil {
			e.failed(refused)
			return
		}
		e.passed(CheckRevocation, "")
		return
	}
	id, refused := a.holder(ctx, verified, deployment)
	if refused != nil {
		if refused.Check == "" {
			refused.Check = CheckHolder
		}
		e.failed(refused)
		if refused.Check == CheckRevocation && !user {
			e.passed(CheckHolder, "key "+verified.ClientID)
		}
		return
	}
	if user {
		e.passed(CheckHolder, "user "+id.User+", a member of Deployment "+id.DeploymentID)
	} else {
		e.passed(CheckHolder, "key "+id.KeyID+" of Deployment "+id.DeploymentID)
	}
	e.passed(CheckRevocation, "")
	e.address(id, from)
	switch {
	case deployment == "":
		e.skipped(CheckDeployment, "say for which Deployment a request is")
	case id.DeploymentID != deployment:
		e.failed(OtherDeployment(id, deployment))
	default:
		e.passed(CheckDeployment, deployment)
	}
	switch {
	case need == 0:
		e.skipped(CheckScope, "say which scopes a request needs; the token has: "+id.Scopes.String())
	case !id.Scopes.Has(need):
		e.failed(missingScope(id, need))
	default:
		e.passed(CheckScope, id.Scopes.String())
	}
}

// explaining collects what the checks say.
type explaining struct {
	results map[Check]ExplainedCheck
	token   *ExplainedToken
	unread  *Refusal // why the token is refused that needs no key to see; or nil
	first   *Refusal // the answer to a request: that of the first check that is not passed
}

func (e *explaining) passed(c Check, detail string)  { e.set(c, "passed", detail) }
func (e *explaining) skipped(c Check, detail string) { e.set(c, "skipped", detail) }

func (e *explaining) failed(refused *Refusal) {
	result, detail := "failed", refused.Description
	if refused.Code == CodeUnavailable {
		result = "unknown"
	}
	// To an operator the reason is told that a stranger is not.
	if refused.Cause != nil {
		detail = refused.Cause.Error()
	}
	e.set(refused.Check, result, detail)
	if e.first == nil {
		e.first = refused
	}
}

// address is the check of where a request comes from.
func (e *explaining) address(id Identity, from netip.Addr) {
	switch {
	case from.IsValid() && !id.allowedIPs().Allow(from):
		e.failed(otherAddress(from.String()))
	case from.IsValid():
		e.passed(CheckAddress, from.String())
	case len(id.allowedIPs()) != 0:
		e.skipped(CheckAddress, "say from which address a request comes; the key allows: "+strings.Trim(fmt.Sprint(id.allowedIPs()), "[]"))
	}
}

func (e *explaining) set(c Check, result, detail string) {
	e.results[c] = ExplainedCheck{Check: string(c), Result: result, Detail: detail}
}

// detail adds to a check that was passed.
func (e *explaining) detail(c Check, detail string) {
	if result := e.results[c]; result.Result == "passed" {
		e.passed(c, detail)
	}
}

func (e *explaining) explanation() Explanation {
	explained := Explanation{Verdict: "accepted", Token: e.token}
	if e.first != nil {
		explained.Verdict = "refused"
		if e.first.Code == CodeUnavailable {
			explained.Verdict = "unknown"
		}
		explained.Status, explained.Error = statusOf[e.first.Code], string(e.first.Code)
		explained.Description = Printable(e.first.Description)
	}
	for _, c := range allChecks {
		result, done := e.results[c]
		if !done {
			result = ExplainedCheck{Check: string(c), Result: "skipped"}
		}
		explained.Checks = append(explained.Checks, result)
		if address, done := e.results[CheckAddress]; done && c == CheckRevocation {
			explained.Checks = append(explained.Checks, address)
		}
	}
	return explained
}

func showToken(said token.Unproven) *ExplainedToken {
	c := said.Claims
	return &ExplainedToken{
		Algorithm: said.Algorithm, KeyID: said.KeyID, Type: said.Type,
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, ClientID: c.ClientID, ID: c.ID,
		IssuedAt: c.IssuedAt.UTC(), ExpiresAt: c.ExpiresAt.UTC(), Scope: c.Scope, DeploymentID: c.DeploymentID,
	}
}
