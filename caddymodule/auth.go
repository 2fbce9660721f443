package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/access"
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
	route  access.Route
	target target
}

// ScopeRule says which scope requests with some methods need.
type ScopeRule struct {
	// One of deploy, airflow:read, airflow:write.
	Scope string `json:"scope,omitempty"`

	// The HTTP methods that it is for. Default: all.
	Methods []string `json:"methods,omitempty"`
}

const DefaultRealm = "deployment_keys"

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
	if err := h.prepare(); err != nil {
		return err
	}
	h.app, err = AppOf(ctx)
	return err
}

func (h *Auth) prepare() error {
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
		h.route.Rules = append(h.route.Rules, access.Rule{Scopes: scope, Methods: rule.Methods})
	}
	if len(h.route.Rules) == 0 {
		h.route.Rules = []access.Rule{{Scopes: keystore.AllScopes}}
	}
	h.route.AnyDeployment, h.route.Basic = h.AnyDeployment, h.Basic
	if h.Realm == "" {
		h.Realm = DefaultRealm
	}
	if access.Printable(h.Realm) != h.Realm {
		return fmt.Errorf("deployment_auth: realm %q: use ASCII without quotes", h.Realm)
	}
	return nil
}

// ServeHTTP decides, and passes the request on or answers it.
func (h *Auth) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	deployment := ""
	if !h.AnyDeployment {
		deployment = h.target.of(r, repl)
	}
	id, refused := h.app.authority.Authorize(r, &h.route, deployment)
	if refused != nil {
		return h.refuse(w, r, refused)
	}
	metrics.auth.passed.Inc()
	h.app.authority.Accepted(&id, r)
	id.SetHeaders(r, h.PassAuthorization)
	setPlaceholders(repl, &id)
	if h.app.identityWanted {
		leave(r, id)
	}
	return next.ServeHTTP(w, r)
}

func setPlaceholders(repl *caddy.Replacer, id *access.Identity) {
	repl.Set("http.auth.user.id", id.Name())
	repl.Set("http.auth.user.deployment", id.DeploymentID)
	repl.Set("http.auth.user.scopes", scopeValues[id.Scopes&keystore.AllScopes])
}

// scopeValues are the values of the placeholder, made once: a string in an interface is an
// allocation.
var scopeValues = func() (values [keystore.AllScopes + 1]any) {
	for set := range values {
		values[set] = keystore.Scopes(set).String()
	}
	return values
}()

// refuse answers with the challenge that fits what the client sent. A client that sent nothing
// and may use Basic is told of Basic alone: registry clients take any Bearer challenge for the
// address of a token server.
func (h *Auth) refuse(w http.ResponseWriter, r *http.Request, refused *access.Refusal) error {
	ip := clientIP(r)
	h.app.refused(&metrics.auth, refused, ip, zap.String("remote_ip", ip), zap.String("method", r.Method))
	access.WithoutBody(w, r)
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case refused.Code == access.CodeUnavailable:
	case h.Basic && (refused.Code == access.CodeNone || strings.EqualFold(scheme, "Basic")):
		w.Header().Set("WWW-Authenticate", access.BasicChallenge(h.Realm))
	default:
		w.Header().Set("WWW-Authenticate", refused.BearerChallenge(h.Realm))
	}
	return refused.Write(w)
}

// clientIP is the client's address as Caddy has it: that of the connection, or the one that a trusted proxy says.
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// OriginalURL returns the URL that the client of a request has sent, whatever rewrites have made of it.
func OriginalURL(r *http.Request) *url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Auth)(nil)
	_ caddyhttp.MiddlewareHandler = (*Auth)(nil)
)
