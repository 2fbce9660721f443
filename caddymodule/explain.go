package caddymodule

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

// A check is one of the things that an access token has to pass, in their order. Refusals name the
// one that they come from.
type check string

const (
	checkForm       check = "form"       // it is a signed JWT as this gateway writes them
	checkSignature  check = "signature"  // one of the signing keys has signed it
	checkClaims     check = "claims"     // it says all that is needed, in the right types
	checkIssuer     check = "issuer"     // iss is this gateway's
	checkAudience   check = "audience"   // aud is one of those configured
	checkTime       check = "time"       // it is not expired, and not of the future
	checkHolder     check = "holder"     // its key is there, or its user is a member of the Deployment
	checkRevocation check = "revocation" // neither it was revoked, nor all of its key, its Deployment, or the gateway
	checkDeployment check = "deployment" // it is of the Deployment that a request is for
	checkScope      check = "scope"      // it may do what a request needs

	// checkAddress comes after checkRevocation, where it matters: most keys are allowed from everywhere.
	checkAddress check = "address" // its key allows the address that a request comes from
)

var allChecks = [...]check{
	checkForm, checkSignature, checkClaims, checkIssuer, checkAudience, checkTime,
	checkHolder, checkRevocation, checkDeployment, checkScope,
}

// checkOf is the check from which an error of [token.Verifier.Verify] comes.
func checkOf(err error) check {
	switch {
	case errors.Is(err, token.ErrAlgorithm), errors.Is(err, token.ErrUnknownKey), errors.Is(err, token.ErrSignature):
		return checkSignature
	case errors.Is(err, token.ErrClaims):
		return checkClaims
	case errors.Is(err, token.ErrIssuer):
		return checkIssuer
	case errors.Is(err, token.ErrAudience):
		return checkAudience
	case errors.Is(err, token.ErrExpired), errors.Is(err, token.ErrNotYetValid):
		return checkTime
	}
	return checkForm
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
func (a *App) Explain(ctx context.Context, raw, deployment string, need keystore.Scopes, from netip.Addr) Explanation {
	e := &explaining{results: make(map[check]ExplainedCheck, len(allChecks)+1)}
	if from.IsValid() {
		e.skipped(checkAddress, "")
	}
	said, err := token.Peek(raw)
	if said.Type != "" || err == nil {
		e.token = showToken(said)
	}
	if err != nil {
		e.unread = &refusal{code: codeInvalidToken, check: checkOf(err), cause: err, description: tokenRefusal(err).description}
	}
	verified := a.explainToken(ctx, e, raw)
	if verified != nil {
		a.explainHolder(ctx, e, verified, deployment, need, from)
	}
	return e.explanation()
}

// explainToken does the checks of the token alone. It returns what the token says if that is proven,
// even if it is refused: there may be more than one reason.
func (a *App) explainToken(ctx context.Context, e *explaining, raw string) *token.Verified {
	verified, refused := a.prove(ctx, raw)
	if refused != nil {
		// In an outage, what can be said without the signing keys.
		if refused.check == "" && e.unread != nil {
			refused = e.unread
		} else if refused.check == "" {
			refused.check = checkSignature
		}
		e.failed(refused)
		for _, earlier := range allChecks {
			if earlier == refused.check {
				break
			}
			e.passed(earlier, "")
		}
		proven, ok := token.ProvenToken(refused.cause)
		if !ok {
			return nil
		}
		verified = *proven
	} else {
		for _, c := range allChecks[:6] {
			e.passed(c, "")
		}
	}
	e.detail(checkSignature, "by the key "+verified.KeyID)
	e.detail(checkIssuer, verified.Issuer)
	e.detail(checkAudience, verified.Audience)
	e.detail(checkTime, "valid until "+verified.ExpiresAt.Format(time.RFC3339))
	return &verified
}

// explainHolder does the checks of what hangs on the token, and of the request.
func (a *App) explainHolder(ctx context.Context, e *explaining, verified *token.Verified, deployment string, need keystore.Scopes, from netip.Addr) {
	user := verified.ClientID == userClient
	if user && deployment == "" {
		e.skipped(checkHolder, "user "+verified.Subject+": say for which Deployment a request is")
		e.skipped(checkDeployment, "a user's token is of none")
		e.skipped(checkScope, "")
		if refused := a.userTokenAlive(ctx, verified); refused != nil {
			e.failed(refused)
			return
		}
		e.passed(checkRevocation, "")
		return
	}
	id, refused := a.holder(ctx, verified, deployment)
	if refused != nil {
		if refused.check == "" {
			refused.check = checkHolder
		}
		e.failed(refused)
		if refused.check == checkRevocation && !user {
			e.passed(checkHolder, "key "+verified.ClientID)
		}
		return
	}
	if user {
		e.passed(checkHolder, "user "+id.user+", a member of Deployment "+id.deploymentID)
	} else {
		e.passed(checkHolder, "key "+id.keyID+" of Deployment "+id.deploymentID)
	}
	e.passed(checkRevocation, "")
	e.address(id, from)
	switch {
	case deployment == "":
		e.skipped(checkDeployment, "say for which Deployment a request is")
	case id.deploymentID != deployment:
		e.failed(otherDeployment(id, deployment))
	default:
		e.passed(checkDeployment, deployment)
	}
	switch {
	case need == 0:
		e.skipped(checkScope, "say which scopes a request needs; the token has: "+id.scopes.String())
	case !id.scopes.Has(need):
		e.failed(missingScope(id, need))
	default:
		e.passed(checkScope, id.scopes.String())
	}
}

// explaining collects what the checks say.
type explaining struct {
	results map[check]ExplainedCheck
	token   *ExplainedToken
	unread  *refusal // why the token is refused that needs no key to see; or nil
	first   *refusal // the answer to a request: that of the first check that is not passed
}

func (e *explaining) passed(c check, detail string)  { e.set(c, "passed", detail) }
func (e *explaining) skipped(c check, detail string) { e.set(c, "skipped", detail) }

func (e *explaining) failed(refused *refusal) {
	result, detail := "failed", refused.description
	if refused.code == codeUnavailable {
		result = "unknown"
	}
	// To an operator the reason is told that a stranger is not.
	if refused.cause != nil {
		detail = refused.cause.Error()
	}
	e.set(refused.check, result, detail)
	if e.first == nil {
		e.first = refused
	}
}

// address is the check of where a request comes from.
func (e *explaining) address(id identity, from netip.Addr) {
	switch {
	case from.IsValid() && !id.allowedIPs().Allow(from):
		e.failed(otherAddress(from.String()))
	case from.IsValid():
		e.passed(checkAddress, from.String())
	case len(id.allowedIPs()) != 0:
		e.skipped(checkAddress, "say from which address a request comes; the key allows: "+strings.Trim(fmt.Sprint(id.allowedIPs()), "[]"))
	}
}

func (e *explaining) set(c check, result, detail string) {
	e.results[c] = ExplainedCheck{Check: string(c), Result: result, Detail: detail}
}

// detail adds to a check that was passed.
func (e *explaining) detail(c check, detail string) {
	if result := e.results[c]; result.Result == "passed" {
		e.passed(c, detail)
	}
}

func (e *explaining) explanation() Explanation {
	explained := Explanation{Verdict: "accepted", Token: e.token}
	if e.first != nil {
		explained.Verdict = "refused"
		if e.first.code == codeUnavailable {
			explained.Verdict = "unknown"
		}
		explained.Status, explained.Error = statusOf[e.first.code], string(e.first.code)
		explained.Description = printable(e.first.description)
	}
	for _, c := range allChecks {
		result, done := e.results[c]
		if !done {
			result = ExplainedCheck{Check: string(c), Result: "skipped"}
		}
		explained.Checks = append(explained.Checks, result)
		if address, done := e.results[checkAddress]; done && c == checkRevocation {
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
