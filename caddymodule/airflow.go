package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// This file is what AirflowLogin and AirflowToken have in common: they stand between deployment_auth
// and an Airflow, put a credential that Airflow knows in the place of the client's, and see to it that
// it is used for the REST API of Airflow alone.

// identityVar is where deployment_auth leaves who a request is from, for the handlers after it. What
// a configuration can put there, or another login, is not of the type that they want.
const identityVar = "deployment_keys.identity"

// leave puts it there, for handlers that have set [App].identityWanted: it costs an allocation.
func (id identity) leave(r *http.Request) { caddyhttp.SetVar(r.Context(), identityVar, &id) }

// errNoIdentity is a mistake in the configuration. Without a check before them, the handlers would
// give their credential to anybody.
var errNoIdentity = errors.New("no deployment_auth before this handler has said who the request is from")

// callerOf is who a request is from, as deployment_auth has proven it.
func callerOf(r *http.Request) (*identity, error) {
	id, _ := caddyhttp.GetVar(r.Context(), identityVar).(*identity)
	if id == nil || id.deploymentID == "" || id.name() == "" {
		return nil, caddyhttp.Error(http.StatusInternalServerError, errNoIdentity)
	}
	return id, nil
}

// airflowAPI is the path of the REST API of Airflow 3. Beside it are the UI, the login, and the API
// by which its tasks report, with which a client could do anything.
const airflowAPI = "/api/v2/"

// apiOnly refuses a path that is not of the REST API, at the root or under one of the prefixes. The
// path is as Airflow reads it: decoded once, cases apart.
//
// Login and logout are in the API too. A logout ends the credential that came with the request:
// here it is the gateway's own.
func apiOnly(w http.ResponseWriter, r *http.Request, prefixes ...string) (passed bool, err error) {
	refused := checkPath(r)
	if refused != nil {
		return false, refused.write(w)
	}
	for _, prefix := range append(prefixes, "") {
		rest, ok := strings.CutPrefix(r.URL.Path, prefix+airflowAPI)
		if ok && rest != "auth" && !strings.HasPrefix(rest, "auth/") {
			return true, nil
		}
	}
	return false, writeJSON(w, http.StatusNotFound, map[string]string{
		"error":             "not_found",
		"error_description": "only the REST API of Airflow is to be had here: " + airflowAPI + ", without " + airflowAPI + "auth",
	})
}

// forwardedByCaddy are the X-Forwarded headers that reverse_proxy sets anew, or leaves to a proxy that
// it was told to trust.
var forwardedByCaddy = [...]string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"}

// credentialsOnly makes authorization the one credential of a request: Airflow would also take a
// session from a cookie. The headers of a proxy by which an application can be moved to another path
// are removed too.
func credentialsOnly(header http.Header, authorization string) {
	for name := range header {
		switch plain := strings.ReplaceAll(strings.ToLower(name), "_", "-"); {
		case plain == "cookie", plain == "proxy-authorization", plain == "authorization",
			plain == "forwarded", plain == "x-script-name", plain == "remote-user", plain == "x-remote-user":
			delete(header, name)
		case strings.HasPrefix(plain, "x-forwarded-") && !isOneOf(name, forwardedByCaddy[:]),
			strings.HasPrefix(plain, "x-forwarded-") && strings.Contains(name, "_"):
			delete(header, name)
		}
	}
	header["Authorization"] = []string{authorization}
	takeOutOfConnection(header, func(name string) bool { return strings.EqualFold(name, "Authorization") })
}

// withoutCookies is an answer of Airflow without the sessions that it would give to a browser: they
// would be the gateway's own.
type withoutCookies struct {
	*caddyhttp.ResponseWriterWrapper
}

func newWithoutCookies(w http.ResponseWriter) withoutCookies {
	return withoutCookies{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
}

// WriteHeader implements [http.ResponseWriter].
func (w withoutCookies) WriteHeader(status int) {
	w.Header().Del("Set-Cookie")
	w.ResponseWriterWrapper.WriteHeader(status)
}

// Write implements [http.ResponseWriter]: it sends the header if nothing did.
func (w withoutCookies) Write(p []byte) (int, error) {
	w.Header().Del("Set-Cookie")
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom implements [io.ReaderFrom]: as Write.
func (w withoutCookies) ReadFrom(r io.Reader) (int64, error) {
	w.Header().Del("Set-Cookie")
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// noAirflow is the answer when Airflow cannot be asked in the name of the client: it is not theirs to
// mend.
func (a *App) noAirflow(w http.ResponseWriter, deployment string, cause error) error {
	if !errors.Is(cause, context.Canceled) { // of a client that went away
		a.faults.Error("no access to Airflow", zap.String("deployment", deployment), zap.Error(cause))
	}
	return (&refusal{code: codeUnavailable, description: "the gateway has no access to the Airflow of this Deployment right now; try again"}).write(w)
}
