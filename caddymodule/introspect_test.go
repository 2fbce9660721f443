package caddymodule

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

func (a *testApp) introspected(t *testing.T, key keystore.Key, secret, raw string) access.Introspection {
	t.Helper()
	w := a.post(t, pathIntrospect, key, secret, url.Values{"token": {raw}})
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var answer access.Introspection
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if !answer.Active && strings.TrimSpace(w.Body.String()) != `{"active":false}` {
		t.Errorf("RFC 7662 section 2.2: an inactive token has nothing but active: %s", w.Body)
	}
	return answer
}

// RFC 7662 section 2.2.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	ctx, by := t.Context(), keystore.Caller{Name: "test"}
	raw := app.token(t, app.key)
	answer := app.introspected(t, app.narrow, app.narrowSecret, raw)
	if !answer.Active || answer.Scope != keystore.AllScopes.String() || answer.ClientID != app.key.ID || answer.Subject != app.key.ID ||
		answer.TokenType != "Bearer" || answer.ExpiresAt-answer.IssuedAt != 86400 || answer.Audience != DefaultAudience ||
		answer.Issuer != app.issuer || answer.ID == "" || answer.DeploymentID != "dep1" || answer.Username != "" {
		t.Errorf("a token of the same Deployment: %+v", answer)
	}

	stranger, strangerSecret := app.newKey(t, "dep2", 0)
	if app.introspected(t, stranger, strangerSecret, raw).Active {
		t.Error("a key sees a token of another Deployment")
	}
	for _, garbage := range []string{"x", "a.b.c", raw[:len(raw)-1], raw + "x"} {
		if app.introspected(t, app.key, app.secret, garbage).Active {
			t.Errorf("%q is active", garbage)
		}
	}

	if _, err := app.keys.UpdateKey(ctx, by, "dep1", app.key.ID, func(k *keystore.Key) error {
		k.Scopes = keystore.ScopeAirflowRead
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := app.introspected(t, app.narrow, app.narrowSecret, raw).Scope; got != "airflow:read" {
		t.Errorf("scope %q after the key was narrowed", got)
	}
	app.post(t, pathRevoke, app.key, app.secret, url.Values{"token": {raw}})
	if app.introspected(t, app.narrow, app.narrowSecret, raw).Active {
		t.Error("a revoked token is active")
	}

	again := app.token(t, app.narrow)
	if err := app.keys.DeleteKey(ctx, by, "dep1", app.narrow.ID); err != nil {
		t.Fatal(err)
	}
	if app.introspected(t, app.key, app.secret, again).Active {
		t.Error("a token of a deleted key is active")
	}
}

func TestIntrospectionOfAUsersToken(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	if _, err := app.keys.PutMember(t.Context(), keystore.Caller{}, "dep1", "alice", keystore.RoleViewer); err != nil {
		t.Fatal(err)
	}
	raw, err := app.authority.IssueForUser(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	answer := app.introspected(t, app.key, app.secret, raw)
	if !answer.Active || answer.Scope != "airflow:read" || answer.Username != "alice" || answer.Subject != "alice" ||
		answer.ClientID != access.UserClient || answer.DeploymentID != "dep1" {
		t.Errorf("of a member: %+v", answer)
	}
	stranger, strangerSecret := app.newKey(t, "dep2", 0)
	if app.introspected(t, stranger, strangerSecret, raw).Active {
		t.Error("a key sees the token of a user who is no member of its Deployment")
	}
	for deployment, want := range map[string]string{"": "", "dep1": "airflow:read"} {
		if answer, err := app.authority.Introspect(t.Context(), raw, deployment); err != nil || !answer.Active || answer.Scope != want {
			t.Errorf("the admin API, for Deployment %q: %+v, %v", deployment, answer, err)
		}
	}
	if answer, err := app.authority.Introspect(t.Context(), raw, "dep2"); err != nil || answer.Active {
		t.Errorf("the admin API, where alice is no member: %+v, %v", answer, err)
	}
}

func TestIntrospectBadRequests(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	expectError(t, app.post(t, pathIntrospect, app.key, app.secret, nil), 400, access.CodeInvalidRequest, "token is missing")
	expectError(t, app.post(t, pathIntrospect, app.key, app.narrowSecret, url.Values{"token": {"x"}}), 401, access.CodeInvalidClient, "not right")
	expectError(t, app.post(t, pathIntrospect, keystore.Key{}, "", url.Values{"token": {"x"}}), 401, access.CodeInvalidClient, "missing")
	expectError(t, app.post(t, pathIntrospect, app.key, app.secret, url.Values{"token": {"x", "y"}}), 400, access.CodeInvalidRequest, "more than once")
}
