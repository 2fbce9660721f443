package admin

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// Each change is told once, with who made it and never with a secret; what is no change is not.
func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	var told []keystore.Event
	api := newAPI(t, func(a *API) {
		keys, err := a.Keystore()
		if err != nil {
			t.Fatal(err)
		}
		keys.OnChange(func(change keystore.Event) {
			if change.Kind != keystore.StoreCreated {
				told = append(told, change)
			}
		})
		withTokens(new(fakeTokens))(a)
	})
	var key struct{ ID, Secret string }
	for _, test := range []struct {
		method, path, body string
		status             int
		want               keystore.Event // no Kind: nothing
	}{
		{"POST", "/deployments", `{"id":"dep1","name":"a"}`, 201, keystore.Event{Kind: keystore.DeploymentCreated, Deployment: "dep1"}},
		{"POST", "/deployments", `{"id":"dep1","name":"a"}`, 409, keystore.Event{}},
		{"GET", "/deployments", "", 200, keystore.Event{}},
		{"PATCH", "/deployments/dep1", `{"name":"b"}`, 200, keystore.Event{Kind: keystore.DeploymentUpdated, Deployment: "dep1"}},
		{"PATCH", "/deployments/dep1", `{"nam":"b"}`, 400, keystore.Event{}},
		{"POST", "/deployments/dep1/keys", `{"name":"k"}`, 201, keystore.Event{Kind: keystore.KeyCreated, Deployment: "dep1", Key: "KEY"}},
		{"GET", "/deployments/dep1/keys/KEY", "", 200, keystore.Event{}},
		{"PATCH", "/deployments/dep1/keys/KEY", `{"name":"l"}`, 200, keystore.Event{Kind: keystore.KeyUpdated, Deployment: "dep1", Key: "KEY"}},
		{"POST", "/deployments/dep1/keys/KEY/rotate", `{"overlap":"1h"}`, 200, keystore.Event{Kind: keystore.KeyRotated, Deployment: "dep1", Key: "KEY"}},
		{"POST", "/deployments/dep1/keys/KEY/rotate", `{"overlap":"1"}`, 400, keystore.Event{}},
		{"POST", "/deployments/dep2/keys/KEY/rotate", "", 404, keystore.Event{}},
		{"DELETE", "/deployments/dep1/keys/KEY/previous_secret", "", 204, keystore.Event{Kind: keystore.KeyPreviousSecretEnded, Deployment: "dep1", Key: "KEY"}},
		{"DELETE", "/deployments/dep1/keys/KEY/previous_secret", "", 404, keystore.Event{}},
		{"POST", "/deployments/dep1/keys/KEY/revoke_tokens", "", 204, keystore.Event{Kind: keystore.KeyTokensRevoked, Deployment: "dep1", Key: "KEY"}},
		{"POST", "/deployments/dep2/keys/KEY/revoke_tokens", "", 404, keystore.Event{}},
		{"POST", "/deployments/dep1/revoke_tokens", "", 204, keystore.Event{Kind: keystore.DeploymentTokensRevoked, Deployment: "dep1"}},
		{"POST", "/deployments/dep2/revoke_tokens", "", 404, keystore.Event{}},
		{"POST", "/tokens/revoke_all", "", 204, keystore.Event{Kind: keystore.TokensRevoked}},
		{"POST", "/tokens/revoke_all", `{"a":1}`, 400, keystore.Event{}},
		{"POST", "/tokens/revoke", `{"token":"good"}`, 204, keystore.Event{}}, // its own business
		{"POST", "/tokens/introspect", `{"token":"good"}`, 200, keystore.Event{}},
		{"POST", "/tokens/explain", `{"token":"good"}`, 200, keystore.Event{}},
		{"GET", "/signing_keys", "", 200, keystore.Event{}},
		{"DELETE", "/deployments/dep2/keys/KEY", "", 404, keystore.Event{}},
		{"DELETE", "/deployments/dep1/keys/KEY", "", 204, keystore.Event{Kind: keystore.KeyDeleted, Deployment: "dep1", Key: "KEY"}},
		{"DELETE", "/deployments/dep1/keys/KEY", "", 404, keystore.Event{}},
		{"PUT", "/deployments/dep1/members/bob", `{"role":"admin"}`, 200, keystore.Event{Kind: keystore.MemberPut, Deployment: "dep1", User: "bob"}},
		{"PUT", "/deployments/dep1/members/bob", `{"role":"x"}`, 400, keystore.Event{}},
		{"DELETE", "/deployments/dep1/members/bob", "", 204, keystore.Event{Kind: keystore.MemberDeleted, Deployment: "dep1", User: "bob"}},
		{"DELETE", "/deployments/dep1/members/bob", "", 404, keystore.Event{}},
		{"DELETE", "/deployments/dep1", "", 204, keystore.Event{Kind: keystore.DeploymentDeleted, Deployment: "dep1"}},
		{"DELETE", "/deployments/dep1", "", 404, keystore.Event{}},
	} {
		told = nil
		w := callAPI(t, api, test.method, strings.ReplaceAll(test.path, "KEY", key.ID), test.body)
		if w.Code != test.status {
			t.Fatalf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), `"secret"`) {
			if err := json.Unmarshal(w.Body.Bytes(), &key); err != nil {
				t.Fatal(err)
			}
		}
		if test.want.Kind == "" {
			if len(told) != 0 {
				t.Errorf("%s %s: told %v", test.method, test.path, told)
			}
			continue
		}
		if len(told) != 1 {
			t.Fatalf("%s %s: told %v", test.method, test.path, told)
		}
		got, want := told[0], test.want
		if since := time.Since(got.Time); since < 0 || since > time.Minute || got.Time.Location() != time.UTC {
			t.Errorf("%s %s: told at %s", test.method, test.path, got.Time)
		}
		want.Time, want.By, want.Address, want.Set = got.Time, "anna", "192.0.2.9", got.Set
		if want.Key == "KEY" {
			want.Key = key.ID
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s %s: told %v, want %v", test.method, test.path, got, want)
		}
	}
}
