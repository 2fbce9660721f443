package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/deploymentkeys/gateway/access"
	"go.uber.org/zap"
)

// This file is what AirflowLogin and AirflowToken have in common: they stand between deployment_auth
// and an Airflow, put a credential that Airflow knows in the place of the client's, and see to it that
// it is used for the REST API of Airflow alone.

// identityVar is where deployment_auth leaves who a request is from, for the handlers after it. What
// a configuration can put there, or another login, is not of the type that they want.
const identityVar = "deployment_keys.identity"

// leave puts it there, for handlers that have set [App].identityWanted: it costs an allocation.
func leave(r *http.Request, id access.Identity) { caddyhttp.SetVar(r.Context(), identityVar, &id) }

// errNoIdentity is a mistake in the configuration. Without a check before them, the handlers would
// give their credential to anybody.
var errNoIdentity = errors.New("no deployment_auth before this handler has said who the request is from")

// callerOf is who a request is from, as deployment_auth has proven it.
func callerOf(r *http.Request) (*access.Identity, error) {
	id, _ := caddyhttp.GetVar(r.Context(), identityVar).(*access.Identity)
	if id == nil || id.DeploymentID == "" || id.Name() == "" {
		return nil, caddyhttp.Error(http.StatusInternalServerError, errNoIdentity)
	}
	return id, nil
}

// airflowAPI is the path of the REST API of Airflow 3. Beside it are the UI, the login, and the API
// by which its tasks report, with which a client could do anything.
const airflowAPI = "/api/v2/"

// isAPI says whether a path is of the REST API that is under prefix. The path is as Airflow reads it:
// decoded once, cases apart.
//
// Login and logout are in the API too. A logout ends the credential that came with the request:
// here it is the gateway's own.
func isAPI(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix+airflowAPI)
	return ok && rest != "auth" && !strings.HasPrefix(rest, "auth/")
}

// notTheAPI is the answer to any other path than those of the REST API under prefix.
func notTheAPI(w http.ResponseWriter, r *http.Request, prefix string) error {
	access.WithoutBody(w, r)
	return access.WriteJSON(w, http.StatusNotFound, map[string]string{
		"error":             "not_found",
		"error_description": access.Printable("only the REST API of Airflow is to be had here: " + prefix + airflowAPI + ", without " + prefix + airflowAPI + "auth"),
	})
}

// refuseAtAirflow answers somebody whose credential deployment_auth has let pass. It is counted, told
// and entered as any refusal, but not among those of deployment_auth, which has counted the request.
func (a *App) refuseAtAirflow(w http.ResponseWriter, r *http.Request, id *access.Identity, deployment string, refused *access.Refusal) error {
	refused.Key, refused.User, refused.KeyDeployment = id.KeyID, id.User, id.DeploymentID
	refused.Deployment = deployment
	ip := clientIP(r)
	a.refused(&metrics.airflow, refused, ip, zap.String("remote_ip", ip), zap.String("method", r.Method))
	access.WithoutBody(w, r)
	if refused.Code != access.CodeUnavailable {
		w.Header().Set("WWW-Authenticate", refused.BearerChallenge(defaultRealm))
	}
	return refused.Write(w)
}

// forwardedByCaddy are the X-Forwarded headers that reverse_proxy sets anew, or leaves to a proxy that
// it was told to trust.
var forwardedByCaddy = [...]string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"}

// credentialsOnly makes authorization the one credential of a request: Airflow would also take a
// session from a cookie. The headers of a proxy by which an application can be moved to another path
// are removed too.
//
// Trailers are not passed on at all. There are servers that add them to the headers, and the API of
// Airflow knows none. What net/http finds at the end of the body it adds to the request that it has
// read, of which Caddy's handlers have a copy.
func credentialsOnly(r *http.Request, authorization string) {
	r.Trailer = nil
	header := r.Header
	readableOnly(header)
	for name := range header {
		switch plain := access.FoldHeader(name); {
		case plain == "cookie", plain == "proxy-authorization", plain == "authorization",
			plain == "forwarded", plain == "x-script-name", plain == "remote-user", plain == "x-remote-user":
			delete(header, name)
		case strings.HasPrefix(plain, "x-forwarded-") && !slices.Contains(forwardedByCaddy[:], name):
			delete(header, name)
		}
	}
	header["Authorization"] = []string{authorization}
	access.TakeOutOfConnection(header, func(name string) bool { return strings.EqualFold(name, "Authorization") })
}

// noAirflow is the answer when Airflow cannot be asked in the name of the client: it is not theirs to
// mend.
func (a *App) noAirflow(w http.ResponseWriter, r *http.Request, deployment string, cause error) error {
	metrics.airflow.refused[access.CodeUnavailable].Inc()
	if !errors.Is(cause, context.Canceled) { // of a client that went away
		a.faults.Error("no access to Airflow", zap.String("deployment", deployment), zap.Error(cause))
	}
	access.WithoutBody(w, r)
	return (&access.Refusal{Code: access.CodeUnavailable, Description: "the gateway has no access to the Airflow of this Deployment right now; try again"}).Write(w)
}
