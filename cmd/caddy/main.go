// Command caddy is Caddy with its standard modules and the Deployment Keys Gateway: what `xcaddy build` with this
// plugin makes, without xcaddy. Its commands and flags are Caddy's; `caddy help` lists them.
//
//	go run ./cmd/caddy run --config Caddyfile.example
//
// The time zone database is compiled in, as in Caddy's own main, so that zone names resolve in an image without one.
package main

import (
	_ "time/tzdata"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/deploymentkeys/gateway"
)

func main() {
	caddycmd.Main()
}
