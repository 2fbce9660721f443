// Package admin is how people and programs manage Deployments, keys, members and access tokens: the
// API as an http.Handler, and the Caddy module that mounts it on the admin endpoint. The commands in
// Caddy's binary that call it are in admin/cli. It knows HTTP and JSON; it must not know how keys are
// stored, nor how tokens are made.
package admin
