package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
)

// jwk is a public key as it is published.
type jwk struct {
	KeyID     string `json:"kid"`
	Type      string `json:"kty"`
	Algorithm string `json:"alg"`
	Use       string `json:"use"`
	Private   string `json:"d"`
}

// jwks reads the public keys.
func (s *site) jwks(t *testing.T) (keys []jwk) {
	t.Helper()
	var set struct {
		Keys []jwk `json:"keys"`
	}
	call(t, http.MethodGet, s.URL(s.port, "/.well-known/jwks.json"), nil).Want(http.StatusOK).JSON(&set)
	return set.Keys
}

// Code that knows nothing of this product verifies its tokens, from the URL of the key set alone.
func TestThirdPartyVerifiesTokensFromTheKeySetAlone(t *testing.T) {
	t.Parallel()
	for algorithm, kind := range map[string]string{oidc.ES256: "EC", oidc.EdDSA: "OKP", oidc.RS256: "RSA"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			g := oauthSite(t, embedded(t), "signing_algorithm "+algorithm)
			k := g.newKey(t, "dep1")
			token := g.token(t, k)
			keys := oidc.NewRemoteKeySet(t.Context(), g.URL(g.port, "/.well-known/jwks.json"))
			config := oidc.Config{ClientID: "astronomer-ee", SupportedSigningAlgs: []string{algorithm}}
			verify := func(issuer string, config oidc.Config, token string) (*oidc.IDToken, error) {
				return oidc.NewVerifier(issuer, keys, &config).Verify(t.Context(), token)
			}
			verified, err := verify(g.issuer(), config, token)
			if err != nil {
				t.Fatal(err)
			}
			var claims struct {
				ClientID     string `json:"client_id"`
				DeploymentID string `json:"deployment_id"`
				Scope        string `json:"scope"`
			}
			if err := verified.Claims(&claims); err != nil {
				t.Fatal(err)
			}
			if verified.Subject != k.ID || claims.ClientID != k.ID || claims.DeploymentID != "dep1" || claims.Scope != allScopes ||
				verified.Expiry.Sub(verified.IssuedAt).Hours() != 24 {
				t.Errorf("they read %+v of %+v", claims, verified)
			}

			// And what they must not accept, they don't: the verifier does verify.
			config.ClientID = "else"
			if _, err := verify(g.issuer(), config, token); err == nil {
				t.Error("accepted for another audience")
			}
			config.ClientID = "astronomer-ee"
			if _, err := verify("https://else.example.com", config, token); err == nil {
				t.Error("accepted of another issuer")
			}
			if _, err := verify(g.issuer(), config, tampered(token)); err == nil {
				t.Error("accepted with another signature")
			}
			other := oauthSite(t, embedded(t), "signing_algorithm "+algorithm)
			if _, err := verify(other.issuer(), config, other.token(t, other.newKey(t, "dep1"))); err == nil {
				t.Error("accepted with the signature of another gateway")
			}

			// The set says what each key is for, also of one that is only announced.
			g.post(t, "/signing_keys/rotate").Want(http.StatusCreated)
			published := g.jwks(t)
			if len(published) != 2 || published[0].KeyID == published[1].KeyID {
				t.Errorf("the key set is %+v, want two keys", published)
			}
			for _, key := range published {
				if key.KeyID == "" || key.Algorithm != algorithm || key.Use != "sig" || key.Type != kind || key.Private != "" {
					t.Errorf("%+v, want a kid, alg %s, use sig and kty %s", key, algorithm, kind)
				}
			}
		})
	}
}

// tampered is a token with one character in the middle of its signature changed.
func tampered(token string) string {
	at := len(token) - 20
	with := "A"
	if token[at] == 'A' {
		with = "B"
	}
	return token[:at] + with + token[at+1:]
}

// A resource server that asks often costs nothing, and hears of a new key by the same question.
func TestKeySetIsCachedAndTold(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := oauthSite(t, s)
		target := g.URL(g.port, "/.well-known/jwks.json")
		first := call(t, http.MethodGet, target, nil).Want(http.StatusOK)
		tag := first.Header.Get("ETag")
		if !strings.HasPrefix(tag, `"`) || first.Header.Get("Cache-Control") != "public, max-age=300" ||
			first.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the head is %v, want an ETag, to be kept for five minutes, and JSON", first.Header)
		}
		for _, match := range []string{tag, "W/" + tag, `"else", ` + tag, "*"} {
			same := call(t, http.MethodGet, target, nil, header("If-None-Match", match)).Want(http.StatusNotModified)
			if len(same.Body) != 0 || same.Header.Get("ETag") != tag || same.Header.Get("Cache-Control") != first.Header.Get("Cache-Control") {
				t.Errorf("RFC 9110 section 15.4.5: If-None-Match %s is answered %v", match, same.Header)
			}
		}
		call(t, http.MethodGet, target, nil, header("If-None-Match", `"else"`)).Want(http.StatusOK)
		head := call(t, http.MethodHead, target, nil).Want(http.StatusOK)
		if len(head.Body) != 0 || head.Header.Get("ETag") != tag || head.Header.Get("Content-Length") != first.Header.Get("Content-Length") {
			t.Errorf("HEAD is answered %v", head.Header)
		}
		call(t, http.MethodHead, target, nil, header("If-None-Match", tag)).Want(http.StatusNotModified)

		call(t, http.MethodPost, g.Admin("/signing_keys/rotate"), nil).Want(http.StatusCreated)
		eventually(t, "the tag is another one", func() bool {
			return call(t, http.MethodGet, target, nil, header("If-None-Match", tag)).Status == http.StatusOK
		})
	})
}
