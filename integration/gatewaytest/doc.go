// Package gatewaytest starts whole gateways for tests: processes of this plugin's Caddy, from a Caddyfile, to be reloaded,
// restarted and killed, and what a test says to them. It knows the product from outside: the Caddyfile, HTTP, the files
// that a gateway leaves behind.
//
// A package that uses it has a TestMain that calls [Main].
package gatewaytest
