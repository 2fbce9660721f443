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

// refuse presents each attack twice: the second time would find it, had the first remembered it.
func refuse(t *testing.T, proven bool, attacks []attack) {
	t.Helper()
	v, ring := newVerifier(t, nil), ringOf(token.ES256)
	for _, a := range attacks {
		for range 2 {
			got, err := v.Verify(ring, a.raw)
			if !errors.Is(err, a.want) || got != nil {
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
	withHMAC := func(secret []byte) string {
		text := b64(header.with("alg", "HS256").String()) + "." + b64(payload)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return text + "." + b64(string(mac.Sum(nil)))
	}
	public := privateOf(key).Public().(*ecdsa.PublicKey)
	pkix := must(x509.MarshalPKIXPublicKey(public))

	// A key of the attacker's own, who would like the header to bring it along.
	evil := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	point := must(evil.PublicKey.Bytes())
	jwk := object{"kty": "EC", "crv": "P-256", "x": b64(string(point[1:33])), "y": b64(string(point[33:]))}
	byEvil := func(header object) string {
		text := b64(header.String()) + "." + b64(payload)
		return text + "." + b64(string(bareSign(evil, text)))
	}

	refuse(t, false, []attack{
		{"RFC 8725 section 2.1, CVE-2015-9235: alg none", unsigned("none"), token.ErrAlgorithm},
		{"RFC 8725 section 2.1: alg nOnE", unsigned("nOnE"), token.ErrAlgorithm},
		{"RFC 8725 section 2.1: alg none with a signature", signed(header.with("alg", "none").String()), token.ErrAlgorithm},
		{"RFC 7515 section 4.1.1: alg missing", signed(header.without("alg").String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.1: alg empty", unsigned(""), token.ErrMalformed},
		{"RFC 7515 section 4.1.1: alg in lower case", signed(header.with("alg", "es256").String()), token.ErrAlgorithm},
		{"RFC 7515 section 4.1.1: alg no string", signed(header.with("alg", 256).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.1: alg in an array", signed(header.with("alg", []string{"ES256"}).String()), token.ErrMalformed},
		{"CVE-2026-48526: HS256 with the public key in DER", withHMAC(pkix), token.ErrAlgorithm},
		{"CVE-2026-48526: HS256 with the public key in PEM", withHMAC(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix})), token.ErrAlgorithm},
		{"CVE-2026-48526: HS256 with the JWK Set", withHMAC(ringOf(token.ES256).JWKS()), token.ErrAlgorithm},
		{"HS256 with an empty key", withHMAC(nil), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: alg ES384", signed(header.with("alg", "ES384").String()), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: alg of another key of the ring", signed(header.with("alg", "EdDSA").String()), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: alg and signature of another key", forge(keys()[token.RS256], header.with("alg", "RS256").String(), payload), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: kid of another key", signed(header.with("kid", keys()[token.EdDSA].ID()).String()), token.ErrAlgorithm},
		{"RFC 8725 section 3.1: kid and alg of another key", signed(headerOf(keys()[token.EdDSA]).String()), token.ErrSignature},
		{"RFC 8725 section 3.1: kid and alg of an RSA key", signed(headerOf(keys()[token.RS256]).String()), token.ErrSignature},
		{"RFC 7515 section 4.1.4: kid missing", signed(header.without("kid").String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.4: kid empty", signed(header.with("kid", "").String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.4: kid null", signed(header.with("kid", nil).String()), token.ErrMalformed},
		{"RFC 8725 section 3.10: kid unknown", signed(header.with("kid", "another").String()), token.ErrUnknownKey},
		{"RFC 8725 section 3.10: kid as a path", signed(header.with("kid", "../../../../dev/null").String()), token.ErrUnknownKey},
		{"RFC 8725 section 3.10: kid as SQL", signed(header.with("kid", "' OR '1'='1").String()), token.ErrUnknownKey},
		{"RFC 8725 section 3.10: kid in another case", signed(header.with("kid", strings.ToUpper(key.ID())).String()), token.ErrUnknownKey},
		{"RFC 8725 section 3.10: kid longer by NUL", signed(header.with("kid", key.ID()+"\x00").String()), token.ErrUnknownKey},
		{"CVE-2018-0114: jwk", byEvil(header.with("jwk", jwk)), token.ErrMalformed},
		{"CVE-2018-0114: jwk, with our signature", signed(header.with("jwk", jwk).String()), token.ErrMalformed},
		{"RFC 8725 section 3.10: jku", byEvil(header.with("jku", "https://evil.example.com/jwks.json")), token.ErrMalformed},
		{"RFC 8725 section 3.10: x5u", byEvil(header.with("x5u", "https://evil.example.com/cert.pem")), token.ErrMalformed},
		{"RFC 7515 section 4.1.6: x5c", byEvil(header.with("x5c", []string{base64.StdEncoding.EncodeToString(pkix)})), token.ErrMalformed},
		{"RFC 7515 section 4.1.11: crit", signed(header.with("crit", []string{"exp"}).with("exp", 1).String()), token.ErrMalformed},
		{"RFC 7515 section 4.1.11: crit empty", signed(header.with("crit", []string{}).String()), token.ErrMalformed},
		{"RFC 7797 section 3: b64", signed(header.with("b64", false).String()), token.ErrMalformed},
		{"RFC 7516 section 4.1.3: zip", signed(header.with("zip", "DEF").String()), token.ErrMalformed},
		{"RFC 7519 section 5.2: cty, a nested JWT", signed(header.with("cty", "JWT").String()), token.ErrMalformed},
		{"RFC 7519 section 5.3: claims repeated in the header", signed(header.with("iss", issuer).String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ missing", signed(header.without("typ").String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ JWT", signed(header.with("typ", "JWT").String()), token.ErrMalformed},
		{"RFC 8725 section 3.11: typ of an ID token", signed(header.with("typ", "id_token+jwt").String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ of another tree", signed(header.with("typ", "text/at+jwt").String()), token.ErrMalformed},
		{"RFC 9068 section 4: typ with a parameter", signed(header.with("typ", "at+jwt;x=1").String()), token.ErrMalformed},
		{"RFC 7515 section 4: alg twice", signed(`{"alg":"none",` + header.String()[1:]), token.ErrMalformed},
		{"RFC 7515 section 4: alg twice, once escaped", signed(`{"\u0061lg":"none",` + header.String()[1:]), token.ErrMalformed},
		{"RFC 7515 section 4: names differ in case", signed(`{"ALG":"none",` + header.String()[1:]), token.ErrMalformed},
		{"RFC 7515 section 5.2: header no object", signed(`["` + key.ID() + `"]`), token.ErrMalformed},
		{"RFC 7515 section 5.2: header null", signed(`null`), token.ErrMalformed},
		{"RFC 7515 section 5.2: header with trailing data", signed(header.String() + `{}`), token.ErrMalformed},
		{"RFC 7515 section 5.2: header not UTF-8", signed(strings.Replace(header.String(), key.ID(), "\xff", 1)), token.ErrMalformed},
	})

	// The two that are fine (RFC 9068 section 4, RFC 7515 section 4.1.9).
	for _, typ := range []string{"application/at+jwt", "AT+JWT", "Application/AT+jwt"} {
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
	// 64 bytes are 86 characters, of the last of which four bits are not used.
	trailing := signature[:85] + string(nextInAlphabet(signature[85]))

	refuse(t, false, []attack{
		{"empty", "", token.ErrMalformed},
		{"CVE-2025-30204: dots", strings.Repeat(".", 8000), token.ErrMalformed},
		{"CVE-2025-30204: a million dots", strings.Repeat(".", 1_000_000), token.ErrMalformed},
		{"over 8 KiB", join(header, payload, strings.Repeat("A", token.MaxTokenSize)), token.ErrMalformed},
		{"RFC 7516 section 3: a JWE has five parts", join(header, "", payload, payload, signature), token.ErrMalformed},
		{"RFC 7515 section 7.1: one part", header, token.ErrMalformed},
		{"RFC 7515 section 7.1: two parts", join(header, payload), token.ErrMalformed},
		{"RFC 7515 section 7.1: four parts", join(header, payload, signature, ""), token.ErrMalformed},
		{"RFC 7515 section 7.2: JSON serialization", `{"protected":"` + header + `","payload":"` + payload + `","signature":"` + signature + `"}`, token.ErrMalformed},
		{"RFC 7515 appendix F: detached payload", join(header, "", signature), token.ErrSignature},
		{"only dots", "..", token.ErrMalformed},
		{"no header", join("", payload, signature), token.ErrMalformed},
		{"CVE-2026-27840: truncated by one", raw[:len(raw)-1], token.ErrMalformed},
		{"CVE-2026-27840: truncated by two, 63 bytes of signature", raw[:len(raw)-2], token.ErrSignature},
		{"CVE-2026-27840: truncated by six, 60 bytes of signature", raw[:len(raw)-6], token.ErrSignature},
		{"CVE-2026-27840: no signature", join(header, payload, ""), token.ErrSignature},
		{"CVE-2026-27840: extended by one, 65 bytes of signature", raw + "A", token.ErrSignature},
		{"CVE-2026-27840: extended by two, 66 bytes of signature", raw + "AA", token.ErrSignature},
		{"CVE-2026-27840: extended by three", raw + "AAA", token.ErrMalformed},
		{"RFC 7515 section 2: padding", raw + "==", token.ErrMalformed},
		{"RFC 4648 section 3.5: bits behind the last byte", join(header, payload, trailing), token.ErrMalformed},
		{"RFC 7515 section 2: base64 in place of base64url", join(header, payload, "+/+/"), token.ErrMalformed},
		{"RFC 4648 section 3.3: a line break at the end", raw + "\n", token.ErrMalformed},
		{"RFC 4648 section 3.3: a carriage return within", join(header, payload[:8]+"\r"+payload[8:], signature), token.ErrMalformed},
		{"RFC 4648 section 3.3: a line break in the header", join(header[:8]+"\n"+header[8:], payload, signature), token.ErrMalformed},
		{"a space before", " " + raw, token.ErrMalformed},
		{"a space behind", raw + " ", token.ErrMalformed},
		{"a NUL behind", raw + "\x00", token.ErrMalformed},
		{"the scheme along with it", "Bearer " + raw, token.ErrMalformed},
		{"payload changed", join(header, b64(payloadOf(sampleClaims()).with("sub", "other").String()), signature), token.ErrSignature},
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

	if _, err := newVerifier(t, nil).Verify(ringOf(token.ES256), with(good)); err != nil {
		t.Fatal(err)
	}
	refuse(t, false, []attack{
		{"CVE-2022-21449: r and s zero", with(zero + zero), token.ErrSignature},
		{"CVE-2022-21449: r zero", with(zero + good[32:]), token.ErrSignature},
		{"CVE-2022-21449: s zero", with(good[:32] + zero), token.ErrSignature},
		{"CVE-2022-21449: r and s the group order", with(fixed(order) + fixed(order)), token.ErrSignature},
		{"RFC 7518 section 3.4: ASN.1", with(string(must(asn1.Marshal(struct{ R, S *big.Int }{r, s})))), token.ErrSignature},
		{"RFC 7518 section 3.4: r and s swapped", with(good[32:] + good[:32]), token.ErrSignature},
		{"RFC 7518 section 3.4: 66 bytes, padded left", with("\x00" + good[:32] + "\x00" + good[32:]), token.ErrSignature},
		{"RFC 7518 section 3.4: 65 bytes", with(good + "\x00"), token.ErrSignature},
		{"RFC 7518 section 3.4: 63 bytes", with(good[:63]), token.ErrSignature},
		{"one byte", with("\x00"), token.ErrSignature},
		{"signed by another key of the same kind", forge(other, headerOf(key).String(), payloadOf(claims).String()), token.ErrSignature},
		{"signed by another key of the ring", forge(keys()[token.EdDSA], headerOf(key).String(), payloadOf(claims).String()), token.ErrSignature},
		{"a signature over another token", with(string(bareSign(privateOf(key), signed+"A"))), token.ErrSignature},
	})

	for _, alg := range []token.Algorithm{token.EdDSA, token.RS256} {
		key := keys()[alg]
		signed := b64(headerOf(key).String()) + "." + b64(payloadOf(claims).String())
		good := string(bareSign(privateOf(key), signed))
		with := func(signature string) string { return signed + "." + b64(signature) }
		refuse(t, false, []attack{
			{string(alg) + ": empty", with(""), token.ErrSignature},
			{string(alg) + ": all zeros", with(strings.Repeat("\x00", len(good))), token.ErrSignature},
			{string(alg) + ": truncated", with(good[:len(good)-1]), token.ErrSignature},
			{string(alg) + ": extended", with(good + "\x00"), token.ErrSignature},
			{string(alg) + ": padded left", with("\x00" + good), token.ErrSignature},
			{string(alg) + ": first bit", with(string(good[0]^0x80) + good[1:]), token.ErrSignature},
		})
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// nextInAlphabet sets the lowest bit of what a base64url character stands for.
func nextInAlphabet(c byte) byte { return alphabet[strings.IndexByte(alphabet, c)|1] }
