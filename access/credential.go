package access

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/deploymentkeys/gateway/keystore"
)

// A credential is what the Authorization header of a request holds: a token, or a key ID and a
// secret. It is not checked yet.
type credential struct {
	bearer        string
	keyID, secret string
	basic         bool // it came as HTTP Basic
}

// longestScheme is more than the name of any scheme in IANA's registry has, and less than a
// token or a secret.
const longestScheme = 16

// malformedBearer is the answer when what follows the word Bearer can be no token of any kind.
// That is looked at once a token was refused, since it costs as much as to remember one.
func (c credential) malformedBearer() *Refusal {
	if c.basic || IsToken68(c.bearer) {
		return nil
	}
	return Refuse(CodeInvalidRequest, "the Authorization header is malformed: want Bearer <access token>")
}

// readCredential reads the one Authorization header of a request to an upstream. A scheme that
// is not accepted here is the same as no credentials (RFC 6750 section 3.1).
func readCredential(header http.Header, acceptBasic bool) (credential, *Refusal) {
	values := header["Authorization"]
	switch len(values) {
	case 0:
		return credential{}, Refuse(CodeNone, "no credentials: send the header Authorization: Bearer <access token>")
	case 1:
	default:
		return credential{}, Refuse(CodeInvalidRequest, "more than one Authorization header")
	}
	scheme, rest, found := strings.Cut(values[0], " ")
	rest = strings.TrimLeft(rest, " ") // RFC 9110 section 11.4: one space or more
	switch {
	case !isHeaderToken(scheme):
		return credential{}, Refuse(CodeInvalidRequest, "the Authorization header is malformed: want Bearer <access token>")
	case (!found || len(scheme) > longestScheme) && !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "Basic"):
		// Some documents of old show the token alone. It must not be repeated as if it were a scheme.
		return credential{}, Refuse(CodeInvalidRequest, "the Authorization header has no scheme: want the word Bearer, a space, and the access token")
	case strings.EqualFold(scheme, "Bearer"):
		return credential{bearer: rest}, nil
	case strings.EqualFold(scheme, "Basic") && acceptBasic:
		user, password, ok := decodeBasic(rest)
		if !ok {
			return credential{}, Refuse(CodeInvalidRequest, "the Authorization header is malformed: want Basic and base64 of user:password")
		}
		if strings.HasPrefix(password, keystore.SecretPrefix) {
			return credential{keyID: user, secret: password, basic: true}, nil
		}
		return credential{bearer: password, basic: true}, nil
	default:
		return credential{}, Refuse(CodeNone, "the scheme "+scheme+" is not accepted here: send the header Authorization: Bearer <access token>")
	}
}

// decodeBasic reads the credentials of RFC 7617 section 2.
func decodeBasic(token68 string) (user, password string, ok bool) {
	if len(token68) > maxBasic {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(token68)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(decoded), ":")
}

// maxBasic bounds what is decoded: an access token as the password is the longest that is
// accepted.
const maxBasic = 16 << 10

// IsToken68 is the b64token of RFC 6750 section 2.1, token68 in RFC 9110 section 11.2.
func IsToken68(s string) bool {
	for len(s) > 0 && s[len(s)-1] == '=' {
		s = s[:len(s)-1]
	}
	return s != "" && hasOnly(s, &token68)
}

// isHeaderToken is the token of RFC 9110 section 5.6.2, with the characters of token68 besides:
// credentials without a scheme get an answer of their own.
func isHeaderToken(s string) bool { return s != "" && hasOnly(s, &headerToken) }

const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Tables, since a token has hundreds of characters and every request one token.
var (
	token68     = setOf(alphanumeric + "-._~+/")
	headerToken = setOf(alphanumeric + "!#$%&'*+-.^_`|~" + "/=")
)

func setOf(characters string) (set [256]bool) {
	for _, c := range []byte(characters) {
		set[c] = true
	}
	return set
}

func hasOnly(s string, set *[256]bool) bool {
	for i := range len(s) {
		if !set[s[i]] {
			return false
		}
	}
	return true
}
