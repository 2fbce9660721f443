package airflow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule"
	"github.com/deploymentkeys/gateway/internal/caddyconf"
	"github.com/deploymentkeys/gateway/keystore"
)

func init() {
	caddy.RegisterModule(Login{})
}

// Login stands between deployment_auth and the Airflow 3 of one Deployment, and puts the token
// of a service account in the place of the client's. Airflow sees one user, whoever calls: what a
// client may do there is decided by the scopes of deployment_auth alone.
//
// It logs in at POST /auth/token of Airflow, when the first request comes, and again before the token
// expires. When Airflow does not take the token, because it was restarted with another secret, say, it
// logs in once more and repeats the request, if its body is of 64 KiB at most; otherwise the answer is
// 503, and the next request has the new token. While it cannot log in, requests are answered 503.
//
// Airflow gets no other credential: cookies are removed, and so are the cookies of its answers. Only
// its REST API is to be had, at /api/v2/ below the path of url, without /api/v2/auth; any other path is
// answered 404.
type Login struct {
	// The ID of the Deployment that this Airflow is of. A credential of another one is refused, even
	// when deployment_auth let it pass. Required.
	Deployment string `json:"deployment,omitempty"`

	// Where its Airflow is, with the path of base_url in Airflow's section [api], if there is one:
	// http://127.0.0.1:9090/etl. Placeholders are allowed. Required.
	URL string `json:"url,omitempty"`

	// The name of the service account. Placeholders are allowed. Required.
	Username string `json:"username,omitempty"`

	// Its password. It has to be a placeholder, {file.*} or {env.*}: whoever can read the
	// configuration, which Caddy also saves to disk, must not have it. Required.
	Password string `json:"password,omitempty"`

	app     gateway
	path    string // of the URL
	session *session
}

// mostRepeatable is the longest body, in bytes, of a request that is repeated. Those that trigger a
// run are far shorter.
const mostRepeatable = 64 << 10

// CaddyModule returns the Caddy module information.
func (Login) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.deployment_airflow_login",
		New: func() caddy.Module { return new(Login) },
	}
}

// Provision checks the configuration. It does not log in.
func (h *Login) Provision(ctx caddy.Context) (err error) {
	if err := h.prepare(); err != nil {
		return fmt.Errorf("deployment_airflow_login: %w", err)
	}
	app, err := caddymodule.AppOf(ctx)
	if err != nil {
		return err
	}
	app.WantIdentity()
	h.app = app
	return nil
}

func (h *Login) prepare() error {
	if err := keystore.ValidateDeploymentID(h.Deployment); err != nil {
		return err
	}
	if !caddyconf.IsSecret(h.Password) {
		return errors.New("password is missing, or stands in the configuration, where /config/ and the autosave would show it: " +
			"put it into a file or a variable and configure {file./path/to/it} or {env.NAME}")
	}
	repl := caddy.NewReplacer()
	var resolved [3]string
	for i, option := range [...]struct{ name, value string }{{"url", h.URL}, {"username", h.Username}, {"password", h.Password}} {
		value, err := repl.ReplaceOrErr(option.value, true, true)
		if err != nil {
			return fmt.Errorf("%s: %w", option.name, err)
		}
		if resolved[i] = strings.TrimSpace(value); resolved[i] == "" {
			return fmt.Errorf("%s is empty", option.name)
		}
	}
	base := strings.TrimSuffix(resolved[0], "/")
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.Scheme+"://"+u.Host+u.Path != base || access.SecondReading(u.Path) != "" {
		return fmt.Errorf("url %s: want that of an Airflow, such as http://127.0.0.1:8080/etl", h.URL)
	}
	h.path = u.Path
	h.session = newSession(base, resolved[1], resolved[2])
	return nil
}

// Cleanup gives up the connections of the login.
func (h *Login) Cleanup() error {
	if h.session != nil {
		h.session.client.CloseIdleConnections()
	}
	return nil
}

// ServeHTTP passes a request on with the token of the service account.
func (h *Login) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	id, err := caddymodule.CallerOf(r)
	if err != nil {
		return err
	}
	if id.DeploymentID != h.Deployment {
		return refuse(h.app, w, r, id, h.Deployment, access.OtherDeployment(*id, h.Deployment))
	}
	if refused := access.CheckPath(r.URL, caddymodule.OriginalURL(r)); refused != nil {
		return refuse(h.app, w, r, id, h.Deployment, refused)
	}
	// Not at the root of a URL with a path, although Airflow serves its API there too: with several
	// Airflows behind one host, that may be another one.
	if !isAPI(r.URL.Path, h.path) {
		return notTheAPI(w, r, h.path)
	}
	login, err := h.session.token(r.Context())
	if err != nil {
		return h.unavailable(w, r, err)
	}
	repeat, err := repeatable(r)
	if err != nil {
		return caddyhttp.Error(http.StatusBadRequest, err) // the client did not send what it had announced
	}
	for {
		credentialsOnly(r, "Bearer "+login.token)
		if tokenRefused, err := newAnswer(h.app, w).passOn(next, r); !tokenRefused {
			return err
		}
		fresh, err := h.session.replace(r.Context(), login)
		switch {
		case err != nil:
			return h.unavailable(w, r, err)
		case repeat == nil:
			return h.unavailable(w, r, errors.New("the request was too long to be repeated with it"))
		}
		login, repeat, r.Body = fresh, nil, repeat()
	}
}

// repeatable reads a short body, and returns what gives it once more; nil when it cannot be had twice.
func repeatable(r *http.Request) (func() io.ReadCloser, error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0:
		return func() io.ReadCloser { return http.NoBody }, nil
	case r.ContentLength < 0 || r.ContentLength > mostRepeatable:
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, mostRepeatable+1))
	if err != nil {
		return nil, err
	}
	again := func() io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }
	r.Body = again()
	return again, nil
}

// unavailable is the answer when there is no token that Airflow takes.
func (h *Login) unavailable(w http.ResponseWriter, r *http.Request, cause error) error {
	return noAirflow(h.app, w, r, h.Deployment, cause)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Login)(nil)
	_ caddy.CleanerUpper          = (*Login)(nil)
	_ caddyhttp.MiddlewareHandler = (*Login)(nil)
)
