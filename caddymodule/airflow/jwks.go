package airflow

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule"
	"github.com/deploymentkeys/gateway/token"
)

func init() {
	caddy.RegisterModule(JWKS{})
}

// JWKS answers GET with the keys that one Airflow is to trust, as a JWK Set (RFC 7517 section
// 5): the public signing keys of this gateway, and that Airflow's own. It is what trusted_jwks_url of
// that Airflow names, whatever the path is; the other requests of its route are answered 405.
//
// Airflow needs its own key in there: it signs the tokens of its tasks with it, and when it has a
// trusted_jwks_url it knows no other keys. The set is for that Airflow alone. With one set for two of
// them, each could sign tokens that the other takes for the gateway's.
//
// Airflow reads the set when it gets its first token, and then every hour; from a file it would never
// read it again. A new signing key of the gateway is published for longer than that before it signs.
type JWKS struct {
	// The keys with which that Airflow signs. At least one; two while it gets another one.
	Keys []Key `json:"keys,omitempty"`

	app  gateway
	keys []token.PublicKey
}

// Key is a key with which an Airflow signs.
type Key struct {
	// Its name in tokens: jwt_kid in Airflow's section [api_auth].
	ID string `json:"id,omitempty"`

	// The public part of jwt_private_key_path in PEM, as `openssl pkey -pubout` writes it; usually a
	// placeholder, {file.*}. RSA of 2048 bits or more, Ed25519, or P-256.
	PublicKey string `json:"public_key,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (JWKS) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.deployment_airflow_jwks",
		New: func() caddy.Module { return new(JWKS) },
	}
}

// Provision reads the keys.
func (h *JWKS) Provision(ctx caddy.Context) (err error) {
	if len(h.Keys) == 0 {
		return errors.New("deployment_airflow_jwks: name the key with which Airflow signs: key <kid> {file.<path of its public key>}")
	}
	seen := make(map[string]bool)
	for _, key := range h.Keys {
		if seen[key.ID] {
			return fmt.Errorf("deployment_airflow_jwks: key %s is there twice", key.ID)
		}
		seen[key.ID] = true
		text, err := caddy.NewReplacer().ReplaceOrErr(key.PublicKey, true, true)
		if err != nil {
			return fmt.Errorf("deployment_airflow_jwks: key %s: %w", key.ID, err)
		}
		public, err := token.ParsePublicKey(key.ID, text)
		if err != nil {
			return fmt.Errorf("deployment_airflow_jwks: %w", err)
		}
		h.keys = append(h.keys, public)
	}
	app, err := caddymodule.AppOf(ctx)
	h.app = app
	return err
}

// ServeHTTP answers with the keys.
func (h *JWKS) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return access.WriteJSON(w, http.StatusMethodNotAllowed, map[string]access.Code{
			"error": access.CodeInvalidRequest, "error_description": "the method must be GET",
		})
	}
	ring, err := h.app.Authority().Ring(r.Context())
	if err != nil {
		refused := access.Unavailable(err)
		h.app.Report(refused)
		return refused.Write(w)
	}
	set, err := ring.JWKSWith(h.keys...)
	if err != nil {
		return caddyhttp.Error(http.StatusInternalServerError, err)
	}
	w.Header().Set("Cache-Control", caddymodule.PublicFor)
	return access.WriteEncoded(w, http.StatusOK, set)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*JWKS)(nil)
	_ caddyhttp.MiddlewareHandler = (*JWKS)(nil)
)
