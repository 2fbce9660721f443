package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("deployment_airflow_login", parseAirflowLogin)
	httpcaddyfile.RegisterHandlerDirective("deployment_airflow_token", parseAirflowToken)
	httpcaddyfile.RegisterHandlerDirective("deployment_airflow_jwks", parseAirflowJWKS)

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
func parseAirflowLogin(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	login := new(AirflowLogin)
	return login, login.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
func (h *AirflowLogin) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if err := oneArg(d, &h.Deployment); err != nil {
		return err
	}
	for d.NextBlock(0) {
		var err error
		switch option := d.Val(); option {
		case "url":
			err = oneArg(d, &h.URL)
		case "username":
			err = oneArg(d, &h.Username)
		case "password":
			err = oneArg(d, &h.Password)
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
func parseAirflowToken(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	token := new(AirflowToken)
	return token, token.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
func (h *AirflowToken) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
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
			lifetime, err := durationArg(d)
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
func parseAirflowJWKS(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	jwks := new(AirflowJWKS)
	return jwks, jwks.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
func (h *AirflowJWKS) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if option := d.Val(); option != "key" {
			return d.Errf("unknown option %q of deployment_airflow_jwks: the option is key", option)
		}
		var key AirflowKey
		if !d.AllArgs(&key.ID, &key.PublicKey) {
			return d.ArgErr()
		}
		h.Keys = append(h.Keys, key)
	}
	return nil
}
