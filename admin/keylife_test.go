package admin

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestExpiryAndAddressesOfKeys(t *testing.T) {
	t.Parallel()
	api := newAPI(t, func(*API) {})
	answered(t, api, "POST", "/deployments", `{"id":"dep1","name":"a"}`, 201)
	type object = map[string]any
	plain := answered(t, api, "POST", "/deployments/dep1/keys", `{"name":"k"}`, 201)
	wantMembers(t, "a key without limits", plain, object{"expires_at": nil, "allowed_ips": nil, "previous_secret_expires_at": nil})

	limited := answered(t, api, "POST", "/deployments/dep1/keys",
		`{"name":"k","expires_at":"2099-01-01T02:00:00.5+02:00","allowed_ips":["10.1.2.3/8","::ffff:192.0.2.7","2001:db8::1"]}`, 201)
	want := object{"expires_at": "2099-01-01T00:00:00Z", "allowed_ips": []any{"10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128"}}
	wantMembers(t, "created", limited, want)
	own := fmt.Sprint("/deployments/dep1/keys/", limited["id"])
	for _, step := range []struct {
		method, body string
		want         object
	}{
		{"GET", "", want},
		{"PATCH", `{"name":"l"}`, want},
		{"PATCH", `{"expires_at":"2098-01-01T00:00:00Z"}`, object{"expires_at": "2098-01-01T00:00:00Z", "allowed_ips": want["allowed_ips"]}},
		{"PATCH", `{"expires_at":"2000-01-01T00:00:00Z"}`, object{"expires_at": "2000-01-01T00:00:00Z"}}, // ends it now
		{"GET", "", object{"expires_at": "2000-01-01T00:00:00Z", "name": "l"}},
		{"PATCH", `{"description":"of an expired key"}`, object{"expires_at": "2000-01-01T00:00:00Z"}},
		{"PATCH", `{"expires_at":""}`, object{"expires_at": nil}},
		{"PATCH", `{"allowed_ips":["::/0"]}`, object{"allowed_ips": []any{"::/0"}}},
		{"PATCH", `{"allowed_ips":[]}`, object{"allowed_ips": nil}},
	} {
		wantMembers(t, step.method+" "+step.body, answered(t, api, step.method, own, step.body, 200), step.want)
	}

	many := `"192.0.2.1"`
	for i := 2; i <= 33; i++ {
		many += fmt.Sprintf(`,"192.0.2.%d"`, i)
	}
	for _, test := range []struct{ body, part string }{
		{`"expires_at":"2000-01-01T00:00:00Z"`, "POST: not in the future"},
		{`"expires_at":""`, "POST: want a time such as"},
		{`"expires_at":"tomorrow"`, "want a time such as 2030-12-31T00:00:00Z"},
		{`"expires_at":"0001-01-01T00:00:00Z"`, "years 1970 to 9999"},
		{`"expires_at":2000000000`, "want a string"},
		{`"expires_at":null`, "is null"},
		{`"allowed_ips":["10.0.0.0/33"]`, "neither an address nor a block"},
		{`"allowed_ips":["fe80::1%eth0"]`, "has a zone"},
		{`"allowed_ips":"10.0.0.0/8"`, "want a list"},
		{`"allowed_ips":[7]`, "want a list"},
		{`"allowed_ips":null`, "is null"},
		{`"allowed_ips":[` + many + `]`, "at most 32"},
	} {
		part, onlyPost := strings.CutPrefix(test.part, "POST: ")
		got := answered(t, api, "POST", "/deployments/dep1/keys", `{"name":"k",`+test.body+`}`, 400)
		if !strings.Contains(fmt.Sprint(got["error"]), part) {
			t.Errorf("POST %s: %v, want …%s…", test.body, got, part)
		}
		if onlyPost {
			continue
		}
		if got = answered(t, api, "PATCH", own, `{`+test.body+`}`, 400); !strings.Contains(fmt.Sprint(got["error"]), part) {
			t.Errorf("PATCH %s: %v, want …%s…", test.body, got, part)
		}
	}
}

func TestRotateKey(t *testing.T) {
	t.Parallel()
	api := newAPI(t, func(*API) {})
	answered(t, api, "POST", "/deployments", `{"id":"dep1","name":"a"}`, 201)
	answered(t, api, "POST", "/deployments", `{"id":"dep2","name":"a"}`, 201)
	made := answered(t, api, "POST", "/deployments/dep1/keys", `{"name":"k","scopes":["deploy"],"allowed_ips":["10.0.0.0/8"]}`, 201)
	own := fmt.Sprint("/deployments/dep1/keys/", made["id"])
	foreign := fmt.Sprint("/deployments/dep2/keys/", made["id"])

	seen := map[string]bool{fmt.Sprint(made["secret"]): true}
	rotate := func(body string) map[string]any {
		t.Helper()
		rotated := answered(t, api, "POST", own+"/rotate", body, 200)
		secret := fmt.Sprint(rotated["secret"])
		if !strings.HasPrefix(secret, "dks_") || seen[secret] {
			t.Errorf("%s: the secret is %q", body, secret)
		}
		seen[secret] = true
		wantMembers(t, body, rotated, map[string]any{
			"id": made["id"], "name": "k", "scopes": made["scopes"], "allowed_ips": made["allowed_ips"], "created_at": made["created_at"],
		})
		return rotated
	}
	wantPrevious := func(answer map[string]any, in time.Duration) {
		t.Helper()
		at, _ := time.Parse(time.RFC3339, fmt.Sprint(answer["previous_secret_expires_at"]))
		if left := time.Until(at); left > in+time.Second || left < in-time.Minute {
			t.Errorf("the previous secret is good for %s, want %s: %v", left, in, answer)
		}
	}
	gone := map[string]any{"previous_secret_expires_at": nil, "tokens_revoked_at": nil}
	wantMembers(t, "no body", rotate(""), gone)
	wantMembers(t, "no overlap", rotate(`{}`), gone)
	wantMembers(t, "no overlap", rotate(`{"overlap":"0s","revoke_tokens":false}`), gone)
	wantPrevious(rotate(`{"overlap":"90m"}`), 90*time.Minute)
	wantPrevious(rotate(`{"overlap":"168h"}`), 168*time.Hour)
	shown := answered(t, api, "GET", own, "", 200)
	wantPrevious(shown, 168*time.Hour)
	wantMembers(t, "GET", shown, map[string]any{"secret": nil, "previous_secret_hash": nil})

	answered(t, api, "DELETE", foreign+"/previous_secret", "", 404)
	answered(t, api, "DELETE", own+"/previous_secret", "", 204)
	wantMembers(t, "ended early", answered(t, api, "GET", own, "", 200), gone)
	if got := answered(t, api, "DELETE", own+"/previous_secret", "", 404); got["error"] != "the key has no previous secret" {
		t.Errorf("%v", got)
	}
	if rotate(`{"overlap":"1h","revoke_tokens":true}`)["tokens_revoked_at"] == nil {
		t.Error("revoke_tokens: the key has no tokens_revoked_at")
	}

	for body, part := range map[string]string{
		`{"overlap":"169h"}`:                "0s to 168h",
		`{"overlap":"168h0m1s"}`:            "0s to 168h",
		`{"overlap":"-1s"}`:                 "0s to 168h",
		`{"overlap":"1"}`:                   "must be a duration",
		`{"overlap":"1d"}`:                  "must be a duration",
		`{"overlap":""}`:                    "must be a duration",
		`{"overlap":3600}`:                  "want a string",
		`{"overlap":null}`:                  "is null",
		`{"revoke_tokens":"yes"}`:           "true or false",
		`{"revoke":true}`:                   "unknown field",
		`{"overlap":"1h","overlap":"100h"}`: "more than once",
	} {
		if got := answered(t, api, "POST", own+"/rotate", body, 400); !strings.Contains(fmt.Sprint(got["error"]), part) {
			t.Errorf("%s: %v, want …%s…", body, got, part)
		}
	}
	answered(t, api, "POST", foreign+"/rotate", "", 404)
	answered(t, api, "POST", "/deployments/dep1/keys/none/rotate", "", 404)
	for path, allow := range map[string]string{"/rotate": "POST", "/previous_secret": "DELETE"} {
		if w := callAPI(t, api, "GET", own+path, ""); w.Code != 405 || w.Header().Get("Allow") != allow {
			t.Errorf("GET %s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}
