// Package admin is how people and programs manage Deployments, keys and members: the API as an
// http.Handler, and the Caddy module that mounts it on the admin endpoint. It knows HTTP and
// JSON; it must not know how keys are stored, nor how tokens are made.
package admin
