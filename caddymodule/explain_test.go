package caddymodule

import (
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// otherSignature is the same token with the other signature that ECDSA has for it: s is replaced by
// its negative.
func otherSignature(t *testing.T, raw string) string {
	t.Helper()
	end := strings.LastIndexByte(raw, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(raw[end:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return raw[:end] + base64.RawURLEncoding.EncodeToString(signature)
}

func TestExplain(t *testing.T) {
	t.Parallel()
	app, foreign := newTestApp(t, nil), newTestApp(t, nil)
	ctx, by := t.Context(), keystore.Caller{Name: "test"}
	ring, err := app.authority.Ring(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(edit func(*token.Claims)) string {
		t.Helper()
		now := time.Now()
		claims := token.Claims{
			Issuer: app.issuer, Subject: app.key.ID, Audience: DefaultAudience, ID: token.NewID(), ClientID: app.key.ID,
			Scope: "airflow:read", DeploymentID: "dep1", IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		}
		edit(&claims)
		raw, err := ring.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := app.token(t, app.narrow)
	gone, _ := app.newKey(t, "dep1", 0)
	ofGone := app.token(t, gone)
	revokedKey, revokedSecret := app.newKey(t, "dep1", 0)
	revoked := app.token(t, revokedKey)
	app.post(t, pathRevoke, revokedKey, revokedSecret, url.Values{"token": {revoked}})
	if err := app.keys.DeleteKey(ctx, by, "dep1", gone.ID); err != nil {
		t.Fatal(err)
	}
	expiredOfGone := sign(func(c *token.Claims) {
		c.Subject, c.ClientID, c.ExpiresAt, c.IssuedAt = gone.ID, gone.ID, time.Now().Add(-time.Minute), time.Now().Add(-time.Hour)
	})
	if _, err := app.keys.PutMember(ctx, by, "dep1", "alice", keystore.RoleViewer); err != nil {
		t.Fatal(err)
	}
	user := app.userToken(t, "alice")

	for name, test := range map[string]struct {
		raw, deployment string
		need            keystore.Scopes
		verdict         string
		failed          []access.Check // in their order
		status          int
		reason          string
	}{
		"good":                       {raw: good, verdict: "accepted"},
		"good, for a request":        {raw: good, deployment: "dep1", need: keystore.ScopeAirflowRead, verdict: "accepted"},
		"wrong Deployment":           {raw: good, deployment: "dep2", verdict: "refused", failed: []access.Check{access.CheckDeployment}, status: 403, reason: "for dep2"},
		"wrong Deployment and scope": {raw: good, deployment: "dep2", need: keystore.ScopeDeploy, verdict: "refused", failed: []access.Check{access.CheckDeployment, access.CheckScope}, status: 403, reason: "for dep2"},
		"without the scope":          {raw: good, deployment: "dep1", need: keystore.ScopeDeploy, verdict: "refused", failed: []access.Check{access.CheckScope}, status: 403, reason: "needs the scope deploy"},
		"nothing":                    {raw: "", verdict: "refused", failed: []access.Check{access.CheckForm}, status: 401, reason: "not a valid access token"},
		"garbage":                    {raw: "garbage", verdict: "refused", failed: []access.Check{access.CheckForm}, status: 401, reason: "not a valid access token"},
		"a secret":                   {raw: app.secret, verdict: "refused", failed: []access.Check{access.CheckForm}, status: 401, reason: "not a valid access token"},
		"of another gateway":         {raw: foreign.token(t, foreign.key), verdict: "refused", failed: []access.Check{access.CheckSignature}, status: 401, reason: "not a valid access token"},
		"cut off":                    {raw: good[:len(good)-1], verdict: "refused", failed: []access.Check{access.CheckForm}, status: 401, reason: "not a valid access token"},
		"a forged signature":         {raw: good[:len(good)-10] + "AAAAAAAAAA", verdict: "refused", failed: []access.Check{access.CheckSignature}, status: 401, reason: "not a valid access token"},
		"another issuer":             {raw: sign(func(c *token.Claims) { c.Issuer = "https://else" }), verdict: "refused", failed: []access.Check{access.CheckIssuer}, status: 401, reason: "another issuer"},
		"another audience":           {raw: sign(func(c *token.Claims) { c.Audience = "else" }), verdict: "refused", failed: []access.Check{access.CheckAudience}, status: 401, reason: "another audience"},
		"expired": {raw: sign(func(c *token.Claims) {
			c.IssuedAt, c.ExpiresAt = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}), verdict: "refused", failed: []access.Check{access.CheckTime}, status: 401, reason: "expired at"},
		"of the future": {raw: sign(func(c *token.Claims) {
			c.IssuedAt, c.ExpiresAt = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		}), verdict: "refused", failed: []access.Check{access.CheckTime}, status: 401, reason: "not yet valid"},
		"key deleted":                 {raw: ofGone, verdict: "refused", failed: []access.Check{access.CheckHolder}, status: 401, reason: "was deleted"},
		"expired, and key deleted":    {raw: expiredOfGone, verdict: "refused", failed: []access.Check{access.CheckTime, access.CheckHolder}, status: 401, reason: "expired at"},
		"revoked":                     {raw: revoked, verdict: "refused", failed: []access.Check{access.CheckRevocation}, status: 401, reason: "it was revoked"},
		"a user's":                    {raw: user, verdict: "accepted"},
		"a user's, for a request":     {raw: user, deployment: "dep1", need: keystore.ScopeAirflowRead, verdict: "accepted"},
		"a user's, without the scope": {raw: user, deployment: "dep1", need: keystore.ScopeDeploy, verdict: "refused", failed: []access.Check{access.CheckScope}, status: 403, reason: "needs the scope"},
		"a user's, no member":         {raw: user, deployment: "dep2", verdict: "refused", failed: []access.Check{access.CheckHolder}, status: 403, reason: "not a member"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explained := app.authority.Explain(ctx, test.raw, test.deployment, test.need, netip.Addr{})
			var failed []access.Check
			for i, c := range explained.Checks {
				if c.Check != string(allChecks[i]) {
					t.Errorf("check %d is %s, want %s", i, c.Check, allChecks[i])
				}
				if c.Result == "failed" {
					failed = append(failed, access.Check(c.Check))
				}
			}
			if explained.Verdict != test.verdict || explained.Status != test.status || !strings.Contains(explained.Description, test.reason) ||
				len(explained.Checks) != len(allChecks) || len(failed) != len(test.failed) {
				t.Fatalf("%+v", explained)
			}
			for i := range failed {
				if failed[i] != test.failed[i] {
					t.Errorf("failed %v, want %v", failed, test.failed)
				}
			}
			if strings.Contains(explained.Description, app.secret) {
				t.Error("the secret is repeated")
			}
			if test.status == 0 || test.status == 403 {
				return
			}
			// A request with the token is answered the same.
			if test.raw != "" {
				expectError(t, app.get(t, "/dep1/api", test.raw), test.status, access.Code(explained.Error), explained.Description)
			}
		})
	}
}

func TestExplainInAnOutage(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	raw := app.token(t, app.key)
	app.authority.MaxStaleness = 0
	app.node.Close(true) // closes the store
	explained := app.authority.Explain(t.Context(), raw, "dep1", 0, netip.Addr{})
	if explained.Verdict != "unknown" || explained.Status != 503 {
		t.Errorf("%+v", explained)
	}
}

// allChecks are the checks of a token in the order of an explanation.
var allChecks = [...]access.Check{
	access.CheckForm, access.CheckSignature, access.CheckClaims, access.CheckIssuer, access.CheckAudience, access.CheckTime,
	access.CheckHolder, access.CheckRevocation, access.CheckDeployment, access.CheckScope,
}
