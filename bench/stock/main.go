// Command stock is Caddy with its standard modules and nothing else, built the way the gateway is: what make bench
// compares the gateway with. Debian's caddy is of another version and another compiler.
package main

import (
	_ "time/tzdata"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() {
	caddycmd.Main()
}
