package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// Parts of the requests with which FuzzAPIDocument begins.
var (
	oddNames = []string{
		"etl", "000000000000000000000000", "anna", ".", "..", "%2e%2e", "%2F", "%00", "%ff", "%5c", "a;b", "", "-", "ETL", "%64ep", "%E2%80%AE", "%25", strings.Repeat("a", 257),
	}
	oddQueries = []string{
		"", "?limit=1", "?limit=501", "?limit=-1", "?limit=", "?limit=1&limit=2", "?cursor=", "?cursor=ZXRs", "?cursor=AA", "?Limit=1", "?deployment=etl", "?deployment=..%2fetl", "?%zz=1", "?a;b=c", "?&&",
	}
	oddBodies = []string{
		"", "{}", "[]", "null", `"text"`, "{", "{}{}", "\ufeff{}", "\xff", "name=value", `{"name":null}`, `{"name":7}`, `{"name":"n"}`, `{"name":"n","name":"m"}`, `{"NAME":"n"}`, `{"name":"\ud800"}`,
		`{"name":"\u0000"}`, `{"id":"etl","name":"n"}`, `{"id":"../x","name":"n"}`, `{"name":"n","secret":"x"}`, `{"name":"n","scopes":["deploy"],"expires_at":"2030-02-30T00:00:00Z"}`,
		`{"name":"n","expires_at":"9999-12-31T23:59:59Z","allowed_ips":["fe80::1%eth0"]}`, `{"allowed_ips":["10.0.0.0/8","::ffff:10.0.0.0/8"]}`, `{"overlap":"169h"}`, `{"overlap":"1h","revoke_tokens":true}`,
		`{"role":"viewer"}`, `{"role":"root"}`, `{"token":"good"}`, `{"token":"good","deployment":"etl","scopes":["deploy"],"address":"192.0.2.1"}`, `{"replace":true}`,
		`{"name":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}`, `{"name":"` + strings.Repeat("é", 1025) + `"}`, `{"name":"` + strings.Repeat("a", maxBody) + `"}`,
	}
	oddTypes = []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; =", "Application/JSON; charset=utf-8", "application/json, text/plain", "\""}
)

// FuzzAPIDocument takes any request. What it is answered is in the document: it is no fault, what is accepted has a body as
// documented, and no secret is told but the one that the call makes.
func FuzzAPIDocument(f *testing.F) {
	d := readAPIDocument(f)
	api := newAPI(f, func(a *API) {
		withTokens(new(fakeTokens))(a)
		a.Ready = func(context.Context) (time.Duration, bool, error) { return time.Second, true, nil }
	})
	of := func(path, id string) string {
		return strings.NewReplacer("{deployment}", id, "{key}", "000000000000000000000000", "{user}", "anna").Replace(path)
	}
	for _, path := range d.paths {
		for _, name := range oddNames {
			f.Add("GET", of(path, name), "", "")
			f.Add("POST", of(path, "etl")+"/"+name, "application/json", "{}")
		}
	}
	for i, o := range d.operations {
		target := of(o.path, "etl")
		f.Add(o.method, target, "", "")
		for _, body := range oddBodies {
			if o.body != nil {
				f.Add(o.method, target, "application/json", body)
			}
		}
		for _, query := range oddQueries {
			if slices.ContainsFunc(o.parameters, func(p documentedParameter) bool { return p.in == "query" }) {
				f.Add(o.method, target+query, "", "")
			}
		}
		f.Add(o.method, target, oddTypes[i%len(oddTypes)], `{"name":"n"}`)
	}
	f.Fuzz(func(t *testing.T, method, target, contentType, body string) {
		if !isToken(method) || !strings.HasPrefix(target, "/") {
			return // net/http answers these
		}
		if address, err := url.ParseRequestURI(target); err != nil || address.Host != "" || strings.ContainsAny(target, " \r\n") {
			return
		}
		_, _ = sendAPI(api, apiRequest("POST", "/deployments", "application/json", `{"id":"etl","name":"n"}`)) // it may be there
		r := apiRequest(method, target, contentType, body)
		w, err := sendAPI(api, r)
		if err == nil {
			err = d.check(method, r.URL.EscapedPath(), w)
		}
		o, _ := d.find(method, r.URL.EscapedPath())
		var told struct{ Secret string }
		_ = json.Unmarshal(w.Body.Bytes(), &told) // there may be no body, or more than one line
		switch rest := strings.Replace(w.Body.String(), told.Secret, "", 1); {
		case err != nil:
			t.Fatalf("%s %q: %v", method, target, err)
		case w.Code >= http.StatusInternalServerError:
			t.Errorf("%s %q: %d, and nothing is wrong with the store: %s", method, target, w.Code, w.Body)
		case o != nil && o.body != nil && w.Code < 300 && (body != "" || o.body.required) && !d.accepts(o.body, body):
			t.Errorf("%s %q: %d, and the body is not as documented: %.1000q", method, target, w.Code, body)
		case strings.Contains(rest, keystore.SecretPrefix) && !strings.Contains(target+body, keystore.SecretPrefix):
			t.Errorf("%s %q: a secret is in the answer %s", method, target, w.Body)
		}
	})
}

// isToken says whether a text may be a method (RFC 9110 section 5.6.2).
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
