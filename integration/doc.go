// Package integration tests whole gateways with real parts around them: processes of this plugin's Caddy, started from a
// Caddyfile, reloaded, restarted and killed, and the services that they depend on. It has tests only.
//
// What starts a gateway and speaks to it is package gatewaytest. What can be tested inside one package is tested there.
package integration
