//go:build linux

package load

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// Bounds that the API documents.
const (
	tokenBody = 16 << 10 // bytes, of the OAuth endpoints
	adminBody = 64 << 10
	tokenSize = 8 << 10
)

// Bodies are read up to their bound and not a byte further, and what is in them is bounded by that: a request of the
// greatest size is answered for what it says, and one that is a byte larger for its size.
func TestBodiesAreTakenUpToTheirBound(t *testing.T) {
	beside(t)
	s := startSite(t)
	k := s.NewKey(t, deployment)
	token := s.token(t, k)
	form := grant(k.ID, k.Secret).Encode()
	json := fmt.Sprintf(`{"grant_type":"client_credentials","client_id":%q,"client_secret":%q}`, k.ID, k.Secret)
	asForm, asJSON := gatewaytest.Header("Content-Type", "application/x-www-form-urlencoded"), gatewaytest.Header("Content-Type", "application/json")
	viewer := func(r *http.Request) {
		r.SetBasicAuth("viewer", password)
		r.Header.Set("Origin", s.URL(s.console, ""))
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("X-Requested-With", "deployment-console")
	}
	filledForm := func(size int) string { return form + "&x=" + strings.Repeat("a", size-len(form)-len("&x=")) }
	filledJSON := func(json string, size int) string { return json + strings.Repeat(" ", size-len(json)) }
	made := func(name string) string { return fmt.Sprintf(`{"id":%q,"name":"x"}`, name) }
	at := func(path string) string { return s.URL(s.port, path) }
	api := func(path string) string { return s.URL(s.console, "/api"+path) }
	for _, test := range []struct {
		name, target, body string
		options            []gatewaytest.RequestOption
		status             int
		says               string
	}{
		{"a form of 16 KiB", at("/oauth/token"), filledForm(tokenBody), []gatewaytest.RequestOption{asForm}, 200, "access_token"},
		{"a form of a byte more", at("/oauth/token"), filledForm(tokenBody + 1), []gatewaytest.RequestOption{asForm}, 400, "larger than 16384 bytes"},
		{"the same in chunks", at("/oauth/token"), filledForm(tokenBody + 1), []gatewaytest.RequestOption{asForm, inChunks}, 400, "larger than 16384 bytes"},
		{"16 KiB in chunks", at("/oauth/token"), filledForm(tokenBody), []gatewaytest.RequestOption{asForm, inChunks}, 200, "access_token"},
		{"JSON of 16 KiB", at("/oauth/token"), filledJSON(json, tokenBody), []gatewaytest.RequestOption{asJSON}, 200, "access_token"},
		{"JSON of a byte more", at("/oauth/token"), filledJSON(json, tokenBody+1), []gatewaytest.RequestOption{asJSON}, 400, "larger than 16384 bytes"},
		{"8,000 parameters", at("/oauth/token"), manyParameters(tokenBody), []gatewaytest.RequestOption{asForm}, 400, "grant_type"},
		{"8,000 times one parameter", at("/oauth/token"), strings.Repeat("a&", tokenBody/2), []gatewaytest.RequestOption{asForm}, 400, "more than once"},
		{"JSON as deep as can be", at("/oauth/token"), strings.Repeat("[", tokenBody), []gatewaytest.RequestOption{asJSON}, 400, "invalid_request"},
		{"deep JSON in a member", at("/oauth/token"), `{"a":` + strings.Repeat("[", 8000) + strings.Repeat("]", 8000) + "}", []gatewaytest.RequestOption{asJSON}, 400, "invalid_request"},
		{"introspect, a byte too many", at("/oauth/introspect"), filledForm(tokenBody + 1), []gatewaytest.RequestOption{asForm}, 400, "larger than 16384 bytes"},
		{"revoke, a byte too many", at("/oauth/revoke"), filledForm(tokenBody + 1), []gatewaytest.RequestOption{asForm}, 400, "larger than 16384 bytes"},
		{"introspect a token of 9 KiB", at("/oauth/introspect"), grant(k.ID, k.Secret, "token", strings.Repeat("a", tokenSize+1<<10)).Encode(), []gatewaytest.RequestOption{asForm}, 200, `"active":false`},
		{"a good token with 9 KiB behind it", at(airflowPath), "", []gatewaytest.RequestOption{gatewaytest.Bearer(token + strings.Repeat("a", tokenSize+1<<10))}, 401, "invalid_token"},
		{"admin, 64 KiB", s.Admin("/deployments"), filledJSON(made("large"), adminBody), []gatewaytest.RequestOption{asJSON}, 201, "large"},
		{"admin, a byte more", s.Admin("/deployments"), filledJSON(made("larger"), adminBody+1), []gatewaytest.RequestOption{asJSON}, 413, "larger than 65536 bytes"},
		{"admin, in chunks", s.Admin("/deployments"), filledJSON(made("larger"), adminBody+1), []gatewaytest.RequestOption{asJSON, inChunks}, 413, "larger than 65536 bytes"},
		{"admin, deep JSON", s.Admin("/deployments"), strings.Repeat("[", adminBody), []gatewaytest.RequestOption{asJSON}, 400, "error"},
		{"admin, deep JSON in a member", s.Admin("/deployments"), `{"name":` + strings.Repeat(`{"a":`, 12_000), []gatewaytest.RequestOption{asJSON}, 400, "error"},
		{"console, a byte too many", api("/deployments"), filledJSON(made("larger"), adminBody+1), []gatewaytest.RequestOption{asJSON, viewer}, 413, "larger than 65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := gatewaytest.Call(t, http.MethodPost, test.target, test.body, test.options...).Want(test.status)
			if !strings.Contains(string(answer.Body), test.says) {
				t.Errorf("the answer is %s, want one with %s", answer.Body, test.says)
			}
		})
	}
}

// inChunks sends a body without its length.
func inChunks(r *http.Request) {
	r.ContentLength = -1
	r.GetBody = nil
}

// manyParameters is a form of different parameters.
func manyParameters(size int) string {
	form := make(url.Values)
	for i := 0; ; i++ {
		name := fmt.Sprintf("%x", i)
		if size -= len(name) + len("=&"); size < 0 {
			return form.Encode()
		}
		form.Set(name, "")
	}
}
