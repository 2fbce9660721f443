// Package caddymodule is the gateway inside Caddy: the app that owns the keystore and the
// signing keys, the handler that answers the OAuth endpoints, the handler that checks bearers in
// front of an upstream, and those that stand before an Airflow. It must not know how a database
// works.
package caddymodule
