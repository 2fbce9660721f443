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
	for _, algorithm := range []string{oidc.ES256, oidc.EdDSA, oidc.RS256} {
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

func TestKeySetSaysWhatEachKeyIsFor(t *testing.T) {
	t.Parallel()
	for algorithm, kind := range map[string]string{"ES256": "EC", "EdDSA": "OKP", "RS256": "RSA"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			g := oauthSite(t, embedded(t), "signing_algorithm "+algorithm)
			call(t, http.MethodPost, g.Admin("/signing_keys/rotate"), nil).Want(http.StatusCreated)
			var keys []jwk
			eventually(t, "the announced key is published", func() bool {
				keys = g.jwks(t)
				return len(keys) == 2
			})
			for _, key := range keys {
				if key.KeyID == "" || key.Algorithm != algorithm || key.Use != "sig" || key.Type != kind || key.Private != "" {
					t.Errorf("%+v, want a kid, alg %s, use sig and kty %s", key, algorithm, kind)
				}
			}
			if keys[0].KeyID == keys[1].KeyID {
				t.Error("two keys have one kid")
			}
		})
	}
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

// Two nodes tell the same, byte for byte: a resource server may ask either, and whatever is in between may keep it.
func TestKeySetIsTheSameOnEveryNode(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	first := oauthSite(t, s)
	nodes := []*site{first, nodeBeside(t, first, s)}
	call(t, http.MethodPost, nodes[0].Admin("/signing_keys/rotate"), nil).Want(http.StatusCreated)
	var answers [2]reply
	eventually(t, "both publish the announced key", func() bool {
		for i, g := range nodes {
			answers[i] = call(t, http.MethodGet, g.URL(g.port, "/.well-known/jwks.json"), nil).Want(http.StatusOK)
		}
		return len(nodes[0].jwks(t)) == 2 && len(nodes[1].jwks(t)) == 2
	})
	if answers[0].Header.Get("ETag") != answers[1].Header.Get("ETag") || string(answers[0].Body) != string(answers[1].Body) {
		t.Errorf("one node says %s, the other %s", answers[0].Body, answers[1].Body)
	}
}
