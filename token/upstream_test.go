package token

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func upstreamClaims(now time.Time) UpstreamClaims {
	return UpstreamClaims{
		Issuer: "https://auth.example.com", Subject: "key", Audience: "airflow:etl", Role: "VIEWER",
		IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute),
	}
}

func TestUpstreamTokenSaysWhatItShould(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []Algorithm{ES256, EdDSA, RS256} {
		ring := newUpstreamRing(t, algorithm)
		now := time.Now()
		raw, err := ring.SignUpstream(upstreamClaims(now))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jwt.Parse(raw, func(*jwt.Token) (any, error) { return ring.Signer().public, nil },
			jwt.WithValidMethods([]string{string(algorithm)}), jwt.WithAudience("airflow:etl"), jwt.WithIssuer("https://auth.example.com"))
		if err != nil {
			t.Fatal(err)
		}
		claims := parsed.Claims.(jwt.MapClaims)
		for name, want := range map[string]any{
			"sub": "key", "role": "VIEWER", "iat": float64(now.Unix()), "nbf": float64(now.Unix()), "exp": float64(now.Unix() + 300),
		} {
			if claims[name] != want {
				t.Errorf("%s is %v, want %v", name, claims[name], want)
			}
		}
		if len(claims) != 8 || len(claims["jti"].(string)) != 22 {
			t.Errorf("the claims are %v", claims)
		}
		if header := parsed.Header; len(header) != 3 || header["typ"] != "JWT" || header["kid"] != ring.Signer().ID() {
			t.Errorf("the header is %v", header)
		}
	}
}

// Whatever it claims, it is no access token: here as if the audience and the claims were those of one.
func TestUpstreamTokenIsNoAccessToken(t *testing.T) {
	t.Parallel()
	ring := newUpstreamRing(t, ES256)
	claims := upstreamClaims(time.Now())
	claims.Audience = "astronomer-ee"
	raw, err := ring.SignUpstream(claims)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := NewVerifier(Options{Issuer: claims.Issuer, Audiences: []string{claims.Audience}})
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close()
	if _, err := verifier.Verify(ring, raw); !errors.Is(err, ErrMalformed) {
		t.Errorf("the error is %v, want %v", err, ErrMalformed)
	}
}

func TestUpstreamClaimsAreRequired(t *testing.T) {
	t.Parallel()
	ring := newUpstreamRing(t, ES256)
	for want, change := range map[string]func(*UpstreamClaims){
		"iss":      func(c *UpstreamClaims) { c.Issuer = "" },
		"sub":      func(c *UpstreamClaims) { c.Subject = "" },
		"aud":      func(c *UpstreamClaims) { c.Audience = "" },
		"role":     func(c *UpstreamClaims) { c.Role = "" },
		"exp":      func(c *UpstreamClaims) { c.ExpiresAt = c.IssuedAt },
		"is not":   func(c *UpstreamClaims) { c.IssuedAt = time.Time{} },
		"accepted": func(c *UpstreamClaims) { c.Subject = strings.Repeat("x", maxTokenSize) },
	} {
		claims := upstreamClaims(time.Now())
		change(&claims)
		if _, err := ring.SignUpstream(claims); !errors.Is(err, ErrClaims) || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
}

// newUpstreamRing is a ring of one key.
func newUpstreamRing(t *testing.T, algorithm Algorithm) *Ring {
	t.Helper()
	key, err := GenerateKey(algorithm, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := NewRing([]*SigningKey{key}, key.ID())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
