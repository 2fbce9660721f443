package admin

import (
	"net/http"
	"path"
	"strings"

	"github.com/deploymentkeys/gateway/caddymodule"
)

// This file refuses what Caddy's admin endpoint lets through to the API and must not reach it. Caddy looks at Host and
// Origin on the local endpoint, and at path and method on the remote one. What is here holds whatever its settings are.

var (
	errForeignPage = &apiError{http.StatusForbidden, caddymodule.ErrOtherSite.Error() + ": the admin API is not for pages in a browser"}
	errForm        = &apiError{http.StatusForbidden, "this request comes from a form in a browser: the admin API is not for pages in a browser"}
	errTwoPaths    = &apiError{http.StatusNotFound, "there is nothing at this path: on the remote admin endpoint none has a segment that is empty, . or .., encoded or not"}
)

// guardEndpoint says whether a request may reach the API by way of Caddy's admin endpoint.
func guardEndpoint(r *http.Request) error {
	if err := caddymodule.CheckSameSite(r); err != nil {
		return errForeignPage
	}
	// Browsers that name no page at all with a form, of which some calls need no body, are old, and want a page for an
	// answer as all do.
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !reads && strings.Contains(strings.ToLower(strings.Join(r.Header["Accept"], ",")), "text/html") {
		return errForm
	}
	if r.TLS != nil && !oneReading(r.URL.Path) {
		return errTwoPaths
	}
	return nil
}

// oneReading reports whether a path, decoded, is the same for the access control of the remote endpoint as for the API.
// The one decides on the decoded path after it has resolved the dots and slashes in it, the other takes the path apart
// before it decodes the segments: /deployments/dep2/members/..%2f..%2fdep1%2fkeys is below dep1 to the one, and a user of
// dep2 to the other.
func oneReading(decoded string) bool {
	return path.Clean(decoded) == strings.TrimSuffix(decoded, "/")
}
