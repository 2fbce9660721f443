package admin

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ordinaryCalls makes every call of a whole gateway, with what goes well and what does not.
func (t *documentTest) ordinaryCalls() {
	g := startTestGateway(t)
	call := func(method, target, body string, status int) jsonObject {
		t.Helper()
		return t.call(g.api, method, target, body, status)
	}
	text := func(answer jsonObject, field string) string { return fmt.Sprint(answer[field]) }

	call("GET", "/deployments/-/ready", "", 200)
	call("HEAD", "/deployments/-/ready", "", 200)
	call("POST", "/deployments", `{"id":"etl","name":"Nightly ETL","description":"Loads\tthe\nwarehouse."}`, 201)
	call("POST", "/deployments", `{"name":"another"}`, 201)
	call("POST", "/deployments", `{"id":"etl","name":"n"}`, 409)
	cursor := text(call("GET", "/deployments?limit=1", "", 200), "next_cursor")
	call("GET", "/deployments?limit=500&cursor="+cursor, "", 200)
	call("HEAD", "/deployments", "", 200)
	call("GET", "/deployments/etl", "", 200)
	call("HEAD", "/deployments/etl", "", 200)
	call("PATCH", "/deployments/etl", `{"name":"ETL"}`, 200)

	call("POST", "/deployments/etl/keys", `{"name":"CI"}`, 201)
	limited := call("POST", "/deployments/etl/keys", `{"name":"limited","scopes":["deploy"],"expires_at":"2099-01-01T00:00:00.5+01:00","allowed_ips":["10.1.2.3/8","::1"]}`, 201)
	key := call("POST", "/deployments/etl/keys", `{"name":"CI","description":"d"}`, 201)
	own := "/deployments/etl/keys/" + text(key, "id")
	cursor = text(call("GET", "/deployments/etl/keys?limit=2", "", 200), "next_cursor")
	call("GET", "/deployments/etl/keys?limit=1&cursor="+cursor, "", 200)
	call("HEAD", "/deployments/etl/keys", "", 200)
	call("GET", own, "", 200)
	call("HEAD", own, "", 200)
	call("PATCH", own, `{"name":"CI 2"}`, 200)
	call("PATCH", "/deployments/etl/keys/"+text(limited, "id"), `{"expires_at":"","allowed_ips":[],"scopes":["deploy","airflow:read"]}`, 200)
	call("PATCH", own, `{"scopes":[]}`, 400)
	call("POST", "/deployments/etl/keys", `{"name":"late","expires_at":"2000-01-01T00:00:00Z"}`, 400)

	call("PUT", "/deployments/etl/members/anna", `{"role":"editor"}`, 200)
	call("PUT", "/deployments/etl/members/a%2Fb%20c", `{"role":"viewer"}`, 200)
	call("PUT", "/deployments/etl/members/.anna", `{"role":"viewer"}`, 200)
	call("PUT", "/deployments/etl/members/%2E%2E", `{"role":"admin"}`, 200)
	call("GET", "/deployments/etl/members", "", 200)
	call("HEAD", "/deployments/etl/members", "", 200)
	call("DELETE", "/deployments/etl/members/.anna", "", 204)

	token, spare, user := g.token(t, text(key, "id"), text(key, "secret")), g.token(t, text(key, "id"), text(key, "secret")), g.userToken(t)
	g.call(t, token)
	for _, ask := range []struct {
		path, body string
		field      string
		want       any
	}{
		{"introspect", `{"token":"` + token + `"}`, "deployment_id", "etl"},
		{"introspect", `{"token":"` + user + `","deployment":"etl"}`, "username", "anna"},
		{"introspect", `{"token":"` + user + `"}`, "active", true},
		{"introspect", `{"token":"none"}`, "active", false},
		{"explain", `{"token":"` + token + `","deployment":"etl","scopes":["deploy"],"address":"192.0.2.7"}`, "verdict", "accepted"},
		{"explain", `{"token":"` + token + `","deployment":"other"}`, "error", "insufficient_scope"},
		{"explain", `{"token":"` + user + `"}`, "verdict", "accepted"},
		{"explain", `{"token":"` + strings.Replace(token, ".", ".e30", 1) + `"}`, "verdict", "refused"},
		{"explain", `{"token":"none"}`, "error", "invalid_token"},
	} {
		if answer := call("POST", "/tokens/"+ask.path, ask.body, 200); answer[ask.field] != ask.want {
			t.Errorf("%s %s: %v, want the %s %v", ask.path, ask.body, answer, ask.field, ask.want)
		}
	}
	call("POST", "/tokens/revoke", `{"token":"`+spare+`"}`, 204)
	call("POST", "/tokens/revoke", `{"token":"none"}`, 404)

	rotated := call("POST", own+"/rotate", `{"overlap":"1h","revoke_tokens":true}`, 200)
	g.call(t, g.token(t, text(key, "id"), text(rotated, "secret")))
	t.lastUsed(g)
	call("DELETE", own+"/previous_secret", "", 204)
	call("POST", own+"/rotate", "", 200)
	call("POST", own+"/revoke_tokens", "", 204)
	call("POST", "/deployments/etl/revoke_tokens", "{}", 204)
	call("POST", "/tokens/revoke_all", "", 204)
	call("GET", "/deployments/etl", "", 200)

	call("GET", "/signing_keys", "", 200)
	call("HEAD", "/signing_keys", "", 200)
	call("POST", "/signing_keys/rotate", "", 201)
	call("POST", "/signing_keys/rotate", `{"replace":false}`, 409)
	call("POST", "/signing_keys/rotate", `{"replace":true}`, 201)

	call("DELETE", own, "", 204)
	call("DELETE", "/deployments/etl", "", 204)
	keys, err := activeKeystore()
	if err == nil {
		_, _, err = keys.WriteAudit(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/audit", "/deployments/etl/audit"} {
		cursor := text(call("GET", path+"?limit=2", "", 200), "next_cursor")
		call("GET", path+"?limit=500&cursor="+cursor, "", 200)
		call("HEAD", path, "", 200)
	}
	call("GET", "/audit/export", "", 200)
	call("GET", "/audit/export?deployment=etl", "", 200)
	call("HEAD", "/audit/export", "", 200)
}

// lastUsed uses a new key, and waits until it shows that. What comes right after the first use is written
// with it; otherwise it takes a minute.
func (t *documentTest) lastUsed(g *testGateway) {
	t.Helper()
	key := t.call(g.api, http.MethodPost, "/deployments/etl/keys", `{"name":"used"}`, http.StatusCreated)
	own := fmt.Sprint("/deployments/etl/keys/", key["id"])
	t.call(g.api, http.MethodPost, own+"/rotate", `{"overlap":"1h"}`, http.StatusOK)
	g.call(t, g.token(t, fmt.Sprint(key["id"]), fmt.Sprint(key["secret"]))) // the previous one
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		shown := t.call(g.api, http.MethodGet, own, "", http.StatusOK)
		if shown["previous_secret_last_used_at"] != nil && shown["last_request_at"] != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the key does not show when it was used: %v", shown)
		}
	}
}
