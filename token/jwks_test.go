package token_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/deploymentkeys/gateway/token"
)

// TestJWKSMembers holds the key set against RFC 7517 section 4, RFC 7518 section 6 and RFC 8037
// section 2: everything that a resource server needs, and no private parameter.
func TestJWKSMembers(t *testing.T) {
	t.Parallel()
	ring := ringOf(token.ES256)
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != len(algorithms) {
		t.Fatalf("%d keys, want %d", len(set.Keys), len(algorithms))
	}
	want := map[string]struct {
		kty, crv string
		members  []string
	}{
		"ES256": {"EC", "P-256", []string{"alg", "crv", "kid", "kty", "use", "x", "y"}},
		"EdDSA": {"OKP", "Ed25519", []string{"alg", "crv", "kid", "kty", "use", "x"}},
		"RS256": {"RSA", "", []string{"alg", "e", "kid", "kty", "n", "use"}},
	}
	for _, jwk := range set.Keys {
		expected, ok := want[jwk["alg"]]
		if !ok {
			t.Fatalf("alg %q", jwk["alg"])
		}
		var members []string
		for name := range jwk {
			members = append(members, name)
		}
		slices.Sort(members)
		if !slices.Equal(members, expected.members) {
			t.Errorf("%s has %v, want %v", jwk["alg"], members, expected.members)
		}
		if jwk["kty"] != expected.kty || jwk["crv"] != expected.crv || jwk["use"] != "sig" {
			t.Errorf("%v", jwk)
		}
		if jwk["kid"] != keys()[token.Algorithm(jwk["alg"])].ID() {
			t.Errorf("%s has kid %q", jwk["alg"], jwk["kid"])
		}
	}

	if !bytes.Equal(ring.JWKS(), ringOf(token.RS256).JWKS()) {
		t.Error("the same keys give another document")
	}
	ring.JWKS()[0] = 'x'
	if ring.JWKS()[0] != '{' {
		t.Error("a caller changed the ring's document")
	}
}

// TestThirdPartyVerifies lets another implementation verify tokens that knows the issuer only by its
// JWK Set.
func TestThirdPartyVerifies(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			ring, claims := ringOf(alg), sampleClaims()
			raw := must(ring.Sign(claims))

			var set jose.JSONWebKeySet
			if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
				t.Fatal(err)
			}
			parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			header := parsed.Headers[0]
			if header.ExtraHeaders[jose.HeaderType] != "at+jwt" || header.KeyID != ring.Signer().ID() {
				t.Errorf("header %+v", header)
			}
			var registered jwt.Claims
			var private struct {
				ClientID     string   `json:"client_id"`
				Scope        string   `json:"scope"`
				DeploymentID string   `json:"deployment_id"`
				Permissions  []string `json:"permissions"`
			}
			if err := parsed.Claims(set, &registered, &private); err != nil {
				t.Fatal(err)
			}
			expected := jwt.Expected{
				Issuer: issuer, Subject: claims.Subject, ID: claims.ID,
				AnyAudience: jwt.Audience{audience}, Time: start,
			}
			if err := registered.ValidateWithLeeway(expected, 0); err != nil {
				t.Error(err)
			}
			if !registered.Expiry.Time().Equal(claims.ExpiresAt) || !registered.IssuedAt.Time().Equal(claims.IssuedAt) {
				t.Errorf("times %v, %v", registered.IssuedAt.Time(), registered.Expiry.Time())
			}
			if private.ClientID != claims.ClientID || private.Scope != claims.Scope ||
				private.DeploymentID != claims.DeploymentID || !slices.Equal(private.Permissions, claims.Permissions) {
				t.Errorf("got %+v, want %+v", private, claims)
			}

			changed := raw[:len(raw)-8] + strings.Repeat("A", 8)
			parsed, err = jwt.ParseSigned(changed, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err == nil && parsed.Claims(set, &registered) == nil {
				t.Error("a changed signature is verified")
			}
		})
	}
}
