package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/access"
)

// granted is the code of a row in which nothing is wrong with the request.
const granted access.Code = ""

// A parameterRow is a parameter of an endpoint: how the endpoint answers when it is omitted, and when it has a value that
// is text, but none that there is.
type parameterRow struct {
	name             string
	omitted, unknown access.Code
}

// endpoints are those at which clients authenticate themselves, with every parameter that any of them knows. One that an
// endpoint has no use for is ignored (RFC 6749 section 3.2), but has to be well formed all the same.
var endpoints = map[string][]parameterRow{
	pathToken: {
		{"grant_type", access.CodeInvalidRequest, access.CodeUnsupportedGrantType},
		{"client_id", access.CodeInvalidClient, access.CodeInvalidClient},
		{"client_secret", access.CodeInvalidClient, access.CodeInvalidClient},
		{"audience", granted, access.CodeInvalidTarget},
		{"resource", granted, access.CodeInvalidTarget},
		{"scope", granted, access.CodeInvalidScope},
		{"token", granted, granted},
		{"token_type_hint", granted, granted},
	},
	pathRevoke: {
		{"token", access.CodeInvalidRequest, granted}, // RFC 7009 section 2.2: what is no token is revoked already
		{"token_type_hint", granted, granted},         // section 2.1: there is one type, so it is of no use
		{"client_id", access.CodeInvalidClient, access.CodeInvalidClient},
		{"client_secret", access.CodeInvalidClient, access.CodeInvalidClient},
		{"grant_type", granted, granted},
		{"audience", granted, granted},
		{"resource", granted, granted},
		{"scope", granted, granted},
	},
	pathIntrospect: {
		{"token", access.CodeInvalidRequest, granted}, // RFC 7662 section 2.2: what is no token is inactive
		{"token_type_hint", granted, granted},         // section 2.1
		{"client_id", access.CodeInvalidClient, access.CodeInvalidClient},
		{"client_secret", access.CodeInvalidClient, access.CodeInvalidClient},
		{"grant_type", granted, granted},
		{"audience", granted, granted},
		{"resource", granted, granted},
		{"scope", granted, granted},
	},
}

// goodRequest is what a request to an endpoint has in it when nothing is wrong with it.
func (a *testApp) goodRequest(t testing.TB, endpoint string) map[string]string {
	good := map[string]string{"client_id": a.key.ID, "client_secret": a.secret}
	if endpoint == pathToken {
		good["grant_type"] = "client_credentials"
	} else {
		good["token"] = a.token(t, a.narrow)
		if endpoint == pathRevoke {
			good["token"] = "unknown" // so that rows do not depend on each other
		}
	}
	return good
}

// asForm and asJSON write parameters down. What comes after them is put as it stands.
func asForm(good map[string]string, more string) string {
	form := make(url.Values, len(good))
	for name, value := range good {
		form.Set(name, value)
	}
	return form.Encode() + "&" + more
}

func asJSON(good map[string]string, more string) string {
	encoded, _ := json.Marshal(good) // cannot fail
	return strings.TrimSuffix(string(encoded), "}") + "," + more + "}"
}

// A badWay is a way to get one parameter wrong.
type badWay struct {
	section string // of an RFC
	json    bool
	more    func(name, value string) string // how the parameter stands in the body; value is a good one
	code    func(parameterRow) access.Code
}

func isInvalidRequest(parameterRow) access.Code { return access.CodeInvalidRequest }
func isOmitted(p parameterRow) access.Code      { return p.omitted }
func isUnknown(p parameterRow) access.Code      { return p.unknown }

// inForm and inJSON write down what stands in a body, with the parameter in the places of @name and @NAME, and a good
// value in that of @value.
func inForm(format string) func(name, value string) string {
	return func(name, value string) string {
		return strings.NewReplacer("@name", name, "@NAME", strings.ToUpper(name), "@value", url.QueryEscape(value)).Replace(format)
	}
}

func inJSON(format string) func(name, value string) string {
	return func(name, value string) string {
		return strings.NewReplacer("@name", name, "@NAME", strings.ToUpper(name), "@value", value).Replace(format)
	}
}

// long is a value that is longer than any there is, in a body that is not too large.
var long = strings.Repeat("x", 12<<10)

var badWays = map[string]badWay{
	"repeated in a form":                  {"RFC 6749 section 3.2", false, inForm("@name=@value&@name=@value"), isInvalidRequest},
	"repeated in a form, once empty":      {"RFC 6749 section 3.2", false, inForm("@name=@value&@name="), isInvalidRequest},
	"repeated in a form, twice empty":     {"RFC 6749 section 3.2", false, inForm("@name=&@name="), isInvalidRequest},
	"empty in a form":                     {"RFC 6749 section 3.2", false, inForm("@name="), isOmitted},
	"without a value in a form":           {"RFC 6749 section 3.2", false, inForm("@name"), isOmitted},
	"in other case in a form":             {"RFC 6749 section 3.2", false, inForm("@NAME=@value"), isOmitted},
	"as a list in a form":                 {"RFC 6749 section 3.2", false, inForm("@name[]=@value"), isOmitted},
	"over-long in a form":                 {"RFC 6749 section 5.2", false, inForm("@name=" + long), isUnknown},
	"with NUL in a form":                  {"RFC 6749 appendix A", false, inForm("@name=@value%00"), isUnknown},
	"with a space in front in a form":     {"RFC 6749 appendix A", false, inForm("@name=+@value"), isUnknown},
	"with a line feed in a form":          {"RFC 6749 appendix A", false, inForm("@name=@value%0a"), isUnknown},
	"not UTF-8 in a form":                 {"RFC 6749 appendix B", false, inForm("@name=%ff"), isInvalidRequest},
	"not UTF-8 and not escaped in a form": {"RFC 6749 appendix B", false, inForm("@name=\xff"), isInvalidRequest},
	"a broken escape in a form":           {"RFC 6749 appendix B", false, inForm("@name=%f"), isInvalidRequest},
	"beyond the size of a body":           {"RFC 6749 section 5.2", false, inForm("@name=" + long + long), isInvalidRequest},

	"repeated in JSON":               {"RFC 8259 section 4", true, inJSON(`"@name":"@value","@name":"@value"`), isInvalidRequest},
	"repeated in JSON, once null":    {"RFC 8259 section 4", true, inJSON(`"@name":null,"@name":"@value"`), isInvalidRequest},
	"empty in JSON":                  {"RFC 6749 section 3.2", true, inJSON(`"@name":""`), isOmitted},
	"in other case in JSON":          {"RFC 8259 section 7", true, inJSON(`"@NAME":"@value"`), isOmitted},
	"over-long in JSON":              {"RFC 6749 section 5.2", true, inJSON(`"@name":"` + long + `"`), isUnknown},
	"with NUL in JSON":               {"RFC 6749 appendix A", true, inJSON(`"@name":"@value\u0000"`), isUnknown},
	"half of a surrogate pair":       {"RFC 8259 section 8.2", true, inJSON(`"@name":"@value\ud800"`), isUnknown},
	"not UTF-8 in JSON":              {"RFC 8259 section 8.1", true, inJSON("\"@name\":\"\xff\""), isInvalidRequest},
	"a line feed in JSON":            {"RFC 8259 section 7", true, inJSON("\"@name\":\"@value\n\""), isInvalidRequest},
	"number":                         {"RFC 8259 section 3", true, inJSON(`"@name":1`), isInvalidRequest},
	"number of a thousand digits":    {"RFC 8259 section 6", true, inJSON(`"@name":` + strings.Repeat("9", 1000)), isInvalidRequest},
	"true":                           {"RFC 8259 section 3", true, inJSON(`"@name":true`), isInvalidRequest},
	"false":                          {"RFC 8259 section 3", true, inJSON(`"@name":false`), isInvalidRequest},
	"null":                           {"RFC 8259 section 3", true, inJSON(`"@name":null`), isInvalidRequest},
	"object":                         {"RFC 8259 section 3", true, inJSON(`"@name":{"@name":"@value"}`), isInvalidRequest},
	"array":                          {"RFC 8259 section 3", true, inJSON(`"@name":["@value"]`), isInvalidRequest},
	"empty array":                    {"RFC 8259 section 3", true, inJSON(`"@name":[]`), isInvalidRequest},
	"a value without quotes":         {"RFC 8259 section 3", true, inJSON(`"@name":x`), isInvalidRequest},
	"a value in the wrong quotes":    {"RFC 8259 section 7", true, inJSON(`"@name":'@value'`), isInvalidRequest},
	"beyond the size of a JSON body": {"RFC 6749 section 5.2", true, inJSON(`"@name":"` + long + long + `"`), isInvalidRequest},
}

// Each parameter of each endpoint, wrong in each way.
func TestBadParameters(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	for endpoint, parameters := range endpoints {
		good := app.goodRequest(t, endpoint)
		for _, parameter := range parameters {
			for name, way := range badWays {
				rest := maps.Clone(good)
				delete(rest, parameter.name)
				value := good[parameter.name]
				if value == "" {
					value = "x"
				}
				contentType, body := formType, asForm
				if way.json {
					contentType, body = jsonType, asJSON
				}
				t.Run(fmt.Sprintf("%s/%s/%s, %s", endpoint, parameter.name, way.section, name), func(t *testing.T) {
					t.Parallel()
					app.wantAnswer(t, endpoint, contentType, body(rest, way.more(parameter.name, value)), way.code(parameter), nil)
				})
			}
		}
	}
}

// wantAnswer sends a body to an endpoint and holds that the answer has a code and the status of that code, and nothing
// that the body had in it.
func (a *testApp) wantAnswer(t *testing.T, endpoint, contentType, body string, code access.Code, header http.Header) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, endpoint, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	for name, values := range header {
		r.Header[name] = values
	}
	w := serve(t, &TokenHandler{app: a.App}, r)
	if code == granted {
		if w.Code != http.StatusOK {
			t.Errorf("%d %s, want 200", w.Code, w.Body)
		}
		return
	}
	expectError(t, w, code.Status(), code, "")
	if answer := w.Body.String(); strings.Contains(answer, a.secret) || strings.Contains(answer, long[:100]) {
		t.Errorf("the answer repeats what was sent: %.300s", answer)
	}
}

// What JSON bodies as a whole can have wrong, at each endpoint.
func TestBadJSON(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	lists := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	objects := func(depth int) string { return strings.Repeat(`{"x":`, depth) + "1" + strings.Repeat("}", depth) }
	for endpoint := range endpoints {
		good := app.goodRequest(t, endpoint)
		encoded, err := json.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		whole := string(encoded)
		for name, test := range map[string]struct {
			body string
			code access.Code
		}{
			"white space around":                        {" \r\n\t" + whole + "\n ", granted},
			"members of the client's own":               {asJSON(good, `"x":{"y":[1,null,true,"z"]}`), granted},
			"as deep as is allowed":                     {asJSON(good, `"x":`+lists(15)), granted},
			"lists one deeper":                          {asJSON(good, `"x":`+lists(16)), access.CodeInvalidRequest},
			"objects too deep":                          {asJSON(good, `"x":`+objects(17)), access.CodeInvalidRequest},
			"as deep as the body is large":              {asJSON(good, `"x":`+strings.Repeat("[", 12<<10)), access.CodeInvalidRequest},
			"RFC 8259 section 4, twice, not ours":       {asJSON(good, `"x":1,"x":2`), access.CodeInvalidRequest},
			"RFC 8259 section 4, twice, further down":   {asJSON(good, `"x":[{"y":{"z":1,"z":2}}]`), access.CodeInvalidRequest},
			"RFC 8259 section 7, twice, spelt other":    {asJSON(good, `"client\u005fid":"x"`), access.CodeInvalidRequest},
			"RFC 8259 section 2, another value after":   {whole + whole, access.CodeInvalidRequest},
			"RFC 8259 section 2, a letter after":        {whole + "x", access.CodeInvalidRequest},
			"RFC 8259 section 2, NUL after":             {whole + "\x00", access.CodeInvalidRequest},
			"RFC 8259 section 2, a comma at the end":    {strings.TrimSuffix(whole, "}") + ",}", access.CodeInvalidRequest},
			"RFC 8259 section 8.1, byte order mark":     {"\xef\xbb\xbf" + whole, access.CodeInvalidRequest},
			"RFC 8259 section 8.1, not UTF-8, not ours": {asJSON(good, "\"x\":\"\xff\""), access.CodeInvalidRequest},
			"RFC 8259 section 8.1, a name that is none": {asJSON(good, "\"\xc0\x80\":1"), access.CodeInvalidRequest},
			"a comment":                   {"/**/" + whole, access.CodeInvalidRequest},
			"cut off":                     {strings.TrimSuffix(whole, "}"), access.CodeInvalidRequest},
			"nothing":                     {"", access.CodeInvalidRequest},
			"white space alone":           {" \n", access.CodeInvalidRequest},
			"null":                        {"null", access.CodeInvalidRequest},
			"a string":                    {`"grant_type=client_credentials"`, access.CodeInvalidRequest},
			"a number":                    {"1", access.CodeInvalidRequest},
			"a list of the object":        {"[" + whole + "]", access.CodeInvalidRequest},
			"a form that says to be JSON": {asForm(good, "x=y"), access.CodeInvalidRequest},
			"RFC 8259 section 3, a name without quotes":   {strings.Replace(whole, `"client_id"`, "client_id", 1), access.CodeInvalidRequest},
			"RFC 8259 section 6, a number that is none":   {asJSON(good, `"x":01`), access.CodeInvalidRequest},
			"RFC 8259 section 6, a number that is NaN":    {asJSON(good, `"x":NaN`), access.CodeInvalidRequest},
			"RFC 8259 section 6, larger than any float64": {asJSON(good, `"x":1e999999`), granted},
		} {
			t.Run(endpoint+"/"+name, func(t *testing.T) {
				t.Parallel()
				app.wantAnswer(t, endpoint, jsonType, test.body, test.code, nil)
			})
		}
	}
}

// What is about the body and not in it, at each endpoint.
func TestBadContent(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	for endpoint := range endpoints {
		form := asForm(app.goodRequest(t, endpoint), "x=y")
		for name, test := range map[string]struct {
			body, contentType string
			header            http.Header
			code              access.Code
		}{
			"type in other case":             {form, "Application/X-WWW-Form-Urlencoded", nil, granted},
			"charset in other case, quoted":  {form, formType + `; charset="UTF-8"`, nil, granted},
			"a parameter of the type":        {form, formType + "; x=y", nil, granted},
			"another charset":                {form, formType + "; charset=iso-8859-1", nil, access.CodeInvalidRequest},
			"an empty charset":               {form, formType + `; charset=""`, nil, access.CodeInvalidRequest},
			"charset twice":                  {form, formType + "; charset=utf-8; charset=utf-16", nil, access.CodeInvalidRequest},
			"type twice":                     {form, "", http.Header{"Content-Type": {formType, formType}}, access.CodeInvalidRequest},
			"two types in one":               {form, formType + ", " + jsonType, nil, access.CodeInvalidRequest},
			"an empty type":                  {form, "", http.Header{"Content-Type": {""}}, access.CodeInvalidRequest},
			"no type":                        {form, "", http.Header{"Content-Type": nil}, access.CodeInvalidRequest},
			"multipart":                      {form, "multipart/form-data; boundary=x", nil, access.CodeInvalidRequest},
			"text":                           {form, "text/plain", nil, access.CodeInvalidRequest},
			"XML":                            {form, "application/xml", nil, access.CodeInvalidRequest},
			"a kind of JSON":                 {form, "application/ld+json", nil, access.CodeInvalidRequest},
			"compressed":                     {form, formType, http.Header{"Content-Encoding": {"gzip"}}, access.CodeInvalidRequest},
			"compressed by what is no way":   {form, formType, http.Header{"Content-Encoding": {"x"}}, access.CodeInvalidRequest},
			"an unknown parameter repeated":  {form + "&x=y", formType, nil, access.CodeInvalidRequest},
			"a name that is not UTF-8":       {form + "&%ff=y", formType, nil, access.CodeInvalidRequest},
			"an empty name, twice":           {form + "&=1&=2", formType, nil, access.CodeInvalidRequest},
			"separated by semicolons":        {form + ";a=b", formType, nil, access.CodeInvalidRequest},
			"nothing between two ampersands": {form + "&&&", formType, nil, granted},
		} {
			t.Run(endpoint+"/"+name, func(t *testing.T) {
				t.Parallel()
				app.wantAnswer(t, endpoint, test.contentType, test.body, test.code, test.header)
			})
		}
	}
}
