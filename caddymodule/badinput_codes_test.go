package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/access"
)

// definedCodes are the error codes that RFCs define for the endpoints of this server.
var definedCodes = map[string][]access.Code{
	"RFC 6749 section 5.2":   {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"},
	"RFC 6750 section 3.1":   {"invalid_request", "invalid_token", "insufficient_scope"},
	"RFC 7009 section 2.2.1": {"unsupported_token_type", "invalid_request", "invalid_client", "unauthorized_client"},
	"RFC 7662 section 2.3":   {"invalid_client", "invalid_token", "invalid_request"},
	"RFC 8707 section 2":     {"invalid_target"},
}

// routeOfAuth is, in the place of a path, the route of an upstream behind deployment_auth.
const routeOfAuth = "deployment_auth"

// A codeRow is an error code at an endpoint, and a request that is answered with it; or why none is.
type codeRow struct {
	section  string // of an RFC
	code     access.Code
	endpoint string
	status   int

	body          string // a form; @ID and @SECRET are of a key, @TOKEN is a token of another one
	authorization string
	challenge     string // how WWW-Authenticate begins; "": there is none
	crossSite     bool   // it comes from a page of another site
	outage        bool   // the store is gone

	never string // why the code is never the answer
}

const (
	asKey    = "client_id=@ID&client_secret=@SECRET"
	granting = "grant_type=client_credentials&" + asKey
)

// codeRows is all of definedCodes, by endpoint, and what this server says besides.
var codeRows = []codeRow{
	{section: "RFC 6749 section 5.2", code: "invalid_request", endpoint: pathToken, status: 400, body: asKey},
	{section: "RFC 6749 section 5.2", code: "invalid_client", endpoint: pathToken, status: 401, body: "grant_type=client_credentials&client_id=@ID&client_secret=x"},
	{section: "RFC 6749 section 5.2", code: "invalid_client", endpoint: pathToken, status: 401, body: "grant_type=client_credentials", authorization: "Basic eDp5", challenge: "Basic realm="},
	{section: "RFC 6749 section 5.2", code: "unsupported_grant_type", endpoint: pathToken, status: 400, body: "grant_type=refresh_token&" + asKey},
	{section: "RFC 6749 section 5.2", code: "invalid_scope", endpoint: pathToken, status: 400, body: granting + "&scope=admin"},
	{section: "RFC 8707 section 2", code: "invalid_target", endpoint: pathToken, status: 400, body: granting + "&resource=https://else.example.com"},
	{section: "RFC 6749 section 5.2", code: "invalid_grant", endpoint: pathToken, never: "no grant is exchanged: there are no authorization codes, refresh tokens or assertions that could be wrong"},
	{section: "RFC 6749 section 5.2", code: "unauthorized_client", endpoint: pathToken, never: "every key may use the one grant type that there is"},

	{section: "RFC 7009 section 2.2.1", code: "invalid_request", endpoint: pathRevoke, status: 400, body: asKey},
	{section: "RFC 7009 section 2.2.1", code: "invalid_client", endpoint: pathRevoke, status: 401, body: "token=@TOKEN"},
	{section: "RFC 7009 section 2.2.1", code: "unauthorized_client", endpoint: pathRevoke, status: 400, body: asKey + "&token=@TOKEN"},
	{section: "RFC 7009 section 2.2.1", code: "unsupported_token_type", endpoint: pathRevoke, never: "there is one type of token, and it can be revoked; a hint of another one is ignored (section 2.1)"},

	{section: "RFC 7662 section 2.3", code: "invalid_request", endpoint: pathIntrospect, status: 400, body: asKey},
	{section: "RFC 7662 section 2.3", code: "invalid_client", endpoint: pathIntrospect, status: 401, body: "token=@TOKEN"},
	{section: "RFC 7662 section 2.3", code: "invalid_client", endpoint: pathIntrospect, status: 401, body: "token=@TOKEN", authorization: "Bearer @TOKEN", challenge: "Basic realm="},
	{section: "RFC 7662 section 2.3", code: "invalid_token", endpoint: pathIntrospect, never: "who asks proves to be a key by its secret; a bearer token is no way to (invalid_client)"},

	{section: "RFC 6750 section 3.1", code: "unauthorized", endpoint: routeOfAuth, status: 401, challenge: `Bearer realm="deployment_keys"`}, // the code is in the body alone
	{section: "RFC 6750 section 3.1", code: "invalid_request", endpoint: routeOfAuth, status: 400, authorization: "Bearer", challenge: `Bearer realm="deployment_keys", error="invalid_request"`},
	{section: "RFC 6750 section 3.1", code: "invalid_token", endpoint: routeOfAuth, status: 401, authorization: "Bearer x", challenge: `Bearer realm="deployment_keys", error="invalid_token"`},
	{section: "RFC 6750 section 3.1", code: "insufficient_scope", endpoint: routeOfAuth, status: 403, authorization: "Bearer @TOKEN", challenge: `Bearer realm="deployment_keys", error="insufficient_scope"`},

	// What users are answered. The codes are of RFC 6749 section 4.1.2.1, which is about another endpoint.
	{section: "this server's own", code: "unauthorized", endpoint: pathUserToken, status: 401, challenge: `Bearer realm="deployment_keys"`},
	{section: "RFC 6749 section 4.1.2.1", code: "access_denied", endpoint: pathUserToken, status: 403, crossSite: true},

	// An outage. RFC 7009 section 2.2.1 has the status, with Retry-After; the code is of RFC 6749 section 4.1.2.1.
	{section: "RFC 6749 section 4.1.2.1", code: "temporarily_unavailable", endpoint: pathToken, status: 503, body: granting, outage: true},
	{section: "RFC 7009 section 2.2.1", code: "temporarily_unavailable", endpoint: pathRevoke, status: 503, body: asKey + "&token=@TOKEN", outage: true},
	{section: "RFC 6749 section 4.1.2.1", code: "temporarily_unavailable", endpoint: pathIntrospect, status: 503, body: asKey + "&token=@TOKEN", outage: true},
	{section: "RFC 6749 section 4.1.2.1", code: "temporarily_unavailable", endpoint: pathUserToken, status: 503, outage: true},
	{section: "RFC 6749 section 4.1.2.1", code: "temporarily_unavailable", endpoint: routeOfAuth, status: 503, authorization: "Bearer @TOKEN", outage: true},
}

// Every error code that is defined for these endpoints is produced, or said never to be and why.
func TestEveryErrorCode(t *testing.T) {
	t.Parallel()
	app, gone := newTestApp(t, nil), newTestApp(t, nil)
	gone.authority.MaxStaleness = 0
	inOutage := gone.codeRequests(t)
	gone.node.Close(true) // closes the store
	requests := app.codeRequests(t)
	for _, row := range codeRows {
		if row.never != "" {
			continue
		}
		name := row.endpoint + "/" + string(row.code)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := requests
			if row.outage {
				ask = inOutage
			}
			w := ask(t, row)
			expectError(t, w, row.status, row.code, "")
			header := w.Header()
			if header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" {
				t.Errorf("the head is %v", header)
			}
			if challenge := header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, row.challenge) || (row.challenge == "") != (challenge == "") {
				t.Errorf("the challenge is %q, want %q", challenge, row.challenge)
			}
			if row.code == "unauthorized" && strings.Contains(header.Get("WWW-Authenticate"), "error=") {
				t.Errorf("RFC 6750 section 3.1: without credentials the challenge has no code: %q", header.Get("WWW-Authenticate"))
			}
			if (row.status == http.StatusServiceUnavailable) != (header.Get("Retry-After") != "") {
				t.Errorf("Retry-After is %q", header.Get("Retry-After"))
			}
			wantErrorCharacters(t, w)
		})
	}
}

// codeRequests returns what makes the request of a row. It prepares all that it needs while there is a store.
func (a *testApp) codeRequests(t *testing.T) func(*testing.T, codeRow) *httptest.ResponseRecorder {
	t.Helper()
	values := strings.NewReplacer("@ID", a.key.ID, "@SECRET", a.secret, "@TOKEN", a.token(t, a.narrow))
	return func(t *testing.T, row codeRow) *httptest.ResponseRecorder {
		t.Helper()
		target := row.endpoint
		if target == routeOfAuth {
			target = "/dep1/api" // for a POST to which @TOKEN lacks the scope
		}
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(values.Replace(row.body)))
		r.Header.Set("Content-Type", formType)
		if row.authorization != "" {
			r.Header.Set("Authorization", values.Replace(row.authorization))
		}
		if row.crossSite {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		switch row.endpoint {
		case routeOfAuth:
			return serve(t, newAuth(a, nil), r)
		case pathUserToken:
			user := "alice"
			if row.code == access.CodeNone {
				user = ""
			}
			w, err := askToken(t, a, r, signIn(user, unhandled))
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		return serve(t, &TokenHandler{app: a.App}, r)
	}
}

// wantErrorCharacters holds an answer to RFC 6749 section 5.2: which members, and which characters may be in them.
func wantErrorCharacters(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var members map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &members); err != nil {
		t.Fatal(err)
	}
	if len(members) != 2 || members["error"] == "" || members["error_description"] == "" {
		t.Errorf("the members are %v", members)
	}
	for name, value := range members {
		for _, c := range []byte(value) {
			if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
				t.Errorf("%s has the character %q", name, c)
			}
		}
	}
}

// The table above has all that is defined, and all that this server says.
func TestTableOfErrorCodesIsWhole(t *testing.T) {
	t.Parallel()
	for section, codes := range definedCodes {
		for _, code := range codes {
			if !slices.ContainsFunc(codeRows, func(row codeRow) bool { return row.section == section && row.code == code }) {
				t.Errorf("%s: there is no row for %s", section, code)
			}
		}
	}
	for _, code := range access.Codes() {
		i := slices.IndexFunc(codeRows, func(row codeRow) bool { return row.code == code && row.never == "" })
		switch {
		case i < 0:
			t.Errorf("there is no row that produces %s", code)
		case codeRows[i].status != code.Status():
			t.Errorf("%s has the status %d, the table says %d", code, code.Status(), codeRows[i].status)
		}
	}
}

// What POST /token looks at, and a browser does not send or sends otherwise (https://www.w3.org/TR/fetch-metadata).
func TestBadOrigin(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	for name, test := range map[string]struct {
		header http.Header
		code   access.Code
	}{
		"Origin of the site":                   {http.Header{"Origin": {"https://auth.example.com"}}, granted},
		"Origin, empty":                        {http.Header{"Origin": {""}}, granted},
		"Origin without a scheme":              {http.Header{"Origin": {"auth.example.com"}}, access.CodeAccessDenied},
		"Origin that is no URL":                {http.Header{"Origin": {"%zz"}}, access.CodeAccessDenied},
		"Origin, an opaque one":                {http.Header{"Origin": {"null"}}, access.CodeAccessDenied},
		"Origin, of a file":                    {http.Header{"Origin": {"file://"}}, access.CodeAccessDenied},
		"Origin, of an extension":              {http.Header{"Origin": {"moz-extension://auth.example.com.evil"}}, access.CodeAccessDenied},
		"Origin that ends alike":               {http.Header{"Origin": {"https://evil-auth.example.com"}}, access.CodeAccessDenied},
		"Origin that begins alike":             {http.Header{"Origin": {"https://auth.example.com.evil.example"}}, access.CodeAccessDenied},
		"Origin with a user":                   {http.Header{"Origin": {"https://auth.example.com@evil.example"}}, access.CodeAccessDenied},
		"Sec-Fetch-Site of the site":           {http.Header{"Sec-Fetch-Site": {"same-origin"}}, granted},
		"Sec-Fetch-Site none":                  {http.Header{"Sec-Fetch-Site": {"none"}}, granted},
		"Sec-Fetch-Site of the same domain":    {http.Header{"Sec-Fetch-Site": {"same-site"}}, access.CodeAccessDenied},
		"Sec-Fetch-Site of another":            {http.Header{"Sec-Fetch-Site": {"cross-site"}}, access.CodeAccessDenied},
		"Sec-Fetch-Site in other case":         {http.Header{"Sec-Fetch-Site": {"Same-Origin"}}, access.CodeAccessDenied},
		"Sec-Fetch-Site unknown":               {http.Header{"Sec-Fetch-Site": {"x"}}, access.CodeAccessDenied},
		"Sec-Fetch-Site, a list":               {http.Header{"Sec-Fetch-Site": {"same-origin, cross-site"}}, access.CodeAccessDenied},
		"Sec-Fetch-Site of another, by Origin": {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://auth.example.com"}}, access.CodeAccessDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "https://auth.example.com"+pathUserToken, nil)
			r.Header = test.header
			w, err := askToken(t, app, r, signIn("alice", unhandled))
			if err != nil {
				t.Fatal(err)
			}
			if test.code != granted {
				expectError(t, w, test.code.Status(), test.code, "another site")
			} else if w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// POST /token has no parameters: what a client sends all the same is neither read nor obeyed.
func TestUserTokenTakesNoParameters(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	for name, send := range map[string]struct{ target, contentType, body string }{
		"form":             {pathUserToken, formType, "scope=deploy&audience=second&sub=bob&username=bob"},
		"JSON":             {pathUserToken, jsonType, `{"sub":"bob","scope":"deploy"}`},
		"broken JSON":      {pathUserToken, jsonType, `{`},
		"URL":              {pathUserToken + "?sub=bob&audience=second", "", ""},
		"too large a body": {pathUserToken, formType, strings.Repeat("x", 1<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, send.target, strings.NewReader(send.body))
			r.Header.Set("Content-Type", send.contentType)
			w, err := askToken(t, app, r, signIn("alice", unhandled))
			var answer tokenAnswer
			if err != nil || w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &answer) != nil {
				t.Fatalf("%v %d %s", err, w.Code, w.Body)
			}
			claims, refused := app.authority.Verify(t.Context(), answer.AccessToken)
			if refused != nil || claims.Subject != "alice" || claims.Audience != DefaultAudience || claims.Scope != "" {
				t.Errorf("%v, the token says %+v", refused, claims)
			}
		})
	}
}
