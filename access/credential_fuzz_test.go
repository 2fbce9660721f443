package access

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	bearerBy   = regexp.MustCompile(`(?s)^(?i:bearer)(?: +([^ ].*)?)?$`)
	token68By  = regexp.MustCompile(`^[-A-Za-z0-9._~+/]+=*$`)
	schemeOnly = regexp.MustCompile("^[-A-Za-z0-9!#$%&'*+.^_`|~/=]{1,16}( |$)")
)

// FuzzAuthorization holds readCredential against regular expressions: Bearer and what is behind it, or Basic in its one
// canonical form where it is accepted, and no header but those. What a client sent is not repeated to it, but for the
// name of a scheme: it may be a secret in the wrong place.
func FuzzAuthorization(f *testing.F) {
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, header := range []string{
		"Bearer eyJ.e30.AA", "bearer   x", "Bearer", "Bearer\tx", "Bearer x y", "Bearer x,Bearer y", "Bearer ü", "eyJ.e30.AA", "", "=", "Negotiate x", "Digest username=\"a\"",
		basic("a:dks_b"), basic("a:eyJ.e30.AA"), basic("a:b:c"), basic("a"), basic(":"), "Basic YTpi=", "Basic YTp", "BASIC  YTpi", "Basic YT pi", "Basic",
		"dks_aaaaaaaaaaaaaaaaaaaaaaaaaaa", "dks_aaaaaaaaaaaaaaaaaaaaaaaaaaa x", "Token abc", "Bearer=abc", "Be\"arer abc", "x\x80 y",
	} {
		f.Add(header, false, true)
		f.Add(header, false, false)
		f.Add(header, true, true)
	}
	f.Fuzz(func(t *testing.T, header string, twice, acceptBasic bool) {
		if !isFieldValue(header) {
			return // net/http does not let it through
		}
		values := []string{header}
		if twice {
			values = append(values, header)
		}
		got, refused := readCredential(http.Header{"Authorization": values}, acceptBasic)

		var want credential
		ok := false
		if parts := bearerBy.FindStringSubmatch(header); parts != nil {
			want, ok = credential{bearer: parts[1]}, true
		}
		if parts := basicBy.FindStringSubmatch(header); parts != nil && acceptBasic {
			var user, password string
			user, password, ok = readBasicBy(parts[1])
			want = credential{bearer: password, basic: true}
			if strings.HasPrefix(password, "dks_") {
				want = credential{keyID: user, secret: password, basic: true}
			}
		}
		ok = ok && !twice
		if ok != (refused == nil) {
			t.Fatalf("%+v, refused %v; the second reading accepts it: %t", got, refused, ok)
		}
		if refused == nil {
			if got != want {
				t.Fatalf("%+v, the second reading is %+v", got, want)
			}
			if malformed := got.malformedBearer() != nil; malformed != (!got.basic && !token68By.MatchString(got.bearer)) {
				t.Fatalf("%+v: malformed %t", got, malformed)
			}
			return
		}
		if got != (credential{}) {
			t.Fatalf("refused, and yet %+v", got)
		}
		if refused.Code != CodeInvalidRequest && refused.Code != CodeNone {
			t.Fatalf("refused with %q", refused.Code)
		}
		said := refused.Description
		if schemeOnly.MatchString(header) {
			scheme, _, _ := strings.Cut(header, " ")
			said = strings.Replace(said, "the scheme "+scheme+" is", "the scheme X is", 1)
		}
		if !slices.Contains(fixedRefusals, said) {
			t.Fatalf("the answer is %q", said)
		}
	})
}

// fixedRefusals are all that a client is told of an Authorization.
var fixedRefusals = []string{
	"more than one Authorization header",
	"the Authorization header is malformed: want Bearer <access token>",
	"the Authorization header has no scheme: want the word Bearer, a space, and the access token",
	"the Authorization header is malformed: want Basic and base64 of user:password",
	"the scheme X is not accepted here: send the header Authorization: Bearer <access token>",
}
