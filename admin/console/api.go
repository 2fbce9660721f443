package console

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/admin"
	"github.com/deploymentkeys/gateway/caddymodule"
	"github.com/deploymentkeys/gateway/internal/redact"
	"github.com/deploymentkeys/gateway/keystore"
)

// newAPI is the admin API, limited to what each user may do.
func (c *Console) newAPI() http.Handler {
	api := &admin.API{
		Prefix:   "/api",
		Keystore: c.app.Keystore,
		Tokens:   func() (admin.TokenService, error) { return admin.TokensOf(c.app), nil },
		Ready:    c.app.Ready,
		Refused:  c.refused,
		Logger:   c.logger,
		Caller:   callerOf,
		Subject: func(r *http.Request) admin.Subject {
			who := userOf(r)
			return admin.Subject{User: who.name, Administrator: who.administrator}
		},
	}
	return api.Handler()
}

func callerOf(r *http.Request) keystore.Caller {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return keystore.Caller{Name: userOf(r).name, Address: ip, Via: keystore.ViaConsole}
}

// refused hears of each request of a user that was answered 403.
func (c *Console) refused(r *http.Request, by keystore.Caller, deployment string, err error) {
	c.app.AuditRefusal(by, deployment)
	c.logger.Debug("refused", zap.String("method", r.Method), zap.String("path", redact.Text(r.URL.Path)),
		zap.String("by", by.Name), zap.String("address", by.Address), zap.String("deployment", deployment), zap.Error(err))
}

// me is the answer of GET /api/me: who is signed in, and what the pages need to know of this gateway.
type me struct {
	User          string   `json:"user"`
	Administrator bool     `json:"administrator"`
	TokenEndpoint string   `json:"token_endpoint"` // where the user gets a personal token; "" when nobody is signed in
	Issuer        string   `json:"issuer"`         // where keys get their tokens; "" when that was not configured
	Scopes        []string `json:"scopes"`         // that a key may have
}

func (c *Console) serveMe(w http.ResponseWriter, r *http.Request) {
	if !admin.Allow(w, r, http.MethodGet) {
		return
	}
	who := userOf(r)
	answer := me{User: who.name, Administrator: who.administrator, Issuer: c.app.IssuerURL(), Scopes: keystore.AllScopes.Names()}
	if who.signedIn {
		answer.TokenEndpoint = caddymodule.RequestOrigin(r) + pathToken
	}
	admin.WriteJSON(w, http.StatusOK, answer)
}

// tokenOr serves POST /token as deployment_token does, and passes other methods on. It needs no header of
// its own: a program that signs in may call it, and a page of another site can read no answer.
func (c *Console) tokenOr(page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			page.ServeHTTP(w, r)
			return
		}
		// It has nothing after it: the console comes last.
		if err := c.tokens.ServeHTTP(w, r, caddyhttp.HandlerFunc(nothing)); err != nil {
			c.logger.Error("answering POST /token", zap.Error(err))
		}
	})
}

func nothing(http.ResponseWriter, *http.Request) error { return nil }
