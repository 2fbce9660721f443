package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/token"
)

// attack is a token that must be refused, and why.
type attack struct {
	name string
	raw  string
	want error
}

// attackName begins with what says that the token is to be refused.
var attackName = regexp.MustCompile(`^RFC \d{4} (section|appendix) [0-9A-Z.]+: .`)

// refuse presents each attack twice: the second time would find it, had the first remembered it.
func refuse(t *testing.T, proven bool, attacks []attack) {
	t.Helper()
	v, ring := newVerifier(t, nil), ringOf(token.ES256)
	for _, a := range attacks {
		if !attackName.MatchString(a.name) {
			t.Errorf("%s: names no rule that it breaks", a.name)
		}
		for range 2 {
			got, err := v.Verify(ring, a.raw)
			if !errors.Is(err, a.want) || !reflect.ValueOf(got).IsZero() {
				t.Errorf("%s: got %v, %v, want %v", a.name, got, err, a.want)
			}
			if token.Proven(err) != proven {
				t.Errorf("%s: Proven is %t", a.name, !proven)
			}
		}
	}
	if n := v.Remembered(); n != 0 {
		t.Errorf("%d refused tokens are remembered", n)
	}
}

func TestAttackHeader(t *testing.T) {
	t.Parallel()
	var (
		key     = keys()[token.ES256]
		header  = headerOf(key)
		payload = payloadOf(sampleClaims()).String()
		signed  = func(header string) string { return forge(key, header, payload) }
	)
	unsigned := func(alg string) string { return b64(header.with("alg", alg).String()) + "." + b64(payload) + "." }
	withHMACOf := func(header object, secret []byte) string {
		text := b64(header.with("alg", "HS256").String()) + "." + b64(payload)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return text + "." + b64(string(mac.Sum(nil)))
	}
	withHMAC := func(secret []byte) string { return withHMACOf(header, secret) }
	pkix := must(x509.MarshalPKIXPublicKey(privateOf(key).Public()))
	rsaKey := keys()[token.RS256]
	rsaPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(privateOf(rsaKey).Public()))})

	// A key of the attacker's own, who would like the header to bring it along.
	evil := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	point := must(evil.PublicKey.Bytes())
	jwk := object{"kty": "EC", "crv": "P-256", "x": b64(string(point[1:33])), "y": b64(string(point[33:]))}
	byEvil := func(header object) string {
		text := b64(header.String()) + "." + b64(payload)
		return text + "." + b64(string(bareSign(evil, text)))
	}

	refuse(t, false, []attack{
		{"RFC 8725 section 2.1: alg none (CVE-2015-9235)", unsigned("none"), token.ErrAlgorithm},
		{"RFC 8725 section 2.1: alg None", unsigned("None"), token.ErrAlgorithm},
		{"RFC 8725 section 2.1: alg nOnE", unsigned("nOnE"), token.ErrAlgorithm},
		{"RFC 8725 section 2.1: alg none with a signature", signed(header.with("alg", "none").String()), token.ErrAlgorithm},
		{"RFC 7515 section 4.1.1: alg missing", signed(header.without("alg").String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.1: alg empty", unsigned(""), token.ErrMalformed},
		{"RFC 7515 section 4.1.1: alg empty, with our signature", signed(header.with("alg", "").String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.1: alg null", signed(header.with("alg", nil).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.1: alg in lower case", signed(header.with("alg", "es256").String()), token.ErrAlgorithm},
		{"RFC 7515 section 4.1.1: alg no string", signed(header.with("alg", 256).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.1: alg in an array", signed(header.with("alg", []string{"ES256"}).String()), token.ErrMalformed},
		{"RFC 8725 section 2.1: HS256 with the public key in DER (CVE-2026-48526)", withHMAC(pkix), token.ErrAlgorithm},
		{"RFC 8725 section 2.1: HS256 with the public key in PEM (CVE-2026-48526)", withHMAC(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix})), token.ErrAlgorithm},
		{"RFC 8725 section 2.1: HS256 with the JWK Set (CVE-2026-48526)", withHMAC(ringOf(token.ES256).JWKS()), token.ErrAlgorithm},
		{"RFC 8725 section 2.1: HS256 with an RSA public key in PEM", withHMACOf(headerOf(rsaKey), rsaPEM), token.ErrAlgorithm},
		{"RFC 8725 section 2.1: HS256 with an empty key", withHMAC(nil), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: alg ES384", signed(header.with("alg", "ES384").String()), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: alg of another key of the ring", signed(header.with("alg", "EdDSA").String()), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: alg and signature of another key", forge(rsaKey, header.with("alg", "RS256").String(), payload), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: kid of another key", signed(header.with("kid", keys()[token.EdDSA].ID()).String()), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: kid and alg of another key", signed(headerOf(keys()[token.EdDSA]).String()), token.ErrSignature},
		{"RFC 8725 section 3.1: kid and alg of an RSA key", signed(headerOf(rsaKey).String()), token.ErrSignature},
		{"RFC 8725 section 3.1: an RS256 signature, kid and alg of ours", forge(rsaKey, header.String(), payload), token.ErrSignature},
		{"RFC 8725 section 3.1: an ES256 signature, kid of an RSA key", signed(headerOf(rsaKey).with("alg", "ES256").String()), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: PS256 by an RSA key of the ring", forge(rsaKey, headerOf(rsaKey).with("alg", "PS256").String(), payload), token.ErrAlgorithm},
		{"RFC 7515 section 4.1.4: kid missing", signed(header.without("kid").String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.4: kid empty", signed(header.with("kid", "").String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.4: kid a number", signed(header.with("kid", 1).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.4: kid of 5000 bytes", signed(header.with("kid", strings.Repeat("k", 5000)).String()), token.ErrUnknownKey},
		{"RFC 7515 section 4.1.4: kid longer than a token may be", signed(header.with("kid", strings.Repeat("k", token.MaxTokenSize)).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.4: kid null", signed(header.with("kid", nil).String()), token.ErrMalformed},
		{"RFC 8725 section 3.10: kid unknown", signed(header.with("kid", "another").String()), token.ErrUnknownKey},
		{"RFC 8725 section 3.10: kid as a path", signed(header.with("kid", "../../../../dev/null").String()), token.ErrUnknownKey},
		{"RFC 8725 section 3.10: kid as SQL", signed(header.with("kid", "' OR '1'='1").String()), token.ErrUnknownKey},
		{"RFC 8725 section 3.10: kid in another case", signed(header.with("kid", strings.ToUpper(key.ID())).String()), token.ErrUnknownKey},
		{"RFC 8725 section 3.10: kid longer by NUL", signed(header.with("kid", key.ID()+"\x00").String()), token.ErrUnknownKey},
		{"RFC 7515 section 4.1.3: jwk (CVE-2018-0114)", byEvil(header.with("jwk", jwk)), token.ErrMalformed},
		{"RFC 7515 section 4.1.3: jwk, with our signature (CVE-2018-0114)", signed(header.with("jwk", jwk).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.2: jku, with our signature", signed(header.with("jku", "https://evil.example.com/jwks.json").String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.5: x5u, with our signature", signed(header.with("x5u", "https://evil.example.com/cert.pem").String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.6: x5c, with our signature", signed(header.with("x5c", []string{base64.StdEncoding.EncodeToString(pkix)}).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.7: x5t", signed(header.with("x5t", b64("thumb")).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.8: x5t#S256", signed(header.with("x5t#S256", b64("thumb")).String()), token.ErrMalformed},
		{"RFC 8725 section 3.10: jku", byEvil(header.with("jku", "https://evil.example.com/jwks.json")), token.ErrMalformed},
		{"RFC 8725 section 3.10: x5u", byEvil(header.with("x5u", "https://evil.example.com/cert.pem")), token.ErrMalformed},
		{"RFC 7515 section 4.1.6: x5c", byEvil(header.with("x5c", []string{base64.StdEncoding.EncodeToString(pkix)})), token.ErrMalformed},
		{"RFC 7515 section 4.1.11: crit", signed(header.with("crit", []string{"exp"}).with("exp", 1).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.11: crit that names what is understood", signed(header.with("crit", []string{"typ"}).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.11: crit empty", signed(header.with("crit", []string{}).String()), token.ErrMalformed},
		{"RFC 7797 section 3: b64", signed(header.with("b64", false).String()), token.ErrMalformed},
		{"RFC 7516 section 4.1.3: zip", signed(header.with("zip", "DEF").String()), token.ErrMalformed},
		{"RFC 7519 section 5.2: cty, a nested JWT", signed(header.with("cty", "JWT").String()), token.ErrMalformed},
		{"RFC 7519 section 5.3: claims repeated in the header", signed(header.with("iss", issuer).String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ missing", signed(header.without("typ").String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ JWT", signed(header.with("typ", "JWT").String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ application/jwt", signed(header.with("typ", "application/jwt").String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ empty", signed(header.with("typ", "").String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ null", signed(header.with("typ", nil).String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ with a space", signed(header.with("typ", "at+jwt ").String()), token.ErrMalformed},
		{"RFC 8725 section 3.11: typ of a logout token", signed(header.with("typ", "logout+jwt").String()), token.ErrMalformed},
		{"RFC 8725 section 3.11: typ of a DPoP proof", signed(header.with("typ", "dpop+jwt").String()), token.ErrMalformed},
		{"RFC 8725 section 3.11: typ of an ID token", signed(header.with("typ", "id_token+jwt").String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ of another tree", signed(header.with("typ", "text/at+jwt").String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ with a parameter", signed(header.with("typ", "at+jwt;x=1").String()), token.ErrMalformed},
		{"RFC 7515 section 4: alg twice", signed(`{"alg":"none",` + header.String()[1:]), token.ErrMalformed},
		{"RFC 7515 section 4: alg twice, the same", signed(`{"alg":"ES256",` + header.String()[1:]), token.ErrMalformed},
		{"RFC 7515 section 4: kid twice", signed(`{"kid":"other",` + header.String()[1:]), token.ErrMalformed},
		{"RFC 7515 section 4: typ twice", signed(`{"typ":"JWT",` + header.String()[1:]), token.ErrMalformed},
		{"RFC 7515 section 4: alg twice, once escaped", signed(`{"\u0061lg":"none",` + header.String()[1:]), token.ErrMalformed},
		{"RFC 7515 section 4: names differ in case", signed(`{"ALG":"none",` + header.String()[1:]), token.ErrMalformed},
		{"RFC 7515 section 5.2: header no object", signed(`["` + key.ID() + `"]`), token.ErrMalformed},
		{"RFC 7515 section 5.2: header null", signed(`null`), token.ErrMalformed},
		{"RFC 7515 section 5.2: header with trailing data", signed(header.String() + `{}`), token.ErrMalformed},
		{"RFC 7515 section 5.2: header not UTF-8", signed(strings.Replace(header.String(), key.ID(), "\xff", 1)), token.ErrMalformed},
	})

	// The spellings that are fine (RFC 9068 section 4, RFC 7515 section 4.1.9).
	for _, typ := range []string{"at+jwt", "application/at+jwt", "at+JWT", "AT+JWT", "Application/AT+jwt"} {
		if _, err := newVerifier(t, nil).Verify(ringOf(token.ES256), signed(header.with("typ", typ).String())); err != nil {
			t.Errorf("typ %s: %v", typ, err)
		}
	}
}

func TestAttackForm(t *testing.T) {
	t.Parallel()
	ring := ringOf(token.ES256)
	raw := must(ring.Sign(sampleClaims()))
	parts := strings.Split(raw, ".")
	header, payload, signature := parts[0], parts[1], parts[2]
	join := func(parts ...string) string { return strings.Join(parts, ".") }
	// What is written in another way is signed in that way, so that nothing else is wrong with it.
	signText := func(header, payload string) string {
		return join(header, payload, b64(string(bareSign(privateOf(ring.Signer()), join(header, payload)))))
	}
	// spare sets one of the bits of the last character that no byte is made of. Of 64 bytes, which are
	// 86 characters, it has four.
	spare := func(part string) string {
		return part[:len(part)-1] + string(nextInAlphabet(part[len(part)-1]))
	}
	// spaced is the header with white space behind it, up to a length that leaves such bits.
	spaced := headerOf(ring.Signer()).String()
	for len(spaced)%3 != 1 {
		spaced += " "
	}
	spaced = b64(spaced)

	refuse(t, false, []attack{
		{"RFC 7515 section 7.1: empty", "", token.ErrMalformed},
		{"RFC 7515 section 7.1: dots (CVE-2025-30204)", strings.Repeat(".", 8000), token.ErrMalformed},
		{"RFC 7515 section 7.1: a million dots (CVE-2025-30204)", strings.Repeat(".", 1_000_000), token.ErrMalformed},
		{"RFC 7515 section 7.1: over 8 KiB", join(header, payload, strings.Repeat("A", token.MaxTokenSize)), token.ErrMalformed},
		{"RFC 7516 section 3: a JWE has five parts", join(header, "", payload, payload, signature), token.ErrMalformed},
		{"RFC 7515 section 7.1: one part", header, token.ErrMalformed},
		{"RFC 7515 section 7.1: two parts", join(header, payload), token.ErrMalformed},
		{"RFC 7515 section 7.1: four parts", join(header, payload, signature, ""), token.ErrMalformed},
		{"RFC 7515 section 7.2: JSON serialization", `{"protected":"` + header + `","payload":"` + payload + `","signature":"` + signature + `"}`, token.ErrMalformed},
		{"RFC 7515 section 7.2.1: general JSON serialization", `{"payload":"` + payload + `","signatures":[{"protected":"` + header + `","signature":"` + signature + `"}]}`, token.ErrMalformed},
		{"RFC 7515 section 7.2.2: flattened JSON serialization, with two dots", `{"protected":"` + header + `","payload":"` + payload + `","signature":"` + signature + `","x":".."}`, token.ErrMalformed},
		{"RFC 7515 appendix F: detached payload", join(header, "", signature), token.ErrSignature},
		{"RFC 7515 section 7.1: only dots", "..", token.ErrMalformed},
		{"RFC 7515 section 7.1: no header", join("", payload, signature), token.ErrMalformed},
		{"RFC 7515 section 5.2: truncated by one (CVE-2026-27840)", raw[:len(raw)-1], token.ErrMalformed},
		{"RFC 7515 section 5.2: truncated by two, 63 bytes of signature (CVE-2026-27840)", raw[:len(raw)-2], token.ErrSignature},
		{"RFC 7515 section 5.2: truncated by six, 60 bytes of signature (CVE-2026-27840)", raw[:len(raw)-6], token.ErrSignature},
		{"RFC 7515 section 5.2: no signature (CVE-2026-27840)", join(header, payload, ""), token.ErrSignature},
		{"RFC 7515 section 5.2: extended by one, 65 bytes of signature (CVE-2026-27840)", raw + "A", token.ErrSignature},
		{"RFC 7515 section 5.2: extended by two, 66 bytes of signature (CVE-2026-27840)", raw + "AA", token.ErrSignature},
		{"RFC 7515 section 5.2: extended by three (CVE-2026-27840)", raw + "AAA", token.ErrMalformed},
		{"RFC 7515 section 2: padding", raw + "==", token.ErrMalformed},
		{"RFC 7515 section 2: padding of the header", signText(spaced+"==", payload), token.ErrMalformed},
		{"RFC 7515 section 2: padding of the payload", signText(header, b64("{} {}")+"="), token.ErrMalformed},
		{"RFC 4648 section 3.5: bits behind the last byte of the header", signText(spare(spaced), payload), token.ErrMalformed},
		{"RFC 4648 section 3.5: bits behind the last byte of the payload", signText(header, spare(b64("{}"))), token.ErrMalformed},
		{"RFC 7515 section 2: base64 in place of base64url in the payload", signText(header, "eyJzdWIiOiI/Pz8/+yJ9"), token.ErrMalformed},
		{"RFC 4648 section 3.3: a line break in the payload", signText(header, payload[:8]+"\n"+payload[8:]), token.ErrMalformed},
		{"RFC 4648 section 3.3: a line break in the signature", raw[:len(raw)-8] + "\n" + raw[len(raw)-8:], token.ErrMalformed},
		{"RFC 4648 section 3.5: bits behind the last byte", join(header, payload, spare(signature)), token.ErrMalformed},
		{"RFC 7515 section 2: base64 in place of base64url", join(header, payload, "+/+/"), token.ErrMalformed},
		{"RFC 4648 section 3.3: a line break at the end", raw + "\n", token.ErrMalformed},
		{"RFC 4648 section 3.3: a carriage return within", join(header, payload[:8]+"\r"+payload[8:], signature), token.ErrMalformed},
		{"RFC 4648 section 3.3: a line break in the header", join(header[:8]+"\n"+header[8:], payload, signature), token.ErrMalformed},
		{"RFC 7515 section 7.1: a space before", " " + raw, token.ErrMalformed},
		{"RFC 7515 section 7.1: a space behind", raw + " ", token.ErrMalformed},
		{"RFC 7515 section 7.1: a NUL behind", raw + "\x00", token.ErrMalformed},
		{"RFC 6750 section 2.1: the scheme along with it", "Bearer " + raw, token.ErrMalformed},
		{"RFC 7515 section 5.2: payload changed", join(header, b64(payloadOf(sampleClaims()).with("sub", "other").String()), signature), token.ErrSignature},
	})
}

func TestAttackSignature(t *testing.T) {
	t.Parallel()
	key, claims := keys()[token.ES256], sampleClaims()
	signed := b64(headerOf(key).String()) + "." + b64(payloadOf(claims).String())
	good := string(bareSign(privateOf(key), signed))
	r, s := new(big.Int).SetBytes([]byte(good[:32])), new(big.Int).SetBytes([]byte(good[32:]))
	order := elliptic.P256().Params().N
	zero := strings.Repeat("\x00", 32)
	with := func(signature string) string { return signed + "." + b64(signature) }
	fixed := func(n *big.Int) string { return string(n.FillBytes(make([]byte, 32))) }
	other := must(token.GenerateKey(token.ES256, start))

	// Each ECDSA signature has a second form, with s negative, which every verifier accepts.
	for _, raw := range []string{with(good), with(good[:32] + fixed(new(big.Int).Sub(order, s)))} {
		if _, err := newVerifier(t, nil).Verify(ringOf(token.ES256), raw); err != nil {
			t.Fatal(err)
		}
	}
	refuse(t, false, []attack{
		{"RFC 7518 section 3.4: r and s zero (CVE-2022-21449)", with(zero + zero), token.ErrSignature},
		{"RFC 7518 section 3.4: r zero (CVE-2022-21449)", with(zero + good[32:]), token.ErrSignature},
		{"RFC 7518 section 3.4: s zero (CVE-2022-21449)", with(good[:32] + zero), token.ErrSignature},
		{"RFC 7518 section 3.4: r and s the group order (CVE-2022-21449)", with(fixed(order) + fixed(order)), token.ErrSignature},
		{"RFC 7518 section 3.4: ASN.1", with(string(must(asn1.Marshal(struct{ R, S *big.Int }{r, s})))), token.ErrSignature},
		{"RFC 7518 section 3.4: r and s swapped", with(good[32:] + good[:32]), token.ErrSignature},
		{"RFC 7518 section 3.4: 66 bytes, padded left", with("\x00" + good[:32] + "\x00" + good[32:]), token.ErrSignature},
		{"RFC 7518 section 3.4: 65 bytes", with(good + "\x00"), token.ErrSignature},
		{"RFC 7518 section 3.4: 63 bytes", with(good[:63]), token.ErrSignature},
		{"RFC 7518 section 3.4: one byte", with("\x00"), token.ErrSignature},
		{"RFC 7515 section 5.2: signed by another key of the same kind", forge(other, headerOf(key).String(), payloadOf(claims).String()), token.ErrSignature},
		{"RFC 7515 section 5.2: signed by another key of the ring", forge(keys()[token.EdDSA], headerOf(key).String(), payloadOf(claims).String()), token.ErrSignature},
		{"RFC 7515 section 5.2: a signature over another token", with(string(bareSign(privateOf(key), signed+"A"))), token.ErrSignature},
	})

	for alg, section := range map[token.Algorithm]string{
		token.EdDSA: "RFC 8037 section 3.1: ", token.RS256: "RFC 7518 section 3.3: ",
	} {
		key := keys()[alg]
		signed := b64(headerOf(key).String()) + "." + b64(payloadOf(claims).String())
		good := string(bareSign(privateOf(key), signed))
		with := func(signature string) string { return signed + "." + b64(signature) }
		refuse(t, false, []attack{
			{section + "empty", with(""), token.ErrSignature},
			{section + "all zeros", with(strings.Repeat("\x00", len(good))), token.ErrSignature},
			{section + "truncated", with(good[:len(good)-1]), token.ErrSignature},
			{section + "extended", with(good + "\x00"), token.ErrSignature},
			{section + "padded left", with("\x00" + good), token.ErrSignature},
			{section + "first bit", with(string(good[0]^0x80) + good[1:]), token.ErrSignature},
		})
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// nextInAlphabet sets the lowest bit of what a base64url character stands for.
func nextInAlphabet(c byte) byte { return alphabet[strings.IndexByte(alphabet, c)|1] }
