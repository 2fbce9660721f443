package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

func init() {
	caddy.RegisterModule(Auth{})
}

// Auth lets a request pass to the handlers after it only with an access token of the right
// Deployment and with the right scopes, or answers it: 401, 403, 400, or 503 when the key of
// the token cannot be checked (RFC 6750).
//
// The upstream learns who it was from the headers X-Deployment-Id, X-Deployment-Key-Id and
// X-Deployment-Scopes; whatever a client sent in their place, in any spelling, is removed. Later
// handlers and the access log have the placeholders {http.auth.user.id} (the key ID),
// {http.auth.user.deployment} and {http.auth.user.scopes}.
type Auth struct {
	// The ID of the Deployment that a request is for. Placeholders are allowed, and make the
	// decision depend on the request: {http.request.host.labels.3}. A request for which it comes
	// out empty is refused. Required, unless any_deployment is set.
	Deployment string `json:"deployment,omitempty"`

	// Lets tokens of every Deployment pass. It is for a route that is of no one Deployment,
	// whose upstream looks into the body for it: that upstream must compare what it finds there
	// with the X-Deployment-Id header.
	AnyDeployment bool `json:"any_deployment,omitempty"`

	// The scopes that requests need, by method. A request needs the scopes of every rule that is
	// for its method, and is refused when no rule is. Default: every request needs all scopes.
	Scopes []ScopeRule `json:"scopes,omitempty"`

	// Accepts HTTP Basic too: a key ID and its secret, or any user name with an access token as
	// the password. For clients that know nothing else, such as those of container registries.
	// Default: false.
	Basic bool `json:"basic,omitempty"`

	// Passes the Authorization header on to the upstream, which can then use the token as the
	// client can. Default: false, the header is removed.
	PassAuthorization bool `json:"pass_authorization,omitempty"`

	// The realm of the challenges. Default: deployment_keys.
	Realm string `json:"realm,omitempty"`

	app    *App
	rules  []scopeRule
	target target
}

// ScopeRule says which scope requests with some methods need.
type ScopeRule struct {
	// One of deploy, airflow:read, airflow:write.
	Scope string `json:"scope,omitempty"`

	// The HTTP methods that it is for. Default: all.
	Methods []string `json:"methods,omitempty"`
}

type scopeRule struct {
	scope   keystore.Scopes
	methods []string
}

const defaultRealm = "deployment_keys"

// CaddyModule returns the Caddy module information.
func (Auth) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.deployment_auth",
		New: func() caddy.Module { return new(Auth) },
	}
}

var methodName = regexp.MustCompile(`^[A-Z][A-Z-]*$`)

// Provision checks the configuration.
func (h *Auth) Provision(ctx caddy.Context) (err error) {
	switch {
	case h.Deployment == "" && !h.AnyDeployment:
		return errors.New("deployment_auth: which Deployment is a request for? Name it, for example {labels.3} or {path.0}, or set any_deployment")
	case h.Deployment != "" && h.AnyDeployment:
		return errors.New("deployment_auth: a Deployment and any_deployment exclude each other")
	}
	h.target = newTarget(h.Deployment)
	if !strings.Contains(h.Deployment, "{") && !h.AnyDeployment {
		if err := keystore.ValidateDeploymentID(h.Deployment); err != nil {
			return fmt.Errorf("deployment_auth: %w", err)
		}
	}
	for _, rule := range h.Scopes {
		scope, err := keystore.ParseScope(rule.Scope)
		if err != nil {
			return fmt.Errorf("deployment_auth: %w", err)
		}
		for _, method := range rule.Methods {
			if !methodName.MatchString(method) {
				return fmt.Errorf("deployment_auth: scope %s: %q is not a method in capitals", rule.Scope, method)
			}
		}
		h.rules = append(h.rules, scopeRule{scope, rule.Methods})
	}
	if len(h.rules) == 0 {
		h.rules = []scopeRule{{scope: keystore.AllScopes}}
	}
	if h.Realm == "" {
		h.Realm = defaultRealm
	}
	if printable(h.Realm) != h.Realm {
		return fmt.Errorf("deployment_auth: realm %q: use ASCII without quotes", h.Realm)
	}
	h.app, err = appOf(ctx)
	return err
}

// ServeHTTP decides, and passes the request on or answers it.
func (h *Auth) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	id, refused := h.authorize(r, repl)
	if refused != nil {
		return h.refuse(w, r, refused)
	}
	metrics.auth.passed.Inc()
	id.noteUse(h.app, r)
	id.attach(r, repl, h.PassAuthorization)
	if h.app.identityWanted {
		id.leave(r)
	}
	return next.ServeHTTP(w, r)
}

// authorize is the decision: a path with one reading, one credential, who that is of, and
// whether they may do this here. What a token says may be remembered; this is decided anew for
// each request.
func (h *Auth) authorize(r *http.Request, repl *caddy.Replacer) (identity, *refusal) {
	if refused := checkPath(r); refused != nil {
		return identity{}, refused
	}
	if refused := checkTrailers(r); refused != nil {
		return identity{}, refused
	}
	cred, refused := readCredential(r.Header, h.Basic)
	if refused != nil {
		return identity{}, refused
	}
	deployment := ""
	if !h.AnyDeployment {
		deployment = h.target.of(r, repl)
	}
	id, refused := h.app.identify(r.Context(), cred, deployment)
	if refused != nil {
		refused.claimedID, refused.deploymentID = cred.keyID, deployment
		return identity{}, refused
	}
	if refused = id.comeFrom(r); refused == nil {
		refused = h.decide(r.Method, id, deployment)
	}
	if refused != nil {
		refused.keyID, refused.user, refused.deploymentID = id.keyID, id.user, deployment
		refused.keyDeploymentID = id.deploymentID
		return identity{}, refused
	}
	return id, nil
}

// decide says whether one who was identified may do this here.
func (h *Auth) decide(method string, id identity, deployment string) *refusal {
	if !h.AnyDeployment && id.deploymentID != deployment {
		return otherDeployment(id, deployment)
	}
	need, covered := h.needs(method)
	switch {
	case !covered:
		return refuse(codeInsufficientScope, "no scope allows the method "+method+" here")
	case !id.scopes.Has(need):
		return missingScope(id, need)
	}
	return nil
}

// needs is what a request with this method needs, and whether any rule is for it.
func (h *Auth) needs(method string) (need keystore.Scopes, covered bool) {
	for _, rule := range h.rules {
		if len(rule.methods) == 0 || slices.Contains(rule.methods, method) {
			need, covered = need|rule.scope, true
		}
	}
	return need, covered
}

// refuse answers with the challenge that fits what the client sent. A client that sent nothing
// and may use Basic is told of Basic alone: registry clients take any Bearer challenge for the
// address of a token server.
func (h *Auth) refuse(w http.ResponseWriter, r *http.Request, refused *refusal) error {
	ip := clientIP(r)
	h.app.refused(&metrics.auth, refused, ip, zap.String("remote_ip", ip), zap.String("method", r.Method))
	withoutBody(w, r)
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case refused.code == codeUnavailable:
	case h.Basic && (refused.code == codeNone || strings.EqualFold(scheme, "Basic")):
		w.Header().Set("WWW-Authenticate", basicChallenge(h.Realm))
	default:
		w.Header().Set("WWW-Authenticate", refused.bearerChallenge(h.Realm))
	}
	return refused.write(w)
}

func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Auth)(nil)
	_ caddyhttp.MiddlewareHandler = (*Auth)(nil)
)
