package token_test

import (
	"errors"
	"testing"

	"github.com/deploymentkeys/gateway/token"
)

func TestProven(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, token.ErrSignature, token.ErrExpired, errors.New("other")} {
		if token.Proven(err) {
			t.Errorf("%v by itself proves nothing", err)
		}
	}
}

func TestProvenToken(t *testing.T) {
	t.Parallel()
	key, good := keys()[token.ES256], payloadOf(sampleClaims())
	ring, now := ringOf(token.ES256), start.Unix()
	text := func(payload object) string { return forge(key, headerOf(key).String(), payload.String()) }
	client := sampleClaims().ClientID

	for _, tc := range []struct {
		name   string
		raw    string
		want   error
		client string // "": no token
	}{
		{"expired", text(good.with("exp", now-1)), token.ErrExpired, client},
		{"issued in the future", text(good.with("iat", now+61)), token.ErrNotYetValid, client},
		{"not before the future", text(good.with("nbf", now+61)), token.ErrNotYetValid, client},
		{"of another issuer", text(good.with("iss", "https://other.example.com")), token.ErrIssuer, client},
		{"for another audience", text(good.with("aud", "registry")), token.ErrAudience, client},
		{"two audiences", text(good.with("aud", []string{audience, "registry"})), token.ErrClaims, ""},
		{"no sub", text(good.without("sub")), token.ErrClaims, ""},
		{"wrong signature", text(good) + "AA", token.ErrSignature, ""},
		{"malformed", "x", token.ErrMalformed, ""},
	} {
		_, err := newVerifier(t, nil).Verify(ring, tc.raw)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
		got, ok := token.ProvenToken(err)
		if ok != (tc.client != "") || ok != (got != nil) || token.ProvenClient(err) != tc.client {
			t.Errorf("%s: got %+v, %t, client %q", tc.name, got, ok, token.ProvenClient(err))
			continue
		}
		if ok && (got.KeyID != key.ID() || got.DeploymentID != sampleClaims().DeploymentID) {
			t.Errorf("%s: got %+v", tc.name, got)
		}
	}
	for _, err := range []error{nil, token.ErrExpired} {
		if got, ok := token.ProvenToken(err); ok || got != nil {
			t.Errorf("%v by itself has the token %+v", err, got)
		}
	}
}
