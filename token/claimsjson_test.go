package token_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/deploymentkeys/gateway/internal/propertytest"
	"github.com/deploymentkeys/gateway/token"
)

// reflectedClaims is the JSON form as encoding/json would write it.
type reflectedClaims struct {
	Issuer       string    `json:"iss"`
	Subject      string    `json:"sub"`
	Audience     string    `json:"aud"`
	ExpiresAt    int64     `json:"exp"`
	IssuedAt     int64     `json:"iat"`
	ID           string    `json:"jti"`
	ClientID     string    `json:"client_id"`
	Scope        string    `json:"scope,omitempty"`
	DeploymentID string    `json:"deployment_id,omitempty"`
	Permissions  []string  `json:"permissions,omitempty"`
	Epochs       [3]uint64 `json:"epochs,omitzero"`
}

// Claims are written by hand, so they are held against what reflection makes of them, whatever is in the texts.
func TestClaimsAreWrittenAsByReflection(t *testing.T) {
	t.Parallel()
	propertytest.Check(t, func(rt *rapid.T) {
		text := func(name string) string {
			return rapid.OneOf(
				rapid.String(),
				rapid.StringOf(rapid.RuneFrom([]rune("a/\"\\<>&'\x00\n\x1f \x7f\u2028\u2029é\ufffd😀"))),
				rapid.Map(rapid.SliceOf(rapid.Byte()), func(bytes []byte) string { return string(bytes) }),
				rapid.StringMatching(`[-_.:a-zA-Z0-9 ]*`),
			).Draw(rt, name)
		}
		moment := func(name string) time.Time { return time.Unix(rapid.Int64Range(-1, 1<<40).Draw(rt, name), 999_999_999) }
		epoch := func(name string) uint64 { return rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(rt, name) }
		claims := token.Claims{
			Issuer: text("iss"), Subject: text("sub"), Audience: text("aud"), ID: text("jti"), ClientID: text("client_id"),
			Scope: text("scope"), DeploymentID: text("deployment_id"),
			Epochs:    token.Epochs{Key: epoch("key"), Deployment: epoch("deployment"), All: epoch("all")},
			ExpiresAt: moment("exp"), IssuedAt: moment("iat"),
		}
		for range rapid.IntRange(0, 3).Draw(rt, "permissions") {
			claims.Permissions = append(claims.Permissions, text("permission"))
		}
		if got, want := written(claims), reflected(claims); got != want {
			rt.Fatalf("written as\n%q, by reflection it is\n%q", got, want)
		}
	})
}

// Each character by itself: where another one needs an escape, all are left to encoding/json.
func TestEachCharacterIsWrittenAsByReflection(t *testing.T) {
	t.Parallel()
	characters := []string{"\u2028", "\u2029", "\ufffd", "😀", "\xff", ""}
	for c := range rune(0x100) {
		characters = append(characters, string(c))
	}
	for _, c := range characters {
		claims := sampleClaims()
		claims.Subject = "a" + c + "b"
		if got, want := written(claims), reflected(claims); got != want {
			t.Errorf("%q is written as\n%q, by reflection it is\n%q", c, got, want)
		}
	}
}

func written(c token.Claims) string { return string(must(c.MarshalJSON())) }

func reflected(c token.Claims) string {
	return string(must(json.Marshal(reflectedClaims{
		c.Issuer, c.Subject, c.Audience, c.ExpiresAt.Unix(), c.IssuedAt.Unix(), c.ID, c.ClientID, c.Scope, c.DeploymentID,
		c.Permissions,
		[3]uint64{c.Epochs.Key, c.Epochs.Deployment, c.Epochs.All},
	})))
}
