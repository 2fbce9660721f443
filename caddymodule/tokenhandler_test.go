package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// Each row is a request to POST /oauth/token. ID, SECRET and NARROW, NARROWSECRET stand for those
// of a key with all scopes and of one with airflow:read.
func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	h := &TokenHandler{app: app.App}
	values := strings.NewReplacer("NARROWSECRET", app.narrowSecret, "NARROW", app.narrow.ID, "SECRET", app.secret, "ID", app.key.ID)
	other := keystore.NewSecret().Reveal()

	const form = "grant_type=client_credentials&client_id=ID&client_secret=SECRET"
	const object = `"grant_type":"client_credentials","client_id":"ID","client_secret":"SECRET"`
	tests := map[string]struct {
		body        string
		contentType string
		query       string
		header      http.Header
		basic       []string // user and password, form-encoded as RFC 6749 section 2.3.1 wants
		escape      bool     // percent-encode every byte of them
		status      int      // 0 is 200
		code        access.Code
		reason      string
		scope       string // "" is all
	}{
		"RFC 6749 section 4.4.2, form":                  {body: form},
		"the seeds' JSON":                               {contentType: jsonType, body: `{"client_id":"ID","client_secret":"SECRET","audience":"astronomer-ee","grant_type":"client_credentials"}`},
		"RFC 6749 section 2.3.1, Basic":                 {basic: []string{"ID", "SECRET"}, body: "grant_type=client_credentials"},
		"RFC 6749 section 2.3.1, Basic percent-encoded": {basic: []string{"ID", "SECRET"}, escape: true, body: "grant_type=client_credentials"},
		"Basic with a JSON body":                        {basic: []string{"ID", "SECRET"}, contentType: jsonType, body: `{"grant_type":"client_credentials"}`},
		"Basic, and the same ID in the body":            {basic: []string{"ID", "SECRET"}, body: "grant_type=client_credentials&client_id=ID"},
		"form with a charset":                           {contentType: formType + "; charset=UTF-8", body: form},
		"audience":                                      {body: form + "&audience=second"},
		"RFC 8707 section 2, resource":                  {body: form + "&resource=second"},
		"audience and resource alike":                   {body: form + "&resource=second&audience=second"},
		"RFC 6749 section 3.3, narrower scope":          {body: form + "&scope=airflow:read", scope: "airflow:read"},
		"RFC 6749 section 3.3, scopes in any order":     {body: form + "&scope=airflow:read+deploy", scope: "deploy airflow:read"},
		"RFC 6749 section 3.2, empty is omitted":        {body: form + "&scope=&audience=&resource="},
		"RFC 6749 section 3.2, unknown parameter":       {body: form + "&x=y"},
		"unknown JSON member":                           {contentType: jsonType, body: `{` + object + `,"x":{"y":[1]}}`},
		"a narrow key":                                  {body: "grant_type=client_credentials&client_id=NARROW&client_secret=NARROWSECRET", scope: "airflow:read"},

		"wrong secret":                    {body: "grant_type=client_credentials&client_id=ID&client_secret=" + other, status: 401, code: access.CodeInvalidClient, reason: "not right"},
		"malformed secret":                {body: "grant_type=client_credentials&client_id=ID&client_secret=hunter2", status: 401, code: access.CodeInvalidClient, reason: "not right"},
		"unknown key ID":                  {body: "grant_type=client_credentials&client_id=000000000000000000000000&client_secret=SECRET", status: 401, code: access.CodeInvalidClient, reason: "not right"},
		"malformed key ID":                {body: "grant_type=client_credentials&client_id=../x&client_secret=SECRET", status: 401, code: access.CodeInvalidClient, reason: "not right"},
		"secret of another key":           {body: "grant_type=client_credentials&client_id=NARROW&client_secret=SECRET", status: 401, code: access.CodeInvalidClient, reason: "not right"},
		"wrong secret with Basic":         {basic: []string{"ID", other}, body: "grant_type=client_credentials", status: 401, code: access.CodeInvalidClient, reason: "not right"},
		"no credentials":                  {body: "grant_type=client_credentials", status: 401, code: access.CodeInvalidClient, reason: "missing"},
		"no secret":                       {body: "grant_type=client_credentials&client_id=ID", status: 401, code: access.CodeInvalidClient, reason: "missing"},
		"empty Basic":                     {basic: []string{"", ""}, body: "grant_type=client_credentials", status: 401, code: access.CodeInvalidClient, reason: "missing"},
		"bearer as client authentication": {header: http.Header{"Authorization": {"Bearer x"}}, body: form, status: 401, code: access.CodeInvalidClient, reason: "must be HTTP Basic"},

		"RFC 6749 section 2.3, Basic and body":         {basic: []string{"ID", "SECRET"}, body: form, status: 400, code: access.CodeInvalidRequest, reason: "send them once"},
		"Basic and another ID in the body":             {basic: []string{"ID", "SECRET"}, body: "grant_type=client_credentials&client_id=NARROW", status: 400, code: access.CodeInvalidRequest, reason: "send them once"},
		"two Authorization headers":                    {header: http.Header{"Authorization": {"Basic eDp5", "Basic eDp5"}}, body: "grant_type=client_credentials", status: 400, code: access.CodeInvalidRequest, reason: "more than one"},
		"Basic that is not base64":                     {header: http.Header{"Authorization": {"Basic x:y"}}, body: "grant_type=client_credentials", status: 400, code: access.CodeInvalidRequest, reason: "malformed"},
		"Basic with a broken escape":                   {basic: []string{"ID", "%zz"}, body: "grant_type=client_credentials", status: 400, code: access.CodeInvalidRequest, reason: "malformed"},
		"RFC 6749 section 3.2, repeated parameter":     {body: form + "&grant_type=client_credentials", status: 400, code: access.CodeInvalidRequest, reason: `"grant_type" is there more than once`},
		"repeated unknown parameter":                   {body: form + "&x=1&x=2", status: 400, code: access.CodeInvalidRequest, reason: `'x' is there more than once`},
		"RFC 8707 section 2, resource repeated":        {body: form + "&resource=second&resource=astronomer-ee", status: 400, code: access.CodeInvalidRequest, reason: "more than once"},
		"repeated JSON member":                         {contentType: jsonType, body: `{` + object + `,"client_id":"NARROW"}`, status: 400, code: access.CodeInvalidRequest, reason: "more than once"},
		"repeated JSON member, escaped":                {contentType: jsonType, body: `{` + object + `,"client\u005fid":"NARROW"}`, status: 400, code: access.CodeInvalidRequest, reason: "more than once"},
		"JSON number":                                  {contentType: jsonType, body: `{"grant_type":"client_credentials","client_id":1,"client_secret":"SECRET"}`, status: 400, code: access.CodeInvalidRequest, reason: "must be a string"},
		"JSON null":                                    {contentType: jsonType, body: `{` + object + `,"scope":null}`, status: 400, code: access.CodeInvalidRequest, reason: "must be a string"},
		"JSON list":                                    {contentType: jsonType, body: `{` + object + `,"audience":["second"]}`, status: 400, code: access.CodeInvalidRequest, reason: "must be a string"},
		"JSON that is no object":                       {contentType: jsonType, body: `[]`, status: 400, code: access.CodeInvalidRequest, reason: "not a JSON object"},
		"JSON that is cut off":                         {contentType: jsonType, body: `{` + object, status: 400, code: access.CodeInvalidRequest, reason: "ends too early"},
		"JSON with trailing data":                      {contentType: jsonType, body: `{` + object + `}{}`, status: 400, code: access.CodeInvalidRequest, reason: "goes on"},
		"JSON that is deep":                            {contentType: jsonType, body: `{` + object + `,"x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`, status: 400, code: access.CodeInvalidRequest, reason: "deeper"},
		"JSON that is not UTF-8":                       {contentType: jsonType, body: "{" + object + ",\"scope\":\"\xff\"}", status: 400, code: access.CodeInvalidRequest, reason: "UTF-8"},
		"form that is not UTF-8":                       {body: form + "&scope=%ff", status: 400, code: access.CodeInvalidRequest, reason: "UTF-8"},
		"form with a broken escape":                    {body: form + "&scope=%zz", status: 400, code: access.CodeInvalidRequest, reason: "not a valid form"},
		"form with semicolons":                         {body: form + ";x=y", status: 400, code: access.CodeInvalidRequest, reason: "not a valid form"},
		"parameter in the URL":                         {query: "?client_secret=x", body: form, status: 400, code: access.CodeInvalidRequest, reason: "not in the URL"},
		"question mark alone":                          {query: "?", body: form, status: 400, code: access.CodeInvalidRequest, reason: "not in the URL"},
		"body of 16 KiB and one":                       {body: form + "&x=" + strings.Repeat("y", 16<<10), status: 400, code: access.CodeInvalidRequest, reason: "larger than 16384"},
		"no Content-Type":                              {contentType: "none", body: form, status: 400, code: access.CodeInvalidRequest, reason: "Content-Type"},
		"another Content-Type":                         {contentType: "text/plain", body: form, status: 400, code: access.CodeInvalidRequest, reason: "Content-Type"},
		"malformed Content-Type":                       {contentType: "a/b/c", body: form, status: 400, code: access.CodeInvalidRequest, reason: "Content-Type"},
		"another charset":                              {contentType: jsonType + "; charset=utf-16", body: `{}`, status: 400, code: access.CodeInvalidRequest, reason: "charset"},
		"compressed":                                   {header: http.Header{"Content-Encoding": {"gzip"}}, body: form, status: 400, code: access.CodeInvalidRequest, reason: "Content-Encoding"},
		"RFC 6749 section 5.2, no grant_type":          {body: "client_id=ID&client_secret=SECRET", status: 400, code: access.CodeInvalidRequest, reason: "grant_type is missing"},
		"RFC 6749 section 5.2, unsupported_grant_type": {body: "grant_type=password&client_id=ID&client_secret=SECRET", status: 400, code: access.CodeUnsupportedGrantType, reason: "client_credentials"},
		"RFC 8707 section 2, invalid_target":           {body: form + "&resource=https://else.example.com", status: 400, code: access.CodeInvalidTarget, reason: "astronomer-ee, second"},
		"audience and resource differ":                 {body: form + "&resource=second&audience=astronomer-ee", status: 400, code: access.CodeInvalidTarget, reason: "not the same"},
		"RFC 6749 section 5.2, invalid_scope, unknown": {body: form + "&scope=admin", status: 400, code: access.CodeInvalidScope, reason: "unknown scope"},
		"RFC 6749 section 5.2, invalid_scope, wider":   {body: "grant_type=client_credentials&client_id=NARROW&client_secret=NARROWSECRET&scope=deploy", status: 400, code: access.CodeInvalidScope, reason: "only the scopes airflow:read"},
		"RFC 6749 section 3.3, two spaces":             {body: form + "&scope=deploy++airflow:read", status: 400, code: access.CodeInvalidScope, reason: "unknown scope"},
		"an unknown audience tells a stranger nothing": {body: "grant_type=client_credentials&audience=x&client_id=ID&client_secret=" + other, status: 401, code: access.CodeInvalidClient, reason: "not right"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", "/oauth/token"+test.query, strings.NewReader(values.Replace(test.body)))
			for name, value := range test.header {
				r.Header[name] = value
			}
			switch test.contentType {
			case "none":
			case "":
				r.Header.Set("Content-Type", formType)
			default:
				r.Header.Set("Content-Type", test.contentType)
			}
			if test.basic != nil {
				user, password := values.Replace(test.basic[0]), values.Replace(test.basic[1])
				if test.escape {
					user, password = escapeAll(user), escapeAll(password)
				}
				r.SetBasicAuth(user, password)
			}
			w := serve(t, h, r)
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q, want no-store", got)
			}
			if test.status != 0 {
				expectError(t, w, test.status, test.code, strings.ReplaceAll(test.reason, `"`, `'`))
				if challenged := w.Header().Get("WWW-Authenticate") != ""; challenged != (test.status == 401 && r.Header.Get("Authorization") != "") {
					t.Errorf("WWW-Authenticate is %q", w.Header().Get("WWW-Authenticate"))
				}
				return
			}
			if w.Code != 200 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			var answer tokenAnswer
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if test.scope == "" {
				test.scope = keystore.AllScopes.String()
			}
			if answer.TokenType != "Bearer" || answer.ExpiresIn != 86400 || answer.Scope != test.scope {
				t.Errorf("answer %+v, want Bearer, 86400 and scope %q", answer, test.scope)
			}
			claims, refused := app.authority.Verify(t.Context(), answer.AccessToken)
			if refused != nil {
				t.Fatal(refused)
			}
			if claims.DeploymentID != "dep1" || claims.Scope != test.scope || claims.Subject != claims.ClientID ||
				len(claims.Permissions) != 1 || claims.Permissions[0] != "deploymentId:dep1" {
				t.Errorf("claims %+v", claims)
			}
			wantAudience := DefaultAudience
			if strings.Contains(test.body, "second") {
				wantAudience = "second"
			}
			if claims.Audience != wantAudience {
				t.Errorf("audience %q, want %q", claims.Audience, wantAudience)
			}
		})
	}
}

func escapeAll(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func TestTokenHandlerPaths(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	h := &TokenHandler{app: app.App}
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
		body         string
	}{
		{"GET", "/oauth/token", 405, "POST", "invalid_request"},
		{"GET", "/.well-known/jwks.json", 200, "", `"alg":"ES256"`},
		{"POST", "/.well-known/jwks.json", 405, "GET, HEAD", ""},
		{"GET", "/.well-known/oauth-authorization-server", 200, "", `"token_endpoint":"https://auth.example.com/oauth/token"`},
		{"DELETE", "/.well-known/oauth-authorization-server", 405, "GET, HEAD", ""},
		{"HEAD", "/.well-known/jwks.json", 200, "", ""},
		{"GET", "/oauth/revoke", 405, "POST", "invalid_request"},
		{"GET", "/oauth/introspect", 405, "POST", "invalid_request"},
		{"GET", "/", 200, "", "passed"},
		{"POST", "/oauth/token/", 200, "", "passed"},
		{"POST", "/oauth/revoke/", 200, "", "passed"},
		{"GET", "/token", 200, "", "passed"}, // a page may be there
	} {
		w := serve(t, h, httptest.NewRequest(test.method, test.path, nil))
		if w.Code != test.status || w.Header().Get("Allow") != test.allow || !strings.Contains(w.Body.String(), test.body) {
			t.Errorf("%s %s: %d, Allow %q, %s", test.method, test.path, w.Code, w.Header().Get("Allow"), w.Body)
		}
	}
}

func TestMetadataNeedsAnIssuer(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, func(app *App) { app.Issuer, app.issuer = "", defaultIssuer })
	w := serve(t, &TokenHandler{app: app.App}, httptest.NewRequest("GET", pathMetadata, nil))
	if w.Code != 404 || !strings.Contains(w.Body.String(), "set issuer") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestEverySigningAlgorithm(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []token.Algorithm{token.ES256, token.EdDSA, token.RS256} {
		t.Run(string(algorithm), func(t *testing.T) {
			t.Parallel()
			app := newTestApp(t, func(app *App) { app.signing.Algorithm = string(algorithm) })
			if _, refused := app.authority.Verify(t.Context(), app.token(t, app.key)); refused != nil {
				t.Error(refused)
			}
			w := serve(t, &TokenHandler{app: app.App}, httptest.NewRequest("GET", pathJWKS, nil))
			if !strings.Contains(w.Body.String(), `"alg":"`+string(algorithm)+`"`) {
				t.Errorf("JWKS %s", w.Body)
			}
		})
	}
}

// expectError wants a refusal with status, code and a part of its description.
func expectError(t *testing.T, w *httptest.ResponseRecorder, status int, code access.Code, part string) {
	t.Helper()
	var body struct {
		Error       access.Code `json:"error"`
		Description string      `json:"error_description"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("status %d, body %q: %v", w.Code, w.Body, err)
	}
	if w.Code != status || body.Error != code || !strings.Contains(body.Description, part) {
		t.Errorf("%d %s: %q, want %d %s: …%s…", w.Code, body.Error, body.Description, status, code, part)
	}
}
