package integration

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

// What becomes of the Authorization header on its way over HTTP/1.1: white space around a value is not part of it (RFC 9110
// section 5.5), and what is not one header has no two readings.
func TestAuthorizationHeaderOnTheWire(t *testing.T) {
	t.Parallel()
	g := oauthSite(t, embedded(t))
	k := g.newKey(t, "dep1")
	token := g.token(t, k)
	credentials := base64.StdEncoding.EncodeToString([]byte(k.ID + ":" + k.Secret))
	for name, test := range map[string]struct {
		lines  string // @ is the scheme and what goes with it
		status int
	}{
		"as usual":                     {"Authorization: @", 200},
		"name in lower case":           {"authorization: @", 200},
		"name in upper case":           {"AUTHORIZATION: @", 200},
		"no space before the value":    {"Authorization:@", 200},
		"spaces and tabs around":       {"Authorization: \t  @ \t ", 200},
		"a fold, RFC 9112 section 5.2": {"Authorization:\n @", 200},
		"twice":                        {"Authorization: @\nAuthorization: @", 400},
		"twice, once empty":            {"Authorization: @\nAuthorization:", 400},
		"twice, in other case":         {"Authorization: @\nauthorization: Basic eDp5", 400},
		"a space before the colon, RFC 9112 section 5.1": {"Authorization : @", 400},
		"a list": {"Authorization: @, @", 400},
		"NUL":    {"Authorization: @\x00", 400},
		"empty":  {"Authorization:", 0}, // the endpoints differ, see below
		"absent": {"X-Authorization: @", 401},
	} {
		for kind, request := range map[string]string{
			"Bearer": "GET /dep1/api/v2/dags HTTP/1.1\nHost: x\nConnection: close\n" +
				strings.ReplaceAll(test.lines, "@", "Bearer "+token) + "\n\n",
			"Basic": "POST /oauth/token HTTP/1.1\nHost: x\nConnection: close\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 29\n" +
				strings.ReplaceAll(test.lines, "@", "Basic "+credentials) + "\n\ngrant_type=client_credentials",
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				want := test.status
				switch {
				case want != 0:
				case kind == "Bearer":
					want = http.StatusBadRequest
				default:
					want = http.StatusUnauthorized // another scheme than Basic is no client authentication
				}
				g.raw(t, request).Want(want)
			})
		}
	}
}
