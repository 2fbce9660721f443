// Package console is the console: a Caddy handler that serves the pages on which the signed-in users of a
// site manage Deployments, keys and members, and the admin API for these pages, limited to what each user
// may do. It knows pages, assets, who is signed in, and which requests a browser sends on its own; it must
// not know what a call of the API does, nor who may make it.
package console
