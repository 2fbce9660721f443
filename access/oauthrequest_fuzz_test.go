package access

import (
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/deploymentkeys/gateway/internal/strictjson/strictjsontest"
)

// Bits of FuzzTokenRequest's last argument.
const (
	withAuthorization = 1 << iota
	withSecondAuthorization
	withSecondContentType
	withEncoding
	withQuestionMark // and nothing behind it
	withUnknownLength
)

// FuzzTokenRequest reads requests for a token in two ways, by readClientRequest and by the reading of this file, which
// shares no code with it: both accept the same requests, and find the same credentials and parameters in them.
func FuzzTokenRequest(f *testing.F) {
	const form, json = "application/x-www-form-urlencoded", "application/json"
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, body := range []string{
		`{"client_id":"a","client_secret":"b","grant_type":"client_credentials","audience":"astronomer-ee"}`, `{"client_id":"a","client_id":"b"}`,
		`{"client_id":"a","cl\u0069ent_id":"b"}`, `{"CLIENT_ID":"a"}`, `{"client_id":["a"]}`, `{"client_id":null}`, `{"client_id":"\ud800"}`, `{"other":[{"a":1}]}`,
		`{"client_id":"a"} x`, `{"client_id":"a"}{}`, ` {"scope" : "deploy\u0020airflow:read"} `, `[]`, ``, "{\"client_id\":\"\xff\"}",
	} {
		f.Add(json, body, "", "", uint8(0))
		f.Add("Application/JSON; charset=UTF-8", body, basic("a:b"), "", uint8(withAuthorization|withUnknownLength))
	}
	for _, body := range []string{
		`client_id=a&client_secret=b&grant_type=client_credentials`, `client_id=a&client_id=a`, `client_id=a&client%5fid=b`, `client_id=a+b%20c`, `client_id`, `&&client_id=a&`,
		`client_id=a;client_secret=b`, `client_id=%zz`, `%ff=a`, `=a&=b`, `client_id=&client_id=`, "client_id=\xff",
	} {
		f.Add(form, body, "", "", uint8(0))
		f.Add(form, body, basic("a:b"), "", uint8(withAuthorization))
	}
	for _, authorization := range []string{
		basic("a:b"), "basic   " + base64.StdEncoding.EncodeToString([]byte("a%3ab:c+d:e")), basic("a"), basic("a:%zz"), basic(""), "Basic YTpi=", "Basic YTpj\x09", "Basic YTp=", "Basic YTq=",
		"Bearer abc", "Basic", "", "Basic YTpi,Basic YTpi", basic(":"), basic("\xff:\xff"),
	} {
		f.Add(form, "grant_type=client_credentials", authorization, "", uint8(withAuthorization))
		f.Add(form, "grant_type=client_credentials&client_id=a", authorization, "", uint8(withAuthorization))
		f.Add(form, "client_secret=b", authorization, "", uint8(withAuthorization|withSecondAuthorization))
	}
	f.Add(form, "client_id=a", "", "client_id=a", uint8(0))
	f.Add(form, "client_id=a", "", "", uint8(withQuestionMark))
	f.Add(form, "client_id=a", "", "", uint8(withSecondContentType))
	f.Add(form, "client_id=a", "", "", uint8(withEncoding))
	f.Add("text/plain", "client_id=a", "", "", uint8(0))
	f.Add(form+"; charset=latin1", "client_id=a", "", "", uint8(0))
	f.Add(form+"; charset*=utf-8''latin1", "client_id=a", "", "", uint8(0))
	f.Add(form, "a="+strings.Repeat("b", 16<<10-2), "", "", uint8(0))
	f.Add(form, "a="+strings.Repeat("b", 16<<10-1), "", "", uint8(withUnknownLength))

	f.Fuzz(func(t *testing.T, contentType, body, authorization, query string, how uint8) {
		if !isFieldValue(contentType) || !isFieldValue(authorization) || len(body) > 64<<10 {
			return // net/http does not let it through
		}
		is := func(bit uint8) bool { return how&bit != 0 }
		r := httptest.NewRequest("POST", "/oauth/token", io.NopCloser(strings.NewReader(body)))
		r.ContentLength = int64(len(body))
		if is(withUnknownLength) {
			r.ContentLength = -1
		}
		r.URL = &url.URL{Path: "/oauth/token", RawQuery: query, ForceQuery: is(withQuestionMark)}
		r.Header = http.Header{"Content-Type": {contentType}}
		if is(withSecondContentType) {
			r.Header.Add("Content-Type", contentType)
		}
		if is(withEncoding) {
			r.Header.Set("Content-Encoding", "gzip")
		}
		if is(withAuthorization) {
			r.Header.Add("Authorization", authorization)
		}
		if is(withSecondAuthorization) {
			r.Header.Add("Authorization", authorization)
		}
		got, refused := ReadClientRequest(httptest.NewRecorder(), r)

		kind, known := mediaTypeBy(contentType)
		if !known {
			// Its parameters are written in a way that this file cannot read. It is held against what it may be.
			if refused != nil {
				return
			}
			kind = mediaTypeWithout(contentType)
		}
		want := ClientRequest{}
		ok := query == "" && !is(withQuestionMark) && !is(withSecondContentType) && !is(withEncoding) && len(body) <= 16<<10
		if ok {
			want.Params, ok = readBodyBy(kind, body)
		}
		if ok {
			ok = readClientBy(&want, r.Header["Authorization"])
		}
		if ok != (refused == nil) {
			t.Fatalf("%+v, refused %v; the second reading accepts it: %t", got, refused, ok)
		}
		if refused != nil {
			if len(refused.Description) > 1_000 || refused.Code != CodeInvalidRequest && refused.Code != CodeInvalidClient {
				t.Fatalf("refused with %q: %s", refused.Code, refused.Description)
			}
			return
		}
		if got.ClientID != want.ClientID || got.ClientSecret != want.ClientSecret || got.Basic != want.Basic || !maps.Equal(got.Params, want.Params) {
			t.Fatalf("%+v, the second reading is %+v", got, want)
		}
	})
}

// isFieldValue says whether a text can come as the value of a header field (RFC 9110 section 5.5): the white space around
// it is taken away before.
func isFieldValue(text string) bool {
	return strings.Trim(text, " \t") == text && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

// mediaTypeBy reads a media type whose parameters, if any, are plain words, not twice; known says whether it is so.
func mediaTypeBy(text string) (kind string, known bool) {
	parts := plainMediaType.FindStringSubmatch(text)
	if parts == nil {
		return "", false
	}
	if charset := parts[2]; charset != "" && strings.ToLower(charset) != "utf-8" {
		return "", true
	}
	return strings.ToLower(parts[1]), true
}

var plainMediaType = regexp.MustCompile(`^([A-Za-z]+/[-A-Za-z]+)(?: *; *(?i:charset)=([-A-Za-z0-9]+))?$`)

// mediaTypeWithout is a media type without its parameters.
func mediaTypeWithout(text string) string {
	kind, _, _ := strings.Cut(text, ";")
	return strings.ToLower(strings.Trim(kind, " \t"))
}

// readBodyBy reads a body by the rules: JSON is one object without anything twice, whose known members are texts; a form
// has no name twice.
func readBodyBy(kind, body string) (Parameters, bool) {
	params := make(Parameters)
	switch kind {
	case "application/json":
		object, ok := strictjsontest.Read(body)
		if !ok || object.Kind != strictjsontest.Object || object.Repeats() || object.Depth() > 16 {
			return nil, false
		}
		for _, member := range object.Members {
			if !slices.Contains([]string{"client_id", "client_secret", "grant_type", "audience", "resource", "scope", "token", "token_type_hint"}, member.Name) {
				continue
			}
			if member.Value.Kind != strictjsontest.String {
				return nil, false
			}
			params[member.Name] = member.Value.Text
		}
		return params, true
	case "application/x-www-form-urlencoded":
		pairs := strings.Split(body, "&")
		if len(pairs) > 10_000 { // net/url's own bound
			return nil, false
		}
		for _, pair := range pairs {
			if pair == "" {
				continue
			}
			name, value, _ := strings.Cut(pair, "=")
			name, okName := decodeFormBy(name)
			value, okValue := decodeFormBy(value)
			_, twice := params[name]
			if strings.Contains(pair, ";") || !okName || !okValue || twice || !utf8.ValidString(name) || !utf8.ValidString(value) {
				return nil, false
			}
			params[name] = value
		}
		return params, true
	}
	return nil, false
}

var (
	escapeBy    = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	hexDigitsBy = "0123456789abcdef"
)

// decodeFormBy decodes one name or value (application/x-www-form-urlencoded).
func decodeFormBy(text string) (string, bool) {
	if strings.Count(text, "%") != len(escapeBy.FindAllString(text, -1)) {
		return "", false
	}
	text = strings.ReplaceAll(text, "+", " ")
	return escapeBy.ReplaceAllStringFunc(text, func(escape string) string {
		escape = strings.ToLower(escape)
		return string([]byte{byte(strings.IndexByte(hexDigitsBy, escape[1])<<4 | strings.IndexByte(hexDigitsBy, escape[2]))})
	}), true
}

// readClientBy finds the credentials: none, in the body, or in the one Authorization, which is Basic and canonical.
func readClientBy(r *ClientRequest, authorization []string) bool {
	if len(authorization) == 0 {
		r.ClientID, r.ClientSecret = r.Params["client_id"], r.Params["client_secret"]
		return true
	}
	parts := basicBy.FindStringSubmatch(authorization[0])
	if len(authorization) > 1 || parts == nil {
		return false
	}
	user, password, ok := readBasicBy(parts[1])
	id, okID := decodeFormBy(user)
	secret, okSecret := decodeFormBy(password)
	if !ok || !okID || !okSecret || r.Params["client_secret"] != "" || r.Params["client_id"] != "" && r.Params["client_id"] != id {
		return false
	}
	r.ClientID, r.ClientSecret, r.Basic = id, secret, true
	return true
}

var (
	basicBy  = regexp.MustCompile(`^(?i:basic) +([^ ].*)$`)
	base64By = regexp.MustCompile(`^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$`)
)

// readBasicBy reads what RFC 7617 has behind the word Basic. Of every text one form is accepted: the one that is written.
func readBasicBy(encoded string) (user, password string, ok bool) {
	if !base64By.MatchString(encoded) || len(encoded) > 16<<10 {
		return "", "", false
	}
	decoded, _ := base64.StdEncoding.DecodeString(encoded)
	if base64.StdEncoding.EncodeToString(decoded) != encoded {
		return "", "", false
	}
	colon := slices.Index(decoded, ':')
	if colon < 0 {
		return "", "", false
	}
	return string(decoded[:colon]), string(decoded[colon+1:]), true
}
