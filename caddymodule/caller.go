package caddymodule

import (
	"context"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/deploymentkeys/gateway/access"
	"go.uber.org/zap"
)

// This file is what handlers between deployment_auth and an upstream ask: who a request is from, and how they have it
// counted, told and recorded what becomes of it.

// identityVar is where deployment_auth leaves who a request is from, for the handlers after it. What
// a configuration can put there, or another login, is not of the type that they want.
const identityVar = "deployment_keys.identity"

// WantIdentity makes deployment_auth leave there who requests are from, which costs an allocation. A handler calls it in
// its Provision.
func (a *App) WantIdentity() { a.identityWanted = true }

// leave puts it there.
func leave(r *http.Request, id access.Identity) { caddyhttp.SetVar(r.Context(), identityVar, &id) }

// errNoIdentity is a mistake in the configuration. Without a check before them, the handlers would
// give their credential to anybody.
var errNoIdentity = errors.New("no deployment_auth before this handler has said who the request is from")

// CallerOf is who a request is from, as deployment_auth has proven it.
func CallerOf(r *http.Request) (*access.Identity, error) {
	id, _ := caddyhttp.GetVar(r.Context(), identityVar).(*access.Identity)
	if id == nil || id.DeploymentID == "" || id.Name() == "" {
		return nil, caddyhttp.Error(http.StatusInternalServerError, errNoIdentity)
	}
	return id, nil
}

// PassedAtAirflow counts a request that was passed on to an Airflow.
func (*App) PassedAtAirflow() { metrics.airflow.passed.Inc() }

// RefusedAtAirflow counts, logs, tells and records a refusal by a handler for Airflow.
func (a *App) RefusedAtAirflow(r *http.Request, refused *access.Refusal) {
	ip := clientIP(r)
	a.refused(&metrics.airflow, refused, ip, zap.String("remote_ip", ip), zap.String("method", r.Method))
}

// NoAirflow counts that an Airflow could not be asked, and logs why, at most once a second.
func (a *App) NoAirflow(deployment string, cause error) {
	metrics.airflow.refused[access.CodeUnavailable].Inc()
	if !errors.Is(cause, context.Canceled) { // of a client that went away
		a.faults.Error("no access to Airflow", zap.String("deployment", deployment), zap.Error(cause))
	}
}
