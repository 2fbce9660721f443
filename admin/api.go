package admin

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/internal/redact"
	"github.com/deploymentkeys/gateway/keystore"
)

// API is the admin API as an http.Handler. Unless it has a Subject, it does no authorization: whoever
// mounts it decides who may call it. And it refuses no requests that a foreign web page has a browser
// send: some calls need no body, and with that no browser asks before it sends them. [Endpoint] refuses
// those and leaves the authorization to Caddy's admin endpoint; the console does both. JSON in and out; errors are {"error": "..."}.
type API struct {
	// Prefix is the path below which the API is mounted, such as /api. Default: none.
	Prefix string

	// Keystore returns what the API manages. It is called once for each request, so that it may
	// be another after the configuration has changed; an error is answered 503.
	Keystore func() (*keystore.Keystore, error)

	// Caller says who makes a request: it becomes created_by and stands in the change log.
	Caller func(*http.Request) keystore.Caller

	// Subject says as whom a request is made, where callers may do different things: then each call is
	// held against what it needs, see needs. Default: everybody may do everything.
	Subject func(*http.Request) Subject

	// Refused is called with each call that was answered 403 because its caller may not make it, after
	// the answer. The Deployment is that of the path, or "". Default: nothing.
	Refused func(r *http.Request, by keystore.Caller, deployment string, err error)

	// Ready reports whether this node can decide on requests, and how old its knowledge is; known
	// is false when it has none. Default: there is no readiness.
	Ready func(context.Context) (age time.Duration, known bool, err error)

	// Tokens returns what makes and checks access tokens, as Keystore does. Default: the calls that
	// need it are not there.
	Tokens func() (TokenService, error)

	// Logger gets every change, and every fault of the store. Secrets are not in it.
	Logger *zap.Logger
}

// A call is one method of one path. It returns the status and the body of the answer; no body
// is none.
type call func(c *callContext) (status int, body any, err error)

// callContext is what a call works with.
type callContext struct {
	w      http.ResponseWriter
	r      *http.Request
	keys   *keystore.Keystore
	tokens func() (TokenService, error)
	by     keystore.Caller
	log    *zap.Logger

	subject *Subject      // as whom the call is made; nil: everybody may do everything
	role    keystore.Role // of the subject in the Deployment of the path; of administrators in all

	question bool // the call changes nothing, although its method is not GET
}

// deployment, key and user are the parts of the path, decoded.
func (c *callContext) deployment() string { return c.r.PathValue("deployment") }
func (c *callContext) key() string        { return c.r.PathValue("key") }
func (c *callContext) user() string       { return c.r.PathValue("user") }

// routes is the API but for tokenRoutes, and what does not answer with one JSON: the export of the audit
// log, and the readiness.
var routes = map[string]map[string]call{
	"/deployments": {
		http.MethodGet:  listDeployments,
		http.MethodPost: createDeployment,
	},
	"/deployments/{deployment}": {
		http.MethodGet:    getDeployment,
		http.MethodPatch:  updateDeployment,
		http.MethodDelete: deleteDeployment,
	},
	"/deployments/{deployment}/keys": {
		http.MethodGet:  listKeys,
		http.MethodPost: createKey,
	},
	"/deployments/{deployment}/keys/{key}": {
		http.MethodGet:    getKey,
		http.MethodPatch:  updateKey,
		http.MethodDelete: deleteKey,
	},
	"/deployments/{deployment}/members": {
		http.MethodGet: listMembers,
	},
	"/deployments/{deployment}/members/{user}": {
		http.MethodPut:    putMember,
		http.MethodDelete: deleteMember,
	},
	"/deployments/{deployment}/keys/{key}/rotate":          {http.MethodPost: rotateKey},
	"/deployments/{deployment}/keys/{key}/previous_secret": {http.MethodDelete: endPreviousSecret},
	"/deployments/{deployment}/revoke_tokens":              {http.MethodPost: revokeDeploymentTokens},
	"/deployments/{deployment}/keys/{key}/revoke_tokens":   {http.MethodPost: revokeKeyTokens},
	"/tokens/revoke_all":                                   {http.MethodPost: revokeAllTokens},
	"/signing_keys":                                        {http.MethodGet: listSigningKeys},
	"/audit":                                               {http.MethodGet: listAudit},
	"/deployments/{deployment}/audit":                      {http.MethodGet: listDeploymentAudit},
}

// tokenRoutes need [API].Tokens.
var tokenRoutes = map[string]map[string]call{
	"/signing_keys/rotate": {http.MethodPost: rotateSigningKey},
	"/tokens/introspect":   {http.MethodPost: introspectToken},
	"/tokens/revoke":       {http.MethodPost: revokeToken},
	"/tokens/explain":      {http.MethodPost: explainToken},
}

// Handler is the API, at the paths /deployments, /signing_keys, /audit, and what begins with
// /deployments/, /signing_keys/, /tokens/ and /audit/.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(routes map[string]map[string]call) {
		for path, calls := range routes {
			mux.HandleFunc(a.Prefix+path, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, path, calls) })
		}
	}
	handle(routes)
	mux.HandleFunc(a.Prefix+exportPath, a.serveExport)
	if a.Tokens != nil {
		handle(tokenRoutes)
	}
	if a.Ready != nil {
		mux.HandleFunc(a.Prefix+readyPath, a.serveReady)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, http.StatusNotFound, "there is nothing at this path")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// ServeMux answers a path that is not clean with a redirect, which some clients follow
		// with another method. Other segments may begin with a dot: a user may be called so.
		if !IsCleanPath(r.URL.EscapedPath()) {
			WriteError(w, http.StatusNotFound, "there is nothing at this path")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, path string, calls map[string]call) {
	if !Allow(w, r, slices.Collect(maps.Keys(calls))...) {
		return
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves the body out
	}
	c := a.newCall(w, r)
	var err error
	if c.subject != nil {
		err = c.readFirst(method)
	}
	if err == nil {
		c.keys, err = a.Keystore()
	}
	if err == nil {
		err = c.authorize(path, method)
	}
	if err != nil {
		a.refuse(c, err)
		return
	}
	status, body, err := calls[method](c)
	switch {
	case err != nil:
		a.failed(r, writeError(w, c.tellable(err)), err)
	case body == nil:
		w.WriteHeader(status)
	default:
		WriteJSON(w, status, body)
	}
	if err == nil && method != http.MethodGet && !c.question {
		a.Logger.Info("changed", zap.String("method", method), zap.String("path", redact.Text(r.URL.Path)),
			zap.Int("status", status), zap.String("by", c.by.Name))
	}
}

func (a *API) newCall(w http.ResponseWriter, r *http.Request) *callContext {
	c := &callContext{w: w, r: r, tokens: a.Tokens, by: a.Caller(r), log: a.Logger}
	if a.Subject != nil {
		subject := a.Subject(r)
		c.subject = &subject
	}
	return c
}

// failed logs what the operator has to hear of. What a caller did wrong, the caller was told.
func (a *API) failed(r *http.Request, status int, err error) {
	if status >= http.StatusInternalServerError {
		a.Logger.Error("call failed", zap.String("method", r.Method), zap.String("path", redact.Text(r.URL.Path)), zap.Error(err))
	}
}

// reportAltered says which records a list had to leave out.
func (c *callContext) reportAltered(records []string) {
	for _, record := range records {
		c.log.Error("a record was altered outside of this product; it grants nothing and is left out of lists", zap.String("record", record))
	}
}

// IsCleanPath reports whether a path, as it was sent, has neither an empty segment nor one that is . or ..
func IsCleanPath(path string) bool {
	segments := strings.Split(path, "/")
	return !strings.Contains(path, "//") && !slices.Contains(segments, ".") && !slices.Contains(segments, "..")
}
