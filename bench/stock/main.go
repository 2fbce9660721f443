// Command stock is Caddy with its standard modules, built the way the gateway is: what make bench compares the gateway
// with. It has one module more, which only the sites use that tell what a token cannot do without. Debian's caddy is of
// another version and another compiler.
package main

import (
	_ "time/tzdata"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() {
	caddycmd.Main()
}
