package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var asJSON = header("Content-Type", "application/json")

// wantError holds that an answer of the admin API is an error whose sentence has the part in it.
func wantError(t *testing.T, answer reply, status int, part string) {
	t.Helper()
	var body struct{ Error string }
	answer.Want(status).JSON(&body)
	if body.Error == "" || !strings.Contains(body.Error, part) {
		t.Errorf("the error is %q, want one with %q", body.Error, part)
	}
}

// Every route with what goes well.
func TestAdminAPIRoutes(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		type object = map[string]any
		var made key
		g.newDeployment(t, "other")
		begin := time.Now().Add(-time.Second)
		steps := []struct {
			method, path string // KEY is the ID of the key that was made
			body         any
			status       int
			want         object // some members of the answer
		}{
			{"POST", "/deployments", object{"id": "dep1", "name": "Data", "description": "first"}, 201, object{"id": "dep1", "name": "Data", "description": "first", "key_count": 0.0}},
			{"GET", "/deployments/dep1", nil, 200, object{"id": "dep1", "name": "Data", "description": "first", "key_count": 0.0}},
			{"HEAD", "/deployments/dep1", nil, 200, nil},
			{"PATCH", "/deployments/dep1", object{"name": "Data 2"}, 200, object{"name": "Data 2", "description": "first"}},
			{"PATCH", "/deployments/dep1", object{"description": ""}, 200, object{"name": "Data 2", "description": ""}},
			{"PATCH", "/deployments/dep1", object{}, 200, object{"name": "Data 2"}},
			{"POST", "/deployments/dep1/keys", object{"name": "CI", "description": "for\nCI", "scopes": []string{"airflow:write", "deploy"}}, 201, object{
				"deployment_id": "dep1", "name": "CI", "description": "for\nCI", "created_by": "admin", "scopes": []any{"deploy", "airflow:write"},
			}},
			{"GET", "/deployments/dep1", nil, 200, object{"key_count": 1.0}},
			{"GET", "/deployments/dep1/keys/KEY", nil, 200, object{"name": "CI", "created_by": "admin", "scopes": []any{"deploy", "airflow:write"}}},
			{"PATCH", "/deployments/dep1/keys/KEY", object{"scopes": []string{"airflow:read"}}, 200, object{"name": "CI", "scopes": []any{"airflow:read"}}},
			{"PATCH", "/deployments/dep1/keys/KEY", object{"name": "CI 2", "description": ""}, 200, object{"name": "CI 2", "description": "", "scopes": []any{"airflow:read"}}},
			{"PATCH", "/deployments/dep1/keys/KEY", object{"expires_at": "2099-01-01T00:00:00Z", "allowed_ips": []string{"10.1.2.3/8"}}, 200, object{
				"expires_at": "2099-01-01T00:00:00Z", "allowed_ips": []any{"10.0.0.0/8"},
			}},
			{"PATCH", "/deployments/dep1/keys/KEY", object{"expires_at": "", "allowed_ips": []string{}}, 200, object{"expires_at": nil, "allowed_ips": nil}},
			{"POST", "/deployments/dep1/keys/KEY/rotate", object{"overlap": "1h"}, 200, object{"name": "CI 2", "tokens_revoked_at": nil}},
			{"DELETE", "/deployments/dep1/keys/KEY/previous_secret", nil, 204, nil},
			{"GET", "/deployments/dep1/keys/KEY", nil, 200, object{"previous_secret_expires_at": nil}},
			{"GET", "/deployments/dep1/members", nil, 200, object{"members": []any{}}},
			{"PUT", "/deployments/dep1/members/anna@example.com", object{"role": "viewer"}, 200, object{"user": "anna@example.com", "deployment_id": "dep1", "role": "viewer", "created_by": "admin"}},
			{"PUT", "/deployments/dep1/members/anna@example.com", object{"role": "admin"}, 200, object{"role": "admin"}},
			{"PUT", "/deployments/dep1/members/a%2Fb%20c", object{"role": "editor"}, 200, object{"user": "a/b c"}},
			{"DELETE", "/deployments/dep1/members/a%2Fb%20c", nil, 204, nil},
			{"DELETE", "/deployments/dep1/members/a%2Fb%20c", nil, 404, nil},
			{"DELETE", "/deployments/dep1/keys/KEY", nil, 204, nil},
			{"DELETE", "/deployments/dep1/keys/KEY", nil, 404, nil},
			{"GET", "/deployments/dep1/keys/KEY", nil, 404, nil},
			{"GET", "/deployments/dep1", nil, 200, object{"key_count": 0.0}},
			{"DELETE", "/deployments/dep1", nil, 204, nil},
			{"DELETE", "/deployments/dep1", nil, 404, nil},
			{"GET", "/deployments/dep1/keys", nil, 404, nil},
			{"GET", "/deployments/dep1/members", nil, 404, nil},
			{"GET", "/deployments", nil, 200, object{}},
		}
		for _, step := range steps {
			path := strings.ReplaceAll(step.path, "KEY", made.ID)
			answer := call(t, step.method, g.Admin(path), step.body).Want(step.status)
			if step.status == http.StatusNoContent && len(answer.Body) > 0 {
				t.Errorf("%s %s: 204 with the body %q", step.method, path, answer.Body)
			}
			if step.want == nil {
				continue
			}
			var got object
			answer.JSON(&got)
			for name, want := range step.want {
				if fmt.Sprint(got[name]) != fmt.Sprint(want) {
					t.Errorf("%s %s: %s is %v, want %v", step.method, path, name, got[name], want)
				}
			}
			if created, ok := got["created_at"].(string); ok {
				at, err := time.Parse(time.RFC3339, created)
				if err != nil || !strings.HasSuffix(created, "Z") || at.Before(begin) || at.After(time.Now().Add(time.Second)) {
					t.Errorf("%s %s: created_at is %q, want the time of the call in UTC", step.method, path, created)
				}
			}
			_, hasSecret := got["secret"]
			isNewKey := step.method == http.MethodPost && strings.HasSuffix(path, "/keys")
			isNewSecret := isNewKey || strings.HasSuffix(path, "/rotate")
			if hasSecret != isNewSecret || strings.Contains(string(answer.Body), "dks_") != isNewSecret {
				t.Errorf("%s %s: the answer has a secret: %t, want %t", step.method, path, hasSecret, isNewSecret)
			}
			if answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: Cache-Control is %q, want no-store", step.method, path, answer.Header.Get("Cache-Control"))
			}
			if step.status == http.StatusCreated {
				id := fmt.Sprint(got["id"])
				if location, want := answer.Header.Get("Location"), path+"/"+id; location != want {
					t.Errorf("%s %s: Location is %q, want %q", step.method, path, location, want)
				}
				call(t, http.MethodGet, g.Admin(answer.Header.Get("Location")), nil).Want(http.StatusOK)
			}
			if isNewKey {
				answer.JSON(&made)
			}
		}
	})
}

// Every way to call it wrongly.
func TestAdminAPIRefusals(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		g.newDeployment(t, "dep2")
		k, foreign := g.newKey(t, "dep1"), g.newKey(t, "dep2")
		call(t, http.MethodPut, g.Admin("/deployments/dep1/members/anna"), map[string]string{"role": "viewer"}).Want(http.StatusOK)
		cursor := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		own, foreignKey := "/deployments/dep1/keys/"+k.ID, "/deployments/dep1/keys/"+foreign.ID
		tests := []struct {
			method, path, body string
			status             int
			part               string
		}{
			{"POST", "/deployments", `{"id":"dep1","name":"a"}`, 409, `"dep1" already exists`},
			{"POST", "/deployments", `{"id":"x","name":"a","owner":"me"}`, 400, `unknown field "owner"`},
			{"POST", "/deployments", `{"id":"x","Name":"a"}`, 400, `unknown field "Name"`},
			{"POST", "/deployments", `{"id":"x","name":"a","name":"b"}`, 400, `"name" is there more than once`},
			{"POST", "/deployments", `{"id":"x","name":7}`, 400, `"name" has the wrong type`},
			{"POST", "/deployments", `{"id":"x","name":null}`, 400, `"name" is null`},
			{"POST", "/deployments", `{"id":"x","name":"a"`, 400, "ends too early"},
			{"POST", "/deployments", `{"id":"x","name":"a"} {}`, 400, "goes on after"},
			{"POST", "/deployments", `[]`, 400, "not a JSON object"},
			{"POST", "/deployments", ``, 400, "ends too early"},
			{"POST", "/deployments", "{\"name\":\"\xff\"}", 400, "UTF-8"},
			{"POST", "/deployments", `{"id":"x"}`, 400, "name is missing"},
			{"POST", "/deployments", `{"id":"x","name":"  "}`, 400, "name is missing"},
			{"POST", "/deployments", `{"id":"x","name":"` + strings.Repeat("a", 129) + `"}`, 400, "longer than 128"},
			{"POST", "/deployments", `{"id":"x","name":"a\u0007b"}`, 400, "control characters"},
			{"POST", "/deployments", `{"id":"","name":"a"}`, 400, "DNS label"},
			{"POST", "/deployments", `{"id":"Dep1","name":"a"}`, 400, "DNS label"},
			{"POST", "/deployments", `{"id":"a/b","name":"a"}`, 400, "DNS label"},
			{"POST", "/deployments", `{"id":"-a","name":"a"}`, 400, "DNS label"},
			{"POST", "/deployments", `{"id":"` + strings.Repeat("a", 64) + `","name":"a"}`, 400, "DNS label"},
			{"POST", "/deployments", `{"name":"` + strings.Repeat("a", 65<<10) + `"}`, 413, "65536"},
			{"GET", "/deployments?limit=0", "", 400, "limit must be"},
			{"GET", "/deployments?limit=-1", "", 400, "limit must be"},
			{"GET", "/deployments?limit=501", "", 400, "limit must be a number from 1 to 500"},
			{"GET", "/deployments?limit=ten", "", 400, "limit must be"},
			{"GET", "/deployments?limit=1&limit=2", "", 400, "limit is there more than once"},
			{"GET", "/deployments?cursor=x", "", 400, "begin again without it"},
			{"GET", "/deployments?cursor=%00", "", 400, "begin again without it"},
			{"GET", "/deployments?cursor=" + cursor("../root"), "", 400, "begin again without it"},
			{"GET", "/deployments?cursor=" + cursor("dep1\x00\xff"), "", 400, "begin again without it"},
			{"GET", "/deployments?page=2", "", 400, `unknown parameter "page"`},
			{"GET", "/deployments?limit=%zz", "", 400, "malformed"},
			{"GET", "/deployments/dep1/keys?cursor=" + cursor("dep1"), "", 400, "begin again without it"},
			{"GET", "/deployments/dep1/keys?offset=2", "", 400, `unknown parameter "offset"`},
			{"GET", "/deployments/none", "", 404, `"none" does not exist`},
			{"GET", "/deployments/Dep1", "", 404, "does not exist"},
			{"GET", "/deployments/", "", 404, "nothing at this path"},
			{"GET", "/deployments/dep1/", "", 404, "nothing at this path"},
			{"GET", "/deployments/dep1/nothing", "", 404, "nothing at this path"},
			{"PATCH", "/deployments/none", `{"name":"a"}`, 404, "does not exist"},
			{"PATCH", "/deployments/dep1", `{"id":"dep9"}`, 400, `unknown field "id"`},
			{"PATCH", "/deployments/dep1", `{"name":""}`, 400, "name is missing"},
			{"DELETE", "/deployments/none", "", 404, "does not exist"},
			{"POST", "/deployments/none/keys", `{"name":"a"}`, 404, `"none" does not exist`},
			{"POST", "/deployments/dep1/keys", `{}`, 400, "name is missing"},
			{"POST", "/deployments/dep1/keys", `{"name":"a","secret":"b"}`, 400, `unknown field "secret"`},
			{"POST", "/deployments/dep1/keys", `{"name":"a","scopes":[]}`, 400, "scopes is empty"},
			{"POST", "/deployments/dep1/keys", `{"name":"a","scopes":["admin"]}`, 400, "deploy, airflow:read, airflow:write"},
			{"POST", "/deployments/dep1/keys", `{"name":"a","scopes":"deploy"}`, 400, "scopes"},
			{"GET", "/deployments/none/keys", "", 404, "does not exist"},
			{"GET", foreignKey, "", 404, "does not exist"},
			{"PATCH", foreignKey, `{"name":"mine"}`, 404, "does not exist"},
			{"DELETE", foreignKey, "", 404, "does not exist"},
			{"GET", "/deployments/dep1/keys/none", "", 404, "does not exist"},
			{"PATCH", own, `{"scopes":[]}`, 400, "at least one"},
			{"PATCH", own, `{"expires_at":"soon"}`, 400, "want a time such as"},
			{"PATCH", own, `{"allowed_ips":["10.0.0.0/33"]}`, 400, "neither an address nor a block"},
			{"POST", "/deployments/dep1/keys", `{"name":"a","expires_at":"2000-01-01T00:00:00Z"}`, 400, "not in the future"},
			{"POST", own + "/rotate", `{"overlap":"169h"}`, 400, "0s to 168h"},
			{"POST", own + "/rotate", `{"secret":"dks_"}`, 400, `unknown field "secret"`},
			{"POST", foreignKey + "/rotate", `{}`, 404, "does not exist"},
			{"DELETE", foreignKey + "/previous_secret", "", 404, "does not exist"},
			{"DELETE", own + "/previous_secret", "", 404, "no previous secret"},
			{"PATCH", own, `{"deployment_id":"dep2"}`, 400, `unknown field "deployment_id"`},
			{"PATCH", own, `{"secret_hash":"AA=="}`, 400, `unknown field "secret_hash"`},
			{"PUT", "/deployments/none/members/anna", `{"role":"viewer"}`, 404, "does not exist"},
			{"PUT", "/deployments/dep1/members/anna", `{"role":"owner"}`, 400, "viewer"},
			{"PUT", "/deployments/dep1/members/anna", `{}`, 400, "viewer"},
			{"PUT", "/deployments/dep1/members/an%00na", `{"role":"viewer"}`, 400, "control characters"},
			{"PUT", "/deployments/dep1/members/" + strings.Repeat("a", 257), `{"role":"viewer"}`, 400, "256"},
			{"DELETE", "/deployments/dep2/members/anna", "", 404, "does not exist"},
		}
		for _, test := range tests {
			name := test.method + " " + test.path + " " + test.body
			t.Run(name[:min(len(name), 80)], func(t *testing.T) {
				var body any
				if test.body != "" || test.method == http.MethodPost {
					body = test.body
				}
				wantError(t, call(t, test.method, g.Admin(test.path), body, asJSON), test.status, test.part)
			})
		}
		for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "x"} {
			wantError(t, call(t, http.MethodPost, g.Admin("/deployments"), `{"name":"a"}`, header("Content-Type", contentType)),
				http.StatusUnsupportedMediaType, "application/json")
		}
		// All that was refused changed nothing.
		g.get(t, "dep1", g.token(t, k)).Want(http.StatusOK)
		g.get(t, "dep2", g.token(t, foreign)).Want(http.StatusOK)
	})
}

func TestAdminAPIPages(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		const count = 250
		var deployments, keys []string
		for i := range count {
			deployments = append(deployments, fmt.Sprintf("dep-%03d", i))
			g.newDeployment(t, deployments[i])
		}
		for range count {
			keys = append(keys, g.newKey(t, "dep-007").ID)
		}
		for _, test := range []struct {
			path, list string
			limit      int // 0 is the default
			pages      int
			want       []string
		}{
			{"/deployments", "deployments", 0, 3, deployments},
			{"/deployments", "deployments", 7, 36, deployments},
			{"/deployments", "deployments", 125, 2, deployments},
			{"/deployments", "deployments", 500, 1, deployments},
			{"/deployments/dep-007/keys", "keys", 0, 3, keys},
			{"/deployments/dep-007/keys", "keys", 49, 6, keys},
			{"/deployments/dep-008/keys", "keys", 0, 1, nil},
		} {
			var got []string
			pages, cursor := 0, ""
			for {
				query := "?"
				if test.limit > 0 {
					query += fmt.Sprintf("limit=%d&", test.limit)
				}
				if cursor != "" {
					query += "cursor=" + cursor
				}
				var page map[string]json.RawMessage
				call(t, http.MethodGet, g.Admin(test.path+query), nil).Want(http.StatusOK).JSON(&page)
				var items []struct{ ID string }
				if err := json.Unmarshal(page[test.list], &items); err != nil || string(page[test.list]) == "null" {
					t.Fatalf("%s: %s is %s: %v", test.path, test.list, page[test.list], err)
				}
				for _, item := range items {
					got = append(got, item.ID)
				}
				pages++
				next, more := page["next_cursor"]
				if !more {
					break
				}
				if err := json.Unmarshal(next, &cursor); err != nil {
					t.Fatal(err)
				}
			}
			// A page knows that it is the last one when it is not full, so an even end may take one more.
			if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(test.want))) || pages < test.pages || pages > test.pages+1 {
				t.Errorf("%s, limit %d: %d in %d pages, want %d in %d", test.path, test.limit, len(got), pages, len(test.want), test.pages)
			}
			if test.list == "deployments" && !slices.IsSorted(got) {
				t.Errorf("%s, limit %d: not in the order of IDs", test.path, test.limit)
			}
		}
	})
}
