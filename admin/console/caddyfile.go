package console

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("deployment_console", parseConsole)

	// After what signs users in, and after what a site has for paths of its own; before what answers
	// everything else.
	httpcaddyfile.RegisterDirectiveOrder("deployment_console", httpcaddyfile.Before, "respond")
}

// parseConsole reads the directive. Syntax:
//
//	deployment_console [<matcher>] {
//		administrator <users...>
//		insecure_no_auth
//	}
//
// administrator may be there several times.
func parseConsole(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	console := new(Console)
	return console, console.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
func (c *Console) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		switch option := d.Val(); option {
		case "administrator":
			users := d.RemainingArgs()
			if len(users) == 0 {
				return d.ArgErr()
			}
			c.Administrators = append(c.Administrators, users...)
		case "insecure_no_auth":
			if d.NextArg() {
				return d.ArgErr()
			}
			c.InsecureNoAuth = true
		default:
			return d.Errf("unknown option %q of deployment_console: the options are administrator, insecure_no_auth", option)
		}
	}
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Console)(nil)
