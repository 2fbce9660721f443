package caddymodule

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

// This file is what resource servers and clients read before they trust this authorization server:
// its public keys and its metadata. None of it is secret.

func (h *TokenHandler) serveJWKS(w http.ResponseWriter, r *http.Request) error {
	if !h.allow(w, r, http.MethodGet, http.MethodHead) {
		return nil
	}
	ring, err := h.app.authority.Ring(r.Context())
	if err != nil {
		refused := access.Unavailable(err)
		h.app.Report(refused)
		return refused.Write(w)
	}
	w.Header().Set("ETag", ring.ETag())
	servePublic(w, r, ring.JWKS())
	return nil
}

// servePublic answers with JSON that others may keep, or 304.
func servePublic(w http.ResponseWriter, r *http.Request, content []byte) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", PublicFor)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// PublicFor is how long what is public may be kept by others. Many keep the signing keys for longer,
// Airflow for an hour: see [keystore.SigningKeyNotice].
const PublicFor = "public, max-age=300"

// IssuerURL is the URL at which clients reach the token endpoint, with no path, or "" when that was not
// configured.
func (a *App) IssuerURL() string {
	if a.Issuer == "" {
		return ""
	}
	return a.issuer
}

// metadata is RFC 8414 section 2.
type metadata struct {
	Issuer                 string   `json:"issuer"`
	TokenEndpoint          string   `json:"token_endpoint"`
	RevocationEndpoint     string   `json:"revocation_endpoint"`
	IntrospectionEndpoint  string   `json:"introspection_endpoint"`
	JWKSURI                string   `json:"jwks_uri"`
	ScopesSupported        []string `json:"scopes_supported"`
	ResponseTypesSupported []string `json:"response_types_supported"` // required; none: there is no authorization endpoint
	GrantTypesSupported    []string `json:"grant_types_supported"`
	TokenEndpointAuth      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth         []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAuth      []string `json:"introspection_endpoint_auth_methods_supported"`
}

func (h *TokenHandler) serveMetadata(w http.ResponseWriter, r *http.Request) error {
	if !h.allow(w, r, http.MethodGet, http.MethodHead) {
		return nil
	}
	if h.app.IssuerURL() == "" {
		return access.WriteJSON(w, http.StatusNotFound, map[string]string{
			"error": "there is no metadata, because this gateway was not told its own URL: set issuer in deployment_keys",
		})
	}
	secret := []string{"client_secret_basic", "client_secret_post"} // of RFC 7591 section 2
	encoded, err := json.Marshal(metadata{
		Issuer:                 h.app.issuer,
		TokenEndpoint:          h.app.issuer + pathToken,
		RevocationEndpoint:     h.app.issuer + pathRevoke,
		IntrospectionEndpoint:  h.app.issuer + pathIntrospect,
		JWKSURI:                h.app.issuer + pathJWKS,
		ScopesSupported:        keystore.AllScopes.Names(),
		ResponseTypesSupported: []string{},
		GrantTypesSupported:    []string{"client_credentials"},
		TokenEndpointAuth:      secret,
		RevocationAuth:         append(secret, "none"), // none: users, for their own tokens
		IntrospectionAuth:      secret,
	})
	if err != nil {
		return err
	}
	servePublic(w, r, encoded)
	return nil
}
