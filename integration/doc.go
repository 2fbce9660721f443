// Package integration tests whole gateways with real parts around them: processes of this plugin's Caddy, started from a
// Caddyfile, reloaded, restarted and killed, and the services that they depend on. It has tests only.
//
// startGateway starts a gateway; what it returns is used from there on. It knows the product from outside: the Caddyfile,
// HTTP, the files that a gateway leaves behind. What can be tested inside one package is tested there.
package integration
