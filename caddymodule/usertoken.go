package caddymodule

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
)

// serveUserToken is POST /token: an access token for the user who is signed in to the site.
func (h *TokenHandler) serveUserToken(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if err := CheckSameSite(r); err != nil {
		return h.refuseUser(w, r, access.Refuse(access.CodeAccessDenied, err.Error()))
	}
	user := signedIn(r)
	if user == "" {
		// This directive comes before those that sign users in, such as basic_auth, since keys must get
		// their tokens without. So they are asked first; what they answer, such as 401, is the answer.
		watched := &watchedWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
		if err := next.ServeHTTP(watched, r); err != nil || watched.wrote {
			return err
		}
		caddyhttp.SetVar(r.Context(), "unhandled", false) // as the end of the chain has said
		user = signedIn(r)
	}
	if user == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+DefaultRealm+`"`)
		return h.refuseUser(w, r, access.Refuse(access.CodeNone, "nobody is signed in: this site needs a directive for POST /token that signs users in, such as basic_auth"))
	}
	if err := access.AcceptableUser(user); err != nil {
		return h.refuseUser(w, r, access.Refuse(access.CodeAccessDenied, "this user can have no access token: "+err.Error()))
	}
	raw, err := h.app.authority.IssueForUser(r.Context(), user)
	if err != nil {
		return h.refuseUser(w, r, access.Unavailable(err))
	}
	metrics.userToken.passed.Inc()
	return access.WriteJSON(w, http.StatusOK, &tokenAnswer{
		AccessToken: raw,
		TokenType:   "Bearer",
		ExpiresIn:   int64(h.app.authority.UserTokenLifetime.Seconds()),
	})
}

func (h *TokenHandler) refuseUser(w http.ResponseWriter, r *http.Request, refused *access.Refusal) error {
	h.app.refused(&metrics.userToken, refused, clientIP(r))
	access.WithoutBody(w, r)
	return refused.Write(w)
}

// SignedIn is the user whom the site has authenticated, by whatever Caddy has for that, or "". One who
// came with an access token is not signed in. The error says why a user of that name can have no access.
func SignedIn(r *http.Request) (string, error) {
	user := signedIn(r)
	if user == "" {
		return "", nil
	}
	if err := access.AcceptableUser(user); err != nil {
		return "", err
	}
	return user, nil
}

// signedIn is the user whom the site has authenticated, or "". One who came with an access token is
// not signed in: a token could be had for a token, for ever.
func signedIn(r *http.Request) string {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if _, byToken := repl.Get("http.auth.user.deployment"); byToken {
		return ""
	}
	user, _ := repl.GetString("http.auth.user.id")
	return user
}

// watchedWriter knows whether anything was answered.
type watchedWriter struct {
	*caddyhttp.ResponseWriterWrapper
	wrote bool
}

func (w *watchedWriter) WriteHeader(status int) {
	// What comes before the answer (RFC 9110 section 15.2) is none.
	w.wrote = w.wrote || status >= http.StatusOK || status == http.StatusSwitchingProtocols
	w.ResponseWriterWrapper.WriteHeader(status)
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom is what io.Copy calls.
func (w *watchedWriter) ReadFrom(r io.Reader) (int64, error) {
	w.wrote = true
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError and Hijack are what [http.ResponseController] looks for.

func (w *watchedWriter) FlushError() error {
	w.wrote = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *watchedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.wrote = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
