package keystore

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestScopes(t *testing.T) {
	t.Parallel()
	for set := range AllScopes + 1 {
		if parsed, err := ParseScopes(set.Names()); err != nil || parsed != set {
			t.Errorf("names %q are read as %v, error %v", set.Names(), parsed, err)
		}
		if parsed, err := ParseScopeText(set.String()); err != nil || parsed != set {
			t.Errorf("text %q is read as %v, error %v", set, parsed, err)
		}
		encoded, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		var decoded Scopes
		if err := json.Unmarshal(encoded, &decoded); err != nil || decoded != set {
			t.Errorf("JSON %s is read as %v, error %v", encoded, decoded, err)
		}
	}
	if got := AllScopes.String(); got != "deploy airflow:read airflow:write" {
		t.Errorf("all scopes are %q", got)
	}
}

func TestParseScopeText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Scopes{
		"airflow:read deploy":        ScopeAirflowRead | ScopeDeploy,
		"deploy deploy":              ScopeDeploy,
		"":                           0,
		"airflow:write airflow:read": ScopeAirflowRead | ScopeAirflowWrite,
	} {
		if got, err := ParseScopeText(text); err != nil || got != want {
			t.Errorf("%q: %v, error %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{" ", "deploy ", " deploy", "deploy  airflow:read", "Deploy", "deploy\tairflow:read", "admin", "airflow:*"} {
		if got, err := ParseScopeText(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q is read as %v, error %v", text, got, err)
		}
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for role, want := range map[Role]Scopes{RoleViewer: ScopeAirflowRead, RoleEditor: AllScopes, RoleAdmin: AllScopes, "owner": 0, "": 0} {
		if got := role.Scopes(); got != want {
			t.Errorf("%s may %v, want %v", role, got, want)
		}
		if role.ManagesKeys() != (role == RoleAdmin) {
			t.Errorf("%s manages keys: %v", role, role.ManagesKeys())
		}
	}
	if _, err := ParseRole("owner"); !errors.Is(err, ErrInvalid) {
		t.Errorf("role owner: error %v", err)
	}
}
