package token_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/token"
)

func TestSignVerifyRoundTrip(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			ring, claims := ringOf(alg), sampleClaims()
			raw, err := ring.Sign(claims)
			if err != nil {
				t.Fatal(err)
			}
			for _, how := range []struct {
				name string
				size int
			}{{"remembering", 0}, {"without memory", -1}} {
				v := newVerifier(t, func(o *token.Options) { o.CacheSize = how.size })
				for range 2 {
					got, err := v.Verify(ring, raw)
					if err != nil {
						t.Fatalf("%s: %v", how.name, err)
					}
					if !reflect.DeepEqual(got.Claims, claims) || got.KeyID != ring.Signer().ID() {
						t.Errorf("%s: got %+v, want %+v", how.name, got, claims)
					}
				}
			}
		})
	}
}

// A node that holds no private key verifies the same tokens.
func TestVerifyNeedsOnlyPublicKeys(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		ring, claims := ringOf(alg), sampleClaims()
		got, err := newVerifier(t, nil).Verify(token.PublicOnly(ring), must(ring.Sign(claims)))
		if err != nil || !reflect.DeepEqual(got.Claims, claims) {
			t.Errorf("%s: got %+v, %v, want %+v", alg, got, err, claims)
		}
	}
}

// TestSignForm holds a token against RFC 9068 section 2, member by member.
func TestSignForm(t *testing.T) {
	t.Parallel()
	ring, claims := ringOf(token.ES256), sampleClaims()
	parts := strings.Split(must(ring.Sign(claims)), ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	decode := func(part string) (o object) {
		if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(part)), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	if got, want := decode(parts[0]), headerOf(ring.Signer()); !reflect.DeepEqual(got, want) {
		t.Errorf("header %v, want %v", got, want)
	}
	want := object{
		"iss": issuer, "sub": claims.Subject, "aud": audience, "jti": claims.ID, "client_id": claims.ClientID,
		"iat": float64(claims.IssuedAt.Unix()), "exp": float64(claims.ExpiresAt.Unix()),
		"scope": claims.Scope, "deployment_id": claims.DeploymentID,
		"permissions": []any{"deploymentId:" + claims.DeploymentID},
		"epochs":      []any{3.0, 0.0, 12.0},
	}
	if got := decode(parts[1]); !reflect.DeepEqual(got, want) {
		t.Errorf("payload %v, want %v", got, want)
	}

	claims.Scope, claims.DeploymentID, claims.Permissions, claims.Epochs = "", "", nil, token.Epochs{}
	least := decode(strings.Split(must(ring.Sign(claims)), ".")[1])
	if want := want.without("scope").without("deployment_id").without("permissions").without("epochs"); !reflect.DeepEqual(least, want) {
		t.Errorf("the least payload is %v, want %v", least, want)
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*token.Claims)
	}{
		{"no iss", func(c *token.Claims) { c.Issuer = "" }},
		{"no sub", func(c *token.Claims) { c.Subject = "" }},
		{"no aud", func(c *token.Claims) { c.Audience = "" }},
		{"no jti", func(c *token.Claims) { c.ID = "" }},
		{"no client_id", func(c *token.Claims) { c.ClientID = "" }},
		{"no iat", func(c *token.Claims) { c.IssuedAt = time.Time{} }},
		{"no exp", func(c *token.Claims) { c.ExpiresAt = time.Time{} }},
		{"exp in the year 10000", func(c *token.Claims) { c.ExpiresAt = time.Unix(253402300800, 0) }},
		{"exp in the same second as iat", func(c *token.Claims) { c.ExpiresAt = c.IssuedAt.Add(999 * time.Millisecond) }},
		{"sub is not UTF-8", func(c *token.Claims) { c.Subject = "a\xff" }},
		{"permission is not UTF-8", func(c *token.Claims) { c.Permissions = []string{"\xff"} }},
		{"an empty permission", func(c *token.Claims) { c.Permissions = []string{"a", ""} }},
		{"epoch of the key above 2^53-1", func(c *token.Claims) { c.Epochs.Key = 1 << 53 }},
		{"epoch of the Deployment above 2^53-1", func(c *token.Claims) { c.Epochs.Deployment = 1 << 53 }},
		{"epoch of all above 2^53-1", func(c *token.Claims) { c.Epochs.All = 1<<64 - 1 }},
		{"over 8 KiB", func(c *token.Claims) { c.Scope = strings.Repeat("s ", 4000) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			claims := sampleClaims()
			tc.change(&claims)
			if raw, err := ringOf(token.ES256).Sign(claims); !errors.Is(err, token.ErrClaims) {
				t.Errorf("got %q, %v, want ErrClaims", raw, err)
			}
		})
	}
}

func TestNewID(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		id := token.NewID()
		if raw, err := base64.RawURLEncoding.DecodeString(id); err != nil || len(raw) != 16 || seen[id] {
			t.Fatalf("%q: %v, or seen before", id, err)
		}
		seen[id] = true
	}
}
