// Package gateway is the Deployment Keys Gateway as a Caddy plugin: API keys for Airflow Deployments, the OAuth 2.0
// token endpoint that exchanges them for access tokens, and the check of those tokens in front of an upstream.
//
// It has no code of its own. To import it is to register every module of the plugin with Caddy, which is what xcaddy
// does with a plugin's module path:
//
//	xcaddy build v2.11.9 --with github.com/deploymentkeys/gateway@v0.0.0=.
//
// The modules, by ID, and the package that each is in:
//
//	deployment_keys                          caddymodule: the app: store, master secret, signing keys, token settings
//	http.handlers.deployment_token           caddymodule: the token endpoint and its metadata
//	http.handlers.deployment_auth            caddymodule: the bearer check of one Deployment's routes
//	http.handlers.deployment_airflow_login   caddymodule/airflow: a service account's token in the place of the client's
//	http.handlers.deployment_airflow_token   caddymodule/airflow: a token that an Airflow takes from this gateway
//	http.handlers.deployment_airflow_jwks    caddymodule/airflow: the keys that such an Airflow trusts
//	http.handlers.deployment_console         admin/console: the pages on which users manage Deployments, keys and members
//	admin.api.deployment_keys                admin: Deployments, keys and members on Caddy's admin endpoint
//	caddy.logging.encoders.deployment_keys   caddymodule: log entries without secrets
//
// The commands of Caddy's binary that call the admin API are in admin/cli.
//
// A Caddy with Caddy's standard modules and these is in cmd/caddy.
package gateway

import (
	_ "github.com/deploymentkeys/gateway/admin"
	_ "github.com/deploymentkeys/gateway/admin/cli"
	_ "github.com/deploymentkeys/gateway/admin/console"
	_ "github.com/deploymentkeys/gateway/caddymodule"
	_ "github.com/deploymentkeys/gateway/caddymodule/airflow"
)
