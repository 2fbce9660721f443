package airflow

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule"
	"github.com/deploymentkeys/gateway/internal/caddyconf"
	"github.com/deploymentkeys/gateway/keystore"
)

func init() {
	caddy.RegisterModule(Token{})
}

// Token stands between deployment_auth and an Airflow 3 that trusts this gateway, and puts a
// token that Airflow accepts in the place of the client's. In Airflow each key is then a user of its
// own, with a role by its scopes.
//
// The token is made for each request and lives for minutes. Its issuer is that of the app, its
// subject the key ID, its audience airflow: and the ID of the Deployment that the credential is of.
// So the Airflow of another Deployment refuses it, as does this gateway. Airflow is told what to
// trust in its section [api_auth]: trusted_jwks_url, where AirflowJWKS answers, jwt_issuer and
// jwt_audience. Its clock must not differ from the gateway's by more than jwt_leeway, 10 seconds.
//
// Airflow gets no other credential: cookies are removed, and so are the cookies of its answers. Only
// its REST API is to be had, at /api/v2/ or at /DEPLOYMENT/api/v2/, without /api/v2/auth; any other
// path is answered 404. When Airflow does not take the gateway's token, the answer is 503.
type Token struct {
	// The role that a scope gives in Airflow's simple auth manager: VIEWER, USER, OP or ADMIN. A
	// credential with several scopes has the highest of their roles, and one with none of these
	// scopes is refused. Default: airflow:read gives VIEWER, which reads DAGs, runs and tasks, and
	// airflow:write gives USER, which also triggers and changes them. Connections, pools and
	// variables need OP.
	Roles map[string]string `json:"roles,omitempty"`

	// How long a token is valid: 1s to 1h. Airflow looks at it when a request begins. Default: 5m.
	Lifetime *caddy.Duration `json:"lifetime,omitempty"`

	app      gateway
	roles    []role // the highest first
	lifetime time.Duration
}

// A role is a role, and the scopes of which any gives it.
type role struct {
	name   string
	scopes keystore.Scopes
}

// roleNames are the roles of Airflow's simple auth manager, the highest first. To any other name
// Airflow answers each request with 500.
var roleNames = [...]string{"ADMIN", "OP", "USER", "VIEWER"}

const (
	audiencePrefix   = "airflow:"                    // and the ID of a Deployment
	taskAudience     = "urn:airflow.apache.org:task" // that of the API by which tasks report
	defaultLifetime  = 5 * time.Minute
	maxLifetime      = time.Hour
	defaultReadRole  = "VIEWER"
	defaultWriteRole = "USER"
)

// CaddyModule returns the Caddy module information.
func (Token) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.deployment_airflow_token",
		New: func() caddy.Module { return new(Token) },
	}
}

// Provision checks the configuration.
func (h *Token) Provision(ctx caddy.Context) (err error) {
	if h.roles, err = rolesOf(h.Roles); err != nil {
		return fmt.Errorf("deployment_airflow_token: %w", err)
	}
	if h.lifetime, err = caddyconf.Duration("deployment_airflow_token: lifetime", h.Lifetime, defaultLifetime, time.Second, maxLifetime); err != nil {
		return err
	}
	app, err := caddymodule.AppOf(ctx)
	if err != nil {
		return err
	}
	app.WantIdentity()
	h.app = app
	// Airflow looks at the audience, and not at what kind of token it is.
	for _, audience := range app.Audiences {
		if strings.HasPrefix(audience, audiencePrefix) || audience == taskAudience {
			return fmt.Errorf("deployment_airflow_token: with audience %s, an Airflow that trusts this gateway would take the access tokens of clients: "+
				"rename it in deployment_keys", audience)
		}
	}
	return nil
}

// rolesOf is the configured roles, and the default where a scope has none.
func rolesOf(configured map[string]string) ([]role, error) {
	byRole := make(map[string]keystore.Scopes)
	for name, role := range configured {
		scope, err := keystore.ParseScope(name)
		if err != nil {
			return nil, err
		}
		byRole[role] |= scope
	}
	for scope, role := range map[keystore.Scopes]string{
		keystore.ScopeAirflowRead: defaultReadRole, keystore.ScopeAirflowWrite: defaultWriteRole,
	} {
		if _, set := configured[scope.String()]; !set {
			byRole[role] |= scope
		}
	}
	var roles []role
	for _, name := range roleNames {
		if scopes := byRole[name]; scopes != 0 {
			roles = append(roles, role{name, scopes})
		}
		delete(byRole, name)
	}
	for name := range byRole {
		return nil, fmt.Errorf("role %q: use %s", name, strings.Join(roleNames[:], ", "))
	}
	return roles, nil
}

// ServeHTTP passes a request on with a token of the gateway's own.
func (h *Token) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	id, err := caddymodule.CallerOf(r)
	if err != nil {
		return err
	}
	if refused := access.CheckPath(r.URL, caddymodule.OriginalURL(r)); refused != nil {
		return refuse(h.app, w, r, id, id.DeploymentID, refused)
	}
	// At the root too, where an Airflow with a host of its own has its API. If it is another one that
	// answers there, it refuses the token, which is not for it.
	prefix := "/" + id.DeploymentID
	if !isAPI(r.URL.Path, prefix) && !isAPI(r.URL.Path, "") {
		return notTheAPI(w, r, prefix)
	}
	role, ok := h.roleOf(id.Scopes)
	if !ok {
		return refuse(h.app, w, r, id, id.DeploymentID,
			access.Refuse(access.CodeInsufficientScope, "none of the scopes of this credential gives a role in Airflow"))
	}
	raw, err := h.app.Authority().IssueUpstream(r.Context(), id, audiencePrefix+id.DeploymentID, role, h.lifetime)
	if err != nil {
		return refuse(h.app, w, r, id, id.DeploymentID, access.Unavailable(err))
	}
	credentialsOnly(r, "Bearer "+raw)
	if tokenRefused, err := newAnswer(h.app, w).passOn(next, r); !tokenRefused {
		return err
	}
	return noAirflow(h.app, w, r, id.DeploymentID, errNotTrusted)
}

// errNotTrusted is a mistake in the configuration of Airflow, or a set of keys that it has not read
// anew.
var errNotTrusted = errors.New("the token of the gateway is refused by Airflow: look at trusted_jwks_url, jwt_issuer, jwt_audience and jwt_algorithm, " +
	"at the clocks, and at what its API server logs")

// roleOf is the highest role that scopes give.
func (h *Token) roleOf(scopes keystore.Scopes) (string, bool) {
	for _, role := range h.roles {
		if role.scopes&scopes != 0 {
			return role.name, true
		}
	}
	return "", false
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Token)(nil)
	_ caddyhttp.MiddlewareHandler = (*Token)(nil)
)
