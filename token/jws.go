package token

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/deploymentkeys/gateway/internal/strictjson"
)

// maxTokenSize bounds what is looked at, in bytes of the compact form. Tokens of this product have
// about 700; what is longer is refused unseen, so that nobody can make a node decode megabytes
// without a credential.
const maxTokenSize = 8 << 10

// mediaType is the header parameter typ (RFC 9068 section 2.1). It keeps JWTs of other kinds that
// the same key may sign one day from being taken for access tokens (RFC 8725 section 3.11).
const mediaType = "at+jwt"

// joseHeader is the whole header of a token: no other parameter is written, or accepted.
type joseHeader struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

func encodeHeader(alg Algorithm, id, typ string) (string, error) {
	header, err := json.Marshal(joseHeader{Algorithm: string(alg), KeyID: id, Type: typ})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(header), nil
}

// compact is a JWS in the compact form (RFC 7515 section 7.1), taken apart, with nothing proven.
type compact struct {
	header    joseHeader
	signed    string // what the signature is over: the first two parts, as they came
	payload   []byte
	signature []byte
}

// checkShape is what a text has to pass before anything is computed over it or kept of it. The dots
// are counted, so that a text of nothing else costs nothing (CVE-2025-30204); an encrypted JWT has
// four (RFC 7516 section 3).
func checkShape(raw string) error {
	if len(raw) > maxTokenSize {
		return fmt.Errorf("%w: %d bytes, at most %d are accepted", ErrMalformed, len(raw), maxTokenSize)
	}
	if dots := strings.Count(raw, "."); dots != 2 {
		return fmt.Errorf("%w: want three parts with dots between them, there are %d dots", ErrMalformed, dots)
	}
	return nil
}

// parseCompact takes a token apart by the strictest reading there is: of every token one text
// exists, and nothing in it is left to taste. It returns [ErrMalformed] for anything else.
func parseCompact(raw string) (*compact, error) {
	c, header, err := decodeCompact(raw)
	if err != nil {
		return nil, err
	}
	if c.header, err = parseHeader(header); err != nil {
		return nil, err
	}
	return c, nil
}

// decodeCompact takes a token apart and does not look into the header, which it returns as it is.
func decodeCompact(raw string) (c *compact, header []byte, err error) {
	if err := checkShape(raw); err != nil {
		return nil, nil, err
	}
	end := strings.LastIndexByte(raw, '.')
	c = &compact{signed: raw[:end]}
	first, second, _ := strings.Cut(c.signed, ".")
	if header, err = decodePart("header", first); err != nil {
		return nil, nil, err
	}
	if c.payload, err = decodePart("payload", second); err != nil {
		return nil, nil, err
	}
	if c.signature, err = decodePart("signature", raw[end+1:]); err != nil {
		return nil, nil, err
	}
	return c, header, nil
}

var strictBase64 = base64.RawURLEncoding.Strict()

// decodePart decodes base64url without padding (RFC 7515 section 2). Strict refuses bits behind the
// last byte; line breaks, which the decoder skips even then, are refused here. Otherwise a token
// could be written in many ways, and each would pass as one that has not been seen.
func decodePart(name, part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, fmt.Errorf("%w: line break in the %s", ErrMalformed, name)
	}
	decoded, err := strictBase64.DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	}
	return decoded, nil
}

// parseHeader accepts the header of an access token and no other.
func parseHeader(data []byte) (joseHeader, error) {
	h, err := readHeader(data)
	if err != nil {
		return joseHeader{}, err
	}
	// RFC 9068 section 4; RFC 7515 section 4.1.9 for the prefix that may be left out, and for media
	// types being the same in either case.
	if !strings.EqualFold(h.Type, mediaType) && !strings.EqualFold(h.Type, "application/"+mediaType) {
		return joseHeader{}, fmt.Errorf("%w: typ is %.64q, not %q", ErrMalformed, h.Type, mediaType)
	}
	return h, nil
}

// readHeader accepts alg, kid and typ, each at most once, and the first two are required. Whatever
// else a header can have either says where to get another key (jku, jwk, x5u, x5c: RFC 8725 section
// 3.10) or changes how the token is to be read (crit, b64, zip, cty), and this product issues none
// of it. Values are cut where they get into an error, which is logged: anybody can send them.
func readHeader(data []byte) (joseHeader, error) {
	members, err := strictjson.MembersOf("header", data)
	if err != nil {
		return joseHeader{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var h joseHeader
	for _, parameter := range [...]struct {
		name string
		text *string
	}{
		{"alg", &h.Algorithm}, {"kid", &h.KeyID}, {"typ", &h.Type},
	} {
		value, ok := members[parameter.name]
		if !ok {
			continue
		}
		if *parameter.text, err = stringValue(value); err != nil {
			return joseHeader{}, fmt.Errorf("%w: header: %s: %w", ErrMalformed, parameter.name, err)
		}
		delete(members, parameter.name)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		return joseHeader{}, fmt.Errorf("%w: header: parameter %.64q is not accepted", ErrMalformed, name)
	}
	if h.Algorithm == "" || h.KeyID == "" {
		return joseHeader{}, fmt.Errorf("%w: header: alg or kid is missing or empty", ErrMalformed)
	}
	return h, nil
}

// verify checks the signature by the public part of the key that the header names, and by that key's algorithm: what
// the header says about the algorithm only has to agree (RFC 8725 sections 3.1 and 3.2). The form
// of a signature, such as its length, is the algorithm's business.
//
// What is kept about a token is kept by its jti, not by its text: from an ECDSA signature anyone can make a second
// one that is valid for the same text, without the key.
func (c *compact) verify(ring *Ring) error {
	alg := Algorithm(c.header.Algorithm)
	if alg.method() == nil {
		return fmt.Errorf("%w: %.64q", ErrAlgorithm, alg)
	}
	key, ok := ring.Key(c.header.KeyID)
	if !ok {
		return fmt.Errorf("%w: %.64q", ErrUnknownKey, c.header.KeyID)
	}
	if alg != key.algorithm {
		return fmt.Errorf("%w: %s in the header, but %s is a key for %s",
			ErrAlgorithm, alg, key.id, key.algorithm)
	}
	if err := key.method.Verify(c.signed, c.signature, key.public); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	c.header.KeyID = key.id // the same text, once for all cached tokens
	return nil
}
