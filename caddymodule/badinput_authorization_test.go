package caddymodule

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/access"
)

// notCanonical is base64 of the same bytes as that of the text, with bits set that stand for nothing (RFC 4648 section
// 3.5). The text is made longer until there are such bits.
func notCanonical(text string) string {
	for len(text)%3 == 0 {
		text += "x"
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	end := strings.IndexByte(encoded, '=') - 1
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return encoded[:end] + string(alphabet[strings.IndexByte(alphabet, encoded[end])+1]) + encoded[end+1:]
}

// An authorizationRow is a value of the Authorization header.
type authorizationRow struct {
	value string
	code  access.Code
}

// basicRows are what a header with a key ID and a secret can have wrong. The codes are those of the endpoints at which
// clients authenticate themselves.
func basicRows(id, secret string) map[string]authorizationRow {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	good := encode(id + ":" + secret)
	padded := id + ":" + secret
	for len(padded)%3 == 0 { // such a text has no padding
		padded += "x"
	}
	lower := func(text string) string { return strings.ToLower(escapeAll(text)) }
	upper := func(text string) string { return strings.ToUpper(escapeAll(text)) }
	return map[string]authorizationRow{
		"RFC 6749 section 2.3.1, as it is":                     {"Basic " + good, granted},
		"RFC 6749 section 2.3.1, form-encoded":                 {"Basic " + encode(url.QueryEscape(id)+":"+url.QueryEscape(secret)), granted},
		"RFC 6749 section 2.3.1, each byte, lower case":        {"Basic " + encode(lower(id)+":"+lower(secret)), granted},
		"RFC 6749 section 2.3.1, each byte, upper case":        {"Basic " + encode(upper(id)+":"+upper(secret)), granted},
		"RFC 6749 section 2.3.1, encoded twice":                {"Basic " + encode(escapeAll(escapeAll(id))+":"+secret), access.CodeInvalidClient},
		"RFC 6749 section 2.3.1, plus is a space, in the ID":   {"Basic " + encode(id+"+:"+secret), access.CodeInvalidClient},
		"RFC 6749 section 2.3.1, plus is a space, in the rest": {"Basic " + encode(id+":"+secret+"+"), access.CodeInvalidClient},
		"RFC 6749 section 2.3.1, %20":                          {"Basic " + encode(id+":%20"+secret), access.CodeInvalidClient},
		"RFC 6749 section 2.3.1, %00":                          {"Basic " + encode(id+"%00:"+secret), access.CodeInvalidClient},
		"RFC 6749 section 2.3.1, %ff is not UTF-8":             {"Basic " + encode(id+"%ff:"+secret), access.CodeInvalidClient},
		"RFC 6749 section 2.3.1, a colon that is encoded":      {"Basic " + encode(id+"%3a"+secret), access.CodeInvalidRequest},
		"RFC 6749 section 2.3.1, a colon in the secret":        {"Basic " + encode(id+":"+secret+":x"), access.CodeInvalidClient},
		"RFC 6749 section 2.3.1, an encoded colon in it":       {"Basic " + encode(id+":"+secret+"%3ax"), access.CodeInvalidClient},
		"RFC 6749 section 2.3.1, an escape that is cut off":    {"Basic " + encode(id+":"+secret+"%4"), access.CodeInvalidRequest},
		"RFC 6749 section 2.3.1, a percent sign alone":         {"Basic " + encode(id+":"+secret+"%"), access.CodeInvalidRequest},
		"RFC 6749 section 2.3.1, an escape that is none":       {"Basic " + encode("%zz:"+secret), access.CodeInvalidRequest},

		"RFC 7617 section 2, no colon":              {"Basic " + encode(id), access.CodeInvalidRequest},
		"RFC 7617 section 2, nothing encoded":       {"Basic ", access.CodeInvalidRequest},
		"RFC 7617 section 2, a colon alone":         {"Basic " + encode(":"), access.CodeInvalidClient},
		"RFC 7617 section 2, empty ID":              {"Basic " + encode(":"+secret), access.CodeInvalidClient},
		"RFC 7617 section 2, empty secret":          {"Basic " + encode(id+":"), access.CodeInvalidClient},
		"RFC 7617 section 2, the other way round":   {"Basic " + encode(secret+":"+id), access.CodeInvalidClient},
		"RFC 7617 section 2, NUL at the end":        {"Basic " + encode(id+":"+secret+"\x00"), access.CodeInvalidClient},
		"RFC 7617 section 2, line feed at the end":  {"Basic " + encode(id+":"+secret+"\n"), access.CodeInvalidClient},
		"RFC 7617 section 2, not UTF-8":             {"Basic " + encode(id+":\xff"), access.CodeInvalidClient},
		"RFC 7617 section 2, ID in other case":      {"Basic " + encode(strings.ToUpper(id)+":"+secret), access.CodeInvalidClient},
		"RFC 7617 section 2, secret in other case":  {"Basic " + encode(id+":"+strings.ToUpper(secret)), access.CodeInvalidClient},
		"RFC 4648 section 3.5, not canonical":       {"Basic " + notCanonical(id+":"+secret), access.CodeInvalidRequest},
		"RFC 4648 section 3.2, without padding":     {"Basic " + base64.RawStdEncoding.EncodeToString([]byte(padded)), access.CodeInvalidRequest},
		"RFC 4648 section 3.2, too much padding":    {"Basic " + good + "====", access.CodeInvalidRequest},
		"RFC 4648 section 5, alphabet of URLs":      {"Basic " + base64.URLEncoding.EncodeToString([]byte("\xfb\xff:"+secret+"\xff")), access.CodeInvalidRequest},
		"RFC 4648 section 3.3, a hyphen":            {"Basic " + good + "-", access.CodeInvalidRequest},
		"RFC 4648 section 3.3, a space in it":       {"Basic " + good[:8] + " " + good[8:], access.CodeInvalidRequest},
		"RFC 4648 section 3.3, a space after it":    {"Basic " + good + " ", access.CodeInvalidRequest},
		"RFC 4648 section 3.3, a letter after it":   {"Basic " + encode(id+":"+secret+"==") + "x", access.CodeInvalidRequest},
		"RFC 4648 section 3.3, not encoded":         {"Basic " + id + ":" + secret, access.CodeInvalidRequest},
		"RFC 9110 section 11.1, basic":              {"basic " + good, granted},
		"RFC 9110 section 11.1, BASIC":              {"BASIC " + good, granted},
		"RFC 9110 section 11.4, several spaces":     {"Basic    " + good, granted},
		"RFC 9110 section 11.4, a tab":              {"Basic\t" + good, access.CodeInvalidClient},
		"RFC 9110 section 11.4, a space and a tab":  {"Basic \t" + good, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, no space":           {"Basic" + good, access.CodeInvalidClient},
		"RFC 9110 section 11.4, a space in front":   {" Basic " + good, access.CodeInvalidClient},
		"RFC 9110 section 11.4, the scheme alone":   {"Basic", access.CodeInvalidRequest},
		"RFC 9110 section 11.4, without the scheme": {good, access.CodeInvalidClient},
		"RFC 9110 section 11.4, quoted":             {`Basic "` + good + `"`, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, a parameter":        {"Basic realm=x", access.CodeInvalidRequest},
		"RFC 9110 section 11.6.2, a list":           {"Basic " + good + ", Basic " + good, access.CodeInvalidRequest},
		"RFC 9110 section 11.6.2, a list, no space": {"Basic " + good + ",Bearer x", access.CodeInvalidRequest},
		"RFC 9110 section 11.6.2, empty":            {"", access.CodeInvalidClient},
		"another scheme, Bearer":                    {"Bearer " + good, access.CodeInvalidClient},
		"another scheme, Digest":                    {"Digest username=x", access.CodeInvalidClient},
		"another scheme, a longer name":             {"Basics " + good, access.CodeInvalidClient},
		"over-long":                                 {"Basic " + encode(id+":"+strings.Repeat("x", 32<<10)), access.CodeInvalidRequest},
	}
}

// RFC 6749 section 2.3.1, at each endpoint of clients. Whoever is refused with 401 has tried to use the header, so that
// there is a challenge (section 5.2).
func TestBadClientAuthorization(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	for endpoint := range endpoints {
		good := app.goodRequest(t, endpoint)
		delete(good, "client_id")
		delete(good, "client_secret")
		for name, row := range basicRows(app.key.ID, app.secret) {
			t.Run(endpoint+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := httptest.NewRequest(http.MethodPost, endpoint, strings.NewReader(asForm(good, "")))
				r.Header = http.Header{"Content-Type": {formType}, "Authorization": {row.value}}
				w := serve(t, &TokenHandler{app: app.App}, r)
				if row.code == granted {
					if w.Code != http.StatusOK {
						t.Errorf("%d %s, want 200", w.Code, w.Body)
					}
					return
				}
				expectError(t, w, row.code.Status(), row.code, "")
				if challenge := w.Header().Get("WWW-Authenticate"); (row.code == access.CodeInvalidClient) != strings.HasPrefix(challenge, "Basic realm=") {
					t.Errorf("the challenge is %q", challenge)
				}
				if strings.Contains(w.Body.String(), app.secret) {
					t.Errorf("the answer has the secret in it: %s", w.Body)
				}
			})
		}
	}
}

// RFC 7617 at a route that accepts it. It is not form-encoded there, since registry clients don't; and what is wrong with
// the credentials is the same answer as for a token.
func TestBadBasicInFrontOfAnUpstream(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	h := newAuth(app, func(h *Auth) { h.Basic = true })
	other := map[string]access.Code{
		// What is no base64 or has no scheme is malformed, as with a token.
		"RFC 9110 section 11.4, a tab":              access.CodeInvalidRequest,
		"RFC 9110 section 11.4, no space":           access.CodeInvalidRequest,
		"RFC 9110 section 11.4, a space in front":   access.CodeInvalidRequest,
		"RFC 9110 section 11.4, without the scheme": access.CodeInvalidRequest,
		"RFC 9110 section 11.6.2, empty":            access.CodeInvalidRequest,
		"another scheme, Bearer":                    access.CodeInvalidToken,
		"another scheme, Digest":                    access.CodeNone,
		"another scheme, a longer name":             access.CodeNone,
	}
	for name, row := range basicRows(app.key.ID, app.secret) {
		if strings.HasPrefix(name, "RFC 6749 section 2.3.1") {
			continue
		}
		if row.code == access.CodeInvalidClient {
			row.code = access.CodeInvalidToken
		}
		if code, differs := other[name]; differs {
			row.code = code
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app.wantCheck(t, h, "/dep1/api", http.Header{"Authorization": {row.value}}, row.code)
		})
	}
	for name, text := range map[string]string{
		"not form-encoded, RFC 7617 section 2": escapeAll(app.key.ID) + ":" + escapeAll(app.secret),
		"a colon in the secret":                app.key.ID + ":" + app.secret + ":x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(text))}}
			app.wantCheck(t, h, "/dep1/api", header, access.CodeInvalidToken)
		})
	}
}

// wantCheck sends a request to the check and holds that the answer has a code, and the challenge that goes with it.
func (a *testApp) wantCheck(t *testing.T, h *Auth, target string, header http.Header, code access.Code) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header = header
	w := serve(t, h, r)
	if code == granted {
		if w.Code != http.StatusOK || w.Body.String() != "passed" {
			t.Errorf("%d %s, want it passed on", w.Code, w.Body)
		}
		return
	}
	expectError(t, w, code.Status(), code, "")
	challenge := w.Header().Get("WWW-Authenticate")
	switch {
	case strings.HasPrefix(challenge, "Basic realm="):
	case code == access.CodeNone && strings.Contains(challenge, "error"):
		t.Errorf("RFC 6750 section 3.1: without credentials the challenge has no code: %q", challenge)
	case code != access.CodeNone && !strings.Contains(challenge, `error="`+string(code)+`"`):
		t.Errorf("the challenge is %q, want the code %s", challenge, code)
	}
}

// RFC 6750 section 2.1, and what else people send.
func TestBadBearer(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	h, raw := newAuth(app, nil), app.token(t, app.key)
	for name, row := range map[string]authorizationRow{
		"RFC 6750 section 2.1":                            {"Bearer " + raw, granted},
		"RFC 9110 section 11.1, bearer":                   {"bearer " + raw, granted},
		"RFC 9110 section 11.1, BEARER":                   {"BEARER " + raw, granted},
		"RFC 9110 section 11.4, several spaces":           {"Bearer     " + raw, granted},
		"RFC 9110 section 11.4, a tab":                    {"Bearer\t" + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, a space and a tab":        {"Bearer \t" + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, a space in front":         {" Bearer " + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, a tab in front":           {"\tBearer " + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, a space after":            {"Bearer " + raw + " ", access.CodeInvalidRequest},
		"RFC 9110 section 11.4, no space":                 {"Bearer" + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, an escaped space":         {"Bearer%20" + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, a space that is not one":  {"Bearer\u00a0" + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, a colon":                  {"Bearer: " + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, an equals sign":           {"Bearer=" + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, the scheme alone":         {"Bearer", access.CodeInvalidRequest},
		"RFC 9110 section 11.4, the scheme and a space":   {"Bearer ", access.CodeInvalidRequest},
		"RFC 9110 section 11.4, the token alone":          {raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, the scheme twice":         {"Bearer Bearer " + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.4, empty":                    {"", access.CodeInvalidRequest},
		"RFC 9110 section 11.4, a space alone":            {" ", access.CodeInvalidRequest},
		"RFC 9110 section 11.6.2, a list":                 {"Bearer " + raw + ", Bearer " + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.6.2, a list, no space":       {"Bearer " + raw + ",Bearer " + raw, access.CodeInvalidRequest},
		"RFC 9110 section 11.6.2, a list, Basic first":    {"Basic eDp5, Bearer " + raw, access.CodeNone},
		"RFC 6750 section 2.1, a comma after":             {"Bearer " + raw + ",", access.CodeInvalidRequest},
		"RFC 6750 section 2.1, a semicolon":               {"Bearer " + raw + ";x", access.CodeInvalidRequest},
		"RFC 6750 section 2.1, in quotes":                 {`Bearer "` + raw + `"`, access.CodeInvalidRequest},
		"RFC 6750 section 2.1, in single quotes":          {`Bearer '` + raw + `'`, access.CodeInvalidRequest},
		"RFC 6750 section 2.1, in brackets":               {"Bearer <" + raw + ">", access.CodeInvalidRequest},
		"RFC 6750 section 2.1, as a parameter":            {"Bearer token=" + raw, access.CodeInvalidRequest},
		"RFC 6750 section 2.1, with an end of line in it": {"Bearer " + raw + "\n", access.CodeInvalidRequest},
		"RFC 6750 section 2.1, with NUL":                  {"Bearer " + raw + "\x00", access.CodeInvalidRequest},
		"RFC 6750 section 2.1, not ASCII":                 {"Bearer " + raw + "\xff", access.CodeInvalidRequest},
		"RFC 6750 section 2.1, padding":                   {"Bearer " + raw + "==", access.CodeInvalidToken},
		"RFC 6750 section 2.1, padding alone":             {"Bearer ==", access.CodeInvalidRequest},
		"RFC 7519 section 3, a dot after":                 {"Bearer " + raw + ".", access.CodeInvalidToken},
		"RFC 7519 section 3, a dot in front":              {"Bearer ." + raw, access.CodeInvalidToken},
		"RFC 7519 section 3, two tokens":                  {"Bearer " + raw + "." + raw, access.CodeInvalidToken},
		"RFC 7519 section 3, two dots alone":              {"Bearer ..", access.CodeInvalidToken},
		"RFC 7519 section 3, one character less":          {"Bearer " + raw[:len(raw)-1], access.CodeInvalidToken},
		"RFC 7519 section 3, one character more":          {"Bearer " + raw + "A", access.CodeInvalidToken},
		"RFC 7519 section 3, over-long":                   {"Bearer " + strings.Repeat("x", 64<<10), access.CodeInvalidToken},
		"RFC 7519 section 3, over-long, of many parts":    {"Bearer " + strings.Repeat(".", 64<<10), access.CodeInvalidToken},
		"what a script makes of a variable, null":         {"Bearer null", access.CodeInvalidToken},
		"what a script makes of a variable, undefined":    {"Bearer undefined", access.CodeInvalidToken},
		"what a script makes of a variable, an object":    {"Bearer [object Object]", access.CodeInvalidRequest},
		"what a script makes of a variable, not set":      {"Bearer $TOKEN", access.CodeInvalidRequest},
		"the secret of a key":                             {"Bearer " + app.secret, access.CodeInvalidToken},
		"another scheme, Token":                           {"Token " + raw, access.CodeNone},
		"another scheme, JWT":                             {"JWT " + raw, access.CodeNone},
		"another scheme, DPoP":                            {"DPoP " + raw, access.CodeNone},
		"another scheme, Negotiate":                       {"Negotiate YII=", access.CodeNone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app.wantCheck(t, h, "/dep1/api", http.Header{"Authorization": {row.value}}, row.code)
		})
	}
}

// RFC 6750 sections 2.2 and 2.3 are not offered, since what is in a URL is in logs: such a request has no credentials. With
// a header it has, and what else is in it is the upstream's.
func TestTokenInTheURLOrTheBodyIsNone(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	h, raw := newAuth(app, nil), app.token(t, app.key)
	app.wantCheck(t, h, "/dep1/api?access_token="+raw, http.Header{}, access.CodeNone)
	app.wantCheck(t, h, "/dep1/api?access_token="+raw, bearer("x"), access.CodeInvalidToken)
	app.wantCheck(t, h, "/dep1/api?access_token=x", bearer(raw), granted)
	app.wantCheck(t, h, "/dep1/api", http.Header{"Cookie": {"access_token=" + raw}}, access.CodeNone)
	app.wantCheck(t, h, "/dep1/api", http.Header{"Proxy-Authorization": {"Bearer " + raw}}, access.CodeNone)
	r := httptest.NewRequest(http.MethodPost, "/dep1/api", strings.NewReader("access_token="+raw))
	r.Header.Set("Content-Type", formType)
	expectError(t, serve(t, h, r), http.StatusUnauthorized, access.CodeNone, "no credentials")
}
