package integration

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// metadata is all of RFC 8414 section 2 that could be named, so that a member that is named and not looked at here does
// not go unnoticed.
type metadata struct {
	Issuer                 string   `json:"issuer"`
	TokenEndpoint          string   `json:"token_endpoint"`
	RevocationEndpoint     string   `json:"revocation_endpoint"`
	IntrospectionEndpoint  string   `json:"introspection_endpoint"`
	JWKSURI                string   `json:"jwks_uri"`
	ScopesSupported        []string `json:"scopes_supported"`
	ResponseTypesSupported []string `json:"response_types_supported"`
	GrantTypesSupported    []string `json:"grant_types_supported"`
	TokenEndpointAuth      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth         []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAuth      []string `json:"introspection_endpoint_auth_methods_supported"`
}

// discover reads the metadata from the place that follows from the issuer (RFC 8414 section 3).
func (s *site) discover(t *testing.T) (m metadata) {
	t.Helper()
	answer := call(t, http.MethodGet, s.issuer()+"/.well-known/oauth-authorization-server", nil).Want(http.StatusOK)
	answer.JSON(&m)
	var members map[string]any
	answer.JSON(&members)
	if len(members) != 11 {
		t.Errorf("the metadata has %d members, and this test knows 11: %s", len(members), answer.Body)
	}
	return m
}

// authMethods are those of RFC 7591 section 2 and of RFC 7523: how a request is made that uses each.
var authMethods = map[string]func(k key, form url.Values) []requestOption{
	"client_secret_basic": func(k key, _ url.Values) []requestOption { return []requestOption{basic(k.ID, k.Secret)} },
	"client_secret_post": func(k key, form url.Values) []requestOption {
		form.Set("client_id", k.ID)
		form.Set("client_secret", k.Secret)
		return nil
	},
	"none": func(k key, form url.Values) []requestOption {
		form.Set("client_id", k.ID)
		return nil
	},
	"client_secret_jwt": func(k key, form url.Values) []requestOption {
		form.Set("client_id", k.ID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", "e30.e30.c2ln")
		return nil
	},
	"bearer": func(k key, _ url.Values) []requestOption { return []requestOption{bearer(k.Secret)} },
}

// users is the client of the tokens that users have, which has no secret.
var users = key{ID: "deployment-keys-user"}

// Whatever the metadata names works, by each method that it names; and what works is named.
func TestMetadataIsTrue(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := oauthSite(t, s)
		k := g.newKey(t, "dep1")
		g.putMember(t, "dep1", "alice", "viewer")
		m := g.discover(t)
		if m.Issuer != g.issuer() {
			t.Errorf("RFC 8414 section 3.3: the issuer is %q, want %q", m.Issuer, g.issuer())
		}
		for _, endpoint := range []struct {
			name, url string
			methods   []string
			form      func() url.Values
		}{
			{"token", m.TokenEndpoint, m.TokenEndpointAuth, func() url.Values { return url.Values{"grant_type": {"client_credentials"}} }},
			{"revocation", m.RevocationEndpoint, m.RevocationAuth, func() url.Values { return url.Values{"token": {g.token(t, k)}} }},
			{"introspection", m.IntrospectionEndpoint, m.IntrospectionAuth, func() url.Values { return url.Values{"token": {g.token(t, k)}} }},
		} {
			for method, authenticate := range authMethods {
				t.Run(endpoint.name+"/"+method, func(t *testing.T) {
					form, client := endpoint.form(), k
					if method == "none" && slices.Contains(endpoint.methods, method) {
						// It is for users, who have no secret.
						client = users
						form.Set("token", g.userToken(t, "alice"))
					}
					options := authenticate(client, form)
					answer := call(t, http.MethodPost, endpoint.url, form, options...)
					if slices.Contains(endpoint.methods, method) {
						answer.Want(http.StatusOK)
						return
					}
					wantRefusal(t, answer, http.StatusUnauthorized, "invalid_client")
				})
			}
		}
		t.Run("revoked without a secret", func(t *testing.T) {
			token := g.userToken(t, "alice")
			g.get(t, "dep1", token).Want(http.StatusOK)
			call(t, http.MethodPost, m.RevocationEndpoint, url.Values{"token": {token}, "client_id": {users.ID}}).Want(http.StatusOK)
			wantRefusal(t, g.get(t, "dep1", token), http.StatusUnauthorized, "invalid_token")
		})
	})
}

// The grants that IANA knows for grant_types_supported: what is not named is refused with the code that says so.
func TestMetadataNamesTheGrantTypes(t *testing.T) {
	t.Parallel()
	g := oauthSite(t, embedded(t))
	k, m := g.newKey(t, "dep1"), g.discover(t)
	if len(m.ResponseTypesSupported) != 0 {
		t.Errorf("response types %v without an authorization endpoint", m.ResponseTypesSupported)
	}
	for _, grantType := range []string{
		"client_credentials", "authorization_code", "implicit", "password", "refresh_token",
		"urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:saml2-bearer",
		"urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange",
		"urn:openid:params:grant-type:ciba",
	} {
		answer := call(t, http.MethodPost, m.TokenEndpoint, url.Values{
			"grant_type": {grantType}, "code": {"x"}, "refresh_token": {"x"}, "username": {"x"}, "password": {"x"}, "assertion": {"x"},
		}, basic(k.ID, k.Secret))
		if slices.Contains(m.GrantTypesSupported, grantType) {
			answer.Want(http.StatusOK)
			continue
		}
		wantRefusal(t, answer, http.StatusBadRequest, "unsupported_grant_type")
	}
}

func TestMetadataNamesTheScopes(t *testing.T) {
	t.Parallel()
	g := oauthSite(t, embedded(t))
	k, m := g.newKey(t, "dep1"), g.discover(t)
	if len(m.ScopesSupported) == 0 {
		t.Error("no scopes are named")
	}
	for _, scope := range append([]string{"openid", "admin", "airflow", "airflow:", "DEPLOY"}, m.ScopesSupported...) {
		answer := call(t, http.MethodPost, m.TokenEndpoint, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}, basic(k.ID, k.Secret))
		if !slices.Contains(m.ScopesSupported, scope) {
			wantRefusal(t, answer, http.StatusBadRequest, "invalid_scope")
			continue
		}
		var got grant
		answer.Want(http.StatusOK).JSON(&got)
		if got.Scope != scope {
			t.Errorf("asked for %s, got %s", scope, got.Scope)
		}
	}
}
