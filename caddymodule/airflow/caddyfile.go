package airflow

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/deploymentkeys/gateway/internal/caddyconf"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("deployment_airflow_login", parseLogin)
	httpcaddyfile.RegisterHandlerDirective("deployment_airflow_token", parseToken)
	httpcaddyfile.RegisterHandlerDirective("deployment_airflow_jwks", parseJWKS)

	// Right before the proxy: what is changed in a request earlier is seen by the check of the path,
	// and the credential by nobody but Airflow.
	for _, directive := range []string{"deployment_airflow_jwks", "deployment_airflow_login", "deployment_airflow_token"} {
		httpcaddyfile.RegisterDirectiveOrder(directive, httpcaddyfile.Before, "reverse_proxy")
	}
}

// parseAirflowLogin reads the directive. Syntax:
//
//	deployment_airflow_login [<matcher>] <deployment> {
//		url      <base URL of its Airflow>
//		username <name>
//		password {file.<path>}|{env.<name>}
//	}
//
// All of them are required.
func parseLogin(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	login := new(Login)
	return login, login.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
func (h *Login) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if err := caddyconf.OneArg(d, &h.Deployment); err != nil {
		return err
	}
	for d.NextBlock(0) {
		var err error
		switch option := d.Val(); option {
		case "url":
			err = caddyconf.OneArg(d, &h.URL)
		case "username":
			err = caddyconf.OneArg(d, &h.Username)
		case "password":
			err = caddyconf.OneArg(d, &h.Password)
		default:
			err = d.Errf("unknown option %q of deployment_airflow_login: the options are url, username, password", option)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseAirflowToken reads the directive. Syntax:
//
//	deployment_airflow_token [<matcher>] {
//		role     <scope> VIEWER|USER|OP|ADMIN
//		lifetime <duration>
//	}
//
// All of them are optional; role may be there once for each scope.
func parseToken(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	token := new(Token)
	return token, token.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
func (h *Token) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		switch option := d.Val(); option {
		case "role":
			var scope, role string
			if !d.AllArgs(&scope, &role) {
				return d.ArgErr()
			}
			if _, set := h.Roles[scope]; set {
				return d.Errf("role of %s is there more than once", scope)
			}
			if h.Roles == nil {
				h.Roles = make(map[string]string)
			}
			h.Roles[scope] = role
		case "lifetime":
			lifetime, err := caddyconf.DurationArg(d)
			if err != nil {
				return err
			}
			h.Lifetime = lifetime
		default:
			return d.Errf("unknown option %q of deployment_airflow_token: the options are role, lifetime", option)
		}
	}
	return nil
}

// parseAirflowJWKS reads the directive. Syntax:
//
//	deployment_airflow_jwks [<matcher>] {
//		key <kid> {file.<path of its public key>}
//	}
//
// key may be there several times.
func parseJWKS(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	jwks := new(JWKS)
	return jwks, jwks.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
func (h *JWKS) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if option := d.Val(); option != "key" {
			return d.Errf("unknown option %q of deployment_airflow_jwks: the option is key", option)
		}
		var key Key
		if !d.AllArgs(&key.ID, &key.PublicKey) {
			return d.ArgErr()
		}
		h.Keys = append(h.Keys, key)
	}
	return nil
}
