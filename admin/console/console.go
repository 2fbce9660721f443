package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/admin"
	"github.com/deploymentkeys/gateway/caddymodule"
)

func init() {
	caddy.RegisterModule(Console{})
}

// Console serves the console, at every path that it is given: pages on which users manage Deployments, keys
// and members; below /assets/ what these pages need; below /api/ the admin API, limited to what the user
// may do; and at POST /token a personal access token of the user, as deployment_token does.
//
// A user is whoever the site's authentication has signed in, {http.auth.user.id}. They see the Deployments
// of which they are a member. As a viewer or an editor they see its keys; as an admin they also manage keys
// and members. Roles are read with each call, so a change of them holds at once.
//
// It needs a handler in front of it that signs users in, such as authentication (basic_auth). A
// configuration without any is refused. A request that comes without a user all the same is answered 403.
type Console struct {
	// The users who may do everything in every Deployment, create and delete Deployments, and end all
	// tokens. No placeholders. Default: none; then Deployments are created and deleted on Caddy's admin endpoint.
	Administrators []string `json:"administrators,omitempty"`

	// Lets everybody in as an administrator, under the name "anonymous" where nobody is signed in. It
	// is for trying the console out on a machine that nobody else can reach, so requests are answered
	// only if they are for localhost or an IP address: by any other host name, a web page of a
	// stranger could reach the console through a browser on that machine. So put no proxy in front
	// of it: of one that sets another Host and no X-Forwarded-Host, the name is not to be seen, and
	// such a page could read what there is. Default: false.
	InsecureNoAuth bool `json:"insecure_no_auth,omitempty"`

	app    *caddymodule.App
	tokens *caddymodule.TokenHandler
	routes http.Handler
	logger *zap.Logger
}

// pathToken is where users get a token, as on any site with deployment_token.
const pathToken = "/token"

// anonymous is the user of a console without authentication.
const anonymous = "anonymous"

// CaddyModule returns the Caddy module information.
func (Console) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.deployment_console",
		New: func() caddy.Module { return new(Console) },
	}
}

// Provision checks the configuration.
func (c *Console) Provision(ctx caddy.Context) error {
	c.logger = ctx.Logger()
	for i, user := range c.Administrators {
		if err := access.AcceptableUser(user); err != nil {
			return fmt.Errorf("deployment_console: administrator: %w", err)
		}
		if strings.ContainsAny(user, "{}") {
			return fmt.Errorf("deployment_console: administrator %s: no placeholders: name the users", user)
		}
		if slices.Contains(c.Administrators[:i], user) {
			return fmt.Errorf("deployment_console: administrator %s is there twice", user)
		}
	}
	switch {
	case c.InsecureNoAuth && len(c.Administrators) > 0:
		return errors.New("deployment_console: with insecure_no_auth everybody is an administrator: leave out administrator, or insecure_no_auth")
	case c.InsecureNoAuth:
		c.logger.Warn("the console lets everybody in as an administrator, because of insecure_no_auth")
	case !authenticatedBefore(ctx):
		return errors.New("deployment_console: nothing in front of it signs users in: put basic_auth, or another directive that sets {http.auth.user.id}, before it; to try it out without, say insecure_no_auth")
	}
	app, err := ctx.App("deployment_keys")
	if err != nil {
		return err
	}
	c.app = app.(*caddymodule.App)
	c.tokens = new(caddymodule.TokenHandler)
	if err := c.tokens.Provision(ctx); err != nil {
		return err
	}
	c.routes = c.newRoutes()
	return nil
}

// A user is who a request is from. A request of nobody has none, and a reason.
type user struct {
	name          string
	administrator bool
	signedIn      bool   // by the site; false for anonymous
	reason        string // why there is none
}

type userKey struct{}

// userOf is who a request is from.
func userOf(r *http.Request) user {
	who, _ := r.Context().Value(userKey{}).(user)
	return who
}

// ServeHTTP answers every request.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	setHeaders(w.Header())
	if r.ContentLength != 0 {
		// Also of a request that is refused before its body is looked at: net/http reads what is left of it before it
		// answers. A connection that can't have a deadline is one of a test.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(admin.BodyTime))
	}
	r = r.WithContext(context.WithValue(r.Context(), userKey{}, c.identify(r)))
	// ServeMux answers a path that is not clean with a redirect to another one.
	if path := r.URL.EscapedPath(); !strings.HasPrefix(path, "/") || !admin.IsCleanPath(path) {
		c.serveNothing(w, r)
		return nil
	}
	c.routes.ServeHTTP(w, r)
	return nil
}

// identify says who a request is from.
func (c *Console) identify(r *http.Request) user {
	name, err := caddymodule.SignedIn(r)
	switch {
	case c.InsecureNoAuth && !isForThisMachine(r):
		return user{reason: "with insecure_no_auth the console answers only at localhost or an IP address"}
	case err != nil:
		return user{reason: "this user can have no access: " + err.Error()}
	case name == "" && c.InsecureNoAuth:
		return user{name: anonymous, administrator: true}
	case name == "":
		return user{reason: "nobody is signed in: this site needs a directive in front of deployment_console that signs users in, such as basic_auth"}
	}
	return user{name: name, signedIn: true, administrator: c.InsecureNoAuth || slices.Contains(c.Administrators, name)}
}

// newRoutes says which path is whose.
func (c *Console) newRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/{$}", c.forUsers(http.RedirectHandler("/deployments", http.StatusFound)))
	mux.Handle("/deployments", c.page("deployments", "Deployments"))
	mux.Handle("/deployments/{deployment}", c.deploymentPage(tabs[0]))
	for _, tab := range tabs {
		mux.Handle("/deployments/{deployment}/"+tab, c.deploymentPage(tab))
	}
	mux.Handle(pathToken, c.tokenOr(c.page("token", "Access token")))
	mux.HandleFunc("/assets/{version}/{name...}", c.serveAsset)
	mux.Handle("/api/me", c.forUsers(http.HandlerFunc(c.serveMe)))
	mux.Handle("/api/", c.forUsers(c.ownPagesOnly(c.newAPI())))
	mux.HandleFunc("/api", c.serveNothing) // which ServeMux would answer with a redirect
	mux.HandleFunc("/", c.serveNothing)
	return mux
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Console)(nil)
	_ caddyhttp.MiddlewareHandler = (*Console)(nil)
)
