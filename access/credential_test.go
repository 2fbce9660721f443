package access

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

func TestReadCredential(t *testing.T) {
	t.Parallel()
	basic := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
	tests := map[string]struct {
		headers []string
		basic   bool
		want    credential
		code    Code
		reason  string
	}{
		"RFC 6750 section 2.1":                      {headers: []string{"Bearer " + jwt}, want: credential{bearer: jwt}},
		"RFC 9110 section 11.1, scheme in any case": {headers: []string{"bEARER " + jwt}, want: credential{bearer: jwt}},
		"RFC 9110 section 11.4, several spaces":     {headers: []string{"Bearer   " + jwt}, want: credential{bearer: jwt}},
		"none":                                      {code: CodeNone, reason: "no credentials"},
		"empty":                                     {headers: []string{""}, code: CodeInvalidRequest, reason: "malformed"},
		"two headers":                               {headers: []string{"Bearer " + jwt, "Bearer " + jwt}, code: CodeInvalidRequest, reason: "more than one"},
		"two in one header":                         {headers: []string{"Bearer " + jwt + ", Bearer " + jwt}, code: CodeInvalidRequest, reason: "malformed"},
		"scheme alone":                              {headers: []string{"Bearer"}, code: CodeInvalidRequest, reason: "malformed"},
		"token alone, as some documents show it":    {headers: []string{jwt}, code: CodeInvalidRequest, reason: "has no scheme"},
		"a word alone":                              {headers: []string{"abc"}, code: CodeInvalidRequest, reason: "has no scheme"},
		"tab":                                       {headers: []string{"Bearer\t" + jwt}, code: CodeInvalidRequest, reason: "malformed"},
		"space in the token":                        {headers: []string{"Bearer a b"}, code: CodeInvalidRequest, reason: "malformed"},
		"quotes":                                    {headers: []string{`Bearer "abc"`}, code: CodeInvalidRequest, reason: "malformed"},
		"only padding":                              {headers: []string{"Bearer ==="}, code: CodeInvalidRequest, reason: "malformed"},
		"not ASCII":                                 {headers: []string{"Bearer é"}, code: CodeInvalidRequest, reason: "malformed"},
		"RFC 6750 section 3.1, another scheme":      {headers: []string{"Digest username=x"}, code: CodeNone, reason: "scheme Digest is not accepted"},
		"Basic where it is not accepted":            {headers: []string{"Basic " + basic("a:b")}, code: CodeNone, reason: "scheme Basic is not accepted"},
		"Basic with a secret":                       {headers: []string{"Basic " + basic("id:dks_x")}, basic: true, want: credential{keyID: "id", secret: "dks_x", basic: true}},
		"Basic with a token":                        {headers: []string{"basic " + basic("cli:"+jwt)}, basic: true, want: credential{bearer: jwt, basic: true}},
		"Basic with colons in the password":         {headers: []string{"Basic " + basic("cli:a:b")}, basic: true, want: credential{bearer: "a:b", basic: true}},
		"Basic without a colon":                     {headers: []string{"Basic " + basic("ab")}, basic: true, code: CodeInvalidRequest, reason: "malformed"},
		"Basic that is not base64":                  {headers: []string{"Basic a:b"}, basic: true, code: CodeInvalidRequest, reason: "malformed"},
		"Basic alone":                               {headers: []string{"Basic"}, basic: true, code: CodeInvalidRequest, reason: "malformed"},
		"Basic that is too large":                   {headers: []string{"Basic " + basic("a:"+strings.Repeat("x", 16<<10))}, basic: true, code: CodeInvalidRequest, reason: "malformed"},
		"Bearer where Basic is accepted":            {headers: []string{"Bearer " + jwt}, basic: true, want: credential{bearer: jwt}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if test.headers != nil {
				header["Authorization"] = test.headers
			}
			got, refused := readCredential(header, test.basic)
			if refused == nil && got.secret == "" {
				refused = got.malformedBearer()
			}
			expectRefusal(t, refused, test.code, test.reason)
			if test.reason == "" && got != test.want {
				t.Errorf("read %+v, want %+v", got, test.want)
			}
		})
	}
}
