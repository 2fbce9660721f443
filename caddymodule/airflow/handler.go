// Package airflow has the handlers that stand between deployment_auth and an Airflow, and put a credential that Airflow
// knows in the place of the client's: Login that of a service account, Token one that the gateway issues for each request,
// for an Airflow that trusts it by way of JWKS. They see to it that it is used for Airflow's REST API alone.
package airflow

import (
	"net/http"
	"slices"
	"strings"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule"
	"go.uber.org/zap"
)

// A gateway is what these handlers ask of [caddymodule.App].
type gateway interface {
	Authority() *access.Authority
	PassedAtAirflow()
	RefusedAtAirflow(r *http.Request, refused *access.Refusal)
	NoAirflow(deployment string, cause error)
	Report(refused *access.Refusal, fields ...zap.Field)
}

// apiPath is the path of the REST API of Airflow 3. Beside it are the UI, the login, and the API
// by which its tasks report, with which a client could do anything.
const apiPath = "/api/v2/"

// isAPI says whether a path is of the REST API that is under prefix. The path is as Airflow reads it:
// decoded once, cases apart.
//
// Login and logout are in the API too. A logout ends the credential that came with the request:
// here it is the gateway's own.
func isAPI(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix+apiPath)
	return ok && rest != "auth" && !strings.HasPrefix(rest, "auth/")
}

// notTheAPI is the answer to any other path than those of the REST API under prefix.
func notTheAPI(w http.ResponseWriter, r *http.Request, prefix string) error {
	access.WithoutBody(w, r)
	return access.WriteJSON(w, http.StatusNotFound, map[string]string{
		"error":             "not_found",
		"error_description": access.Printable("only the REST API of Airflow is to be had here: " + prefix + apiPath + ", without " + prefix + apiPath + "auth"),
	})
}

// refuse answers somebody whose credential deployment_auth has let pass. It is counted, told and recorded as any refusal,
// but not among those of deployment_auth, which has counted the request.
func refuse(app gateway, w http.ResponseWriter, r *http.Request, id *access.Identity, deployment string, refused *access.Refusal) error {
	refused.Key, refused.User, refused.KeyDeployment = id.KeyID, id.User, id.DeploymentID
	refused.Deployment = deployment
	app.RefusedAtAirflow(r, refused)
	access.WithoutBody(w, r)
	if refused.Code != access.CodeUnavailable {
		w.Header().Set("WWW-Authenticate", refused.BearerChallenge(caddymodule.DefaultRealm))
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
func noAirflow(app gateway, w http.ResponseWriter, r *http.Request, deployment string, cause error) error {
	app.NoAirflow(deployment, cause)
	access.WithoutBody(w, r)
	return access.Refuse(access.CodeUnavailable, "the gateway has no access to the Airflow of this Deployment right now; try again").Write(w)
}
