// Package caddymodule is Caddy's side of the gateway: the app, which is configuration only, the handlers of the OAuth
// endpoints and of the bearer check, their Caddyfile, metrics and events. It reads configuration and writes answers; what
// it answers is decided in package access, and what outlives a configuration is in package node.
package caddymodule
