package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/deploymentkeys/gateway/internal/caddyconf"
)

func init() {
	httpcaddyfile.RegisterGlobalOption(appName, parseApp)

	httpcaddyfile.RegisterHandlerDirective("deployment_token", parseTokenHandler)
	httpcaddyfile.RegisterHandlerDirective("deployment_auth", parseAuth)

	// Tokens are to be had without another login. The check comes after one, so that a site can
	// have both and the later identity is the one that counts.
	httpcaddyfile.RegisterDirectiveOrder("deployment_token", httpcaddyfile.Before, "basic_auth")
	httpcaddyfile.RegisterDirectiveOrder("deployment_auth", httpcaddyfile.After, "basic_auth")
}

// parseApp reads the global option. Syntax:
//
//	deployment_keys {
//		redis             <url>
//		replicas          <number>
//		secret            {file.<path>}|{env.<name>}
//		issuer            <url>
//		audience          <audiences...>
//		token_lifetime    <duration>
//		user_token_lifetime <duration>
//		max_staleness     <duration>
//		signing_algorithm ES256|EdDSA|RS256
//		signing_key_rotation <duration>
//		audit_retention <duration>
//		purge_expired_keys <duration>
//		cache_size        <number>
//	}
//
// All of them are optional; redis needs secret.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		return nil, d.Err("there are two deployment_keys blocks: a gateway has one store; put all options into one block")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads the block of the global option.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(map[string]bool)
	for d.NextBlock(0) {
		option := d.Val()
		if seen[option] {
			return d.Errf("%s is there more than once", option)
		}
		seen[option] = true
		var err error
		switch option {
		case "redis":
			err = caddyconf.OneArg(d, &a.Redis)
		case "replicas":
			a.Replicas, err = caddyconf.NumberArg(d)
		case "secret":
			err = caddyconf.OneArg(d, &a.Secret)
		case "issuer":
			err = caddyconf.OneArg(d, &a.Issuer)
		case "audience":
			if a.Audiences = d.RemainingArgs(); len(a.Audiences) == 0 {
				err = d.ArgErr()
			}
		case "token_lifetime":
			a.TokenLifetime, err = caddyconf.DurationArg(d)
		case "user_token_lifetime":
			a.UserTokenLifetime, err = caddyconf.DurationArg(d)
		case "max_staleness":
			a.MaxStaleness, err = caddyconf.DurationArg(d)
		case "signing_algorithm":
			err = caddyconf.OneArg(d, &a.SigningAlgorithm)
		case "signing_key_rotation":
			a.SigningKeyRotation, err = caddyconf.DurationArg(d)
		case "audit_retention":
			a.AuditRetention, err = caddyconf.DurationArg(d)
		case "purge_expired_keys":
			a.PurgeExpiredKeys, err = caddyconf.DurationArg(d)
		case "cache_size":
			a.CacheSize, err = caddyconf.NumberArg(d)
		default:
			err = d.Errf("unknown option %q of deployment_keys: the options are redis, replicas, secret, issuer, audience, "+
				"token_lifetime, user_token_lifetime, max_staleness, signing_algorithm, signing_key_rotation, audit_retention, purge_expired_keys, cache_size", option)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseTokenHandler reads the directive. Syntax:
//
//	deployment_token [<matcher>]
func parseTokenHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next() // the directive's name
	if h.NextArg() {
		return nil, h.ArgErr()
	}
	if h.NextBlock(0) {
		return nil, h.Errf("deployment_token has no options; those of tokens are in the global block deployment_keys")
	}
	return new(TokenHandler), nil
}

// parseAuth reads the directive. Syntax:
//
//	deployment_auth [<matcher>] <deployment> {
//		scope <scope> [<methods...>]
//		basic
//		pass_authorization
//		realm <realm>
//	}
//
// or, for a route that is of no one Deployment:
//
//	deployment_auth [<matcher>] {
//		any_deployment
//		...
//	}
//
// scope may be there several times.
func parseAuth(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	auth := new(Auth)
	return auth, auth.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
func (h *Auth) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	switch args := d.RemainingArgs(); len(args) {
	case 0:
	case 1:
		// Go on with this one only: "" is what a variable that is not set leaves behind.
		if h.Deployment = args[0]; h.Deployment == "" {
			return d.Err("deployment_auth: the Deployment is empty")
		}
	default:
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		switch option := d.Val(); option {
		case "scope":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return d.ArgErr()
			}
			h.Scopes = append(h.Scopes, ScopeRule{Scope: args[0], Methods: args[1:]})
		case "any_deployment":
			if err := caddyconf.Flag(d, &h.AnyDeployment); err != nil {
				return err
			}
		case "basic":
			if err := caddyconf.Flag(d, &h.Basic); err != nil {
				return err
			}
		case "pass_authorization":
			if err := caddyconf.Flag(d, &h.PassAuthorization); err != nil {
				return err
			}
		case "realm":
			if err := caddyconf.OneArg(d, &h.Realm); err != nil {
				return err
			}
		default:
			return d.Errf("unknown option %q of deployment_auth: the options are scope, any_deployment, basic, pass_authorization, realm", option)
		}
	}
	if h.Deployment == "" && !h.AnyDeployment {
		return d.Err("deployment_auth: which Deployment is a request for? Name it, for example deployment_auth {labels.3}, or say any_deployment in the block")
	}
	return nil
}
