// Package caddymodule is the gateway inside Caddy: the app that owns the keystore and the
// signing keys, the handler that answers the OAuth endpoints, and the handler that checks
// bearers in front of an upstream. It must not know how a database works.
package caddymodule
