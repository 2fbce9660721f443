package token_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/deploymentkeys/gateway/internal/strictjson"
	"github.com/deploymentkeys/gateway/internal/strictjson/strictjsontest"
	"github.com/deploymentkeys/gateway/token"
)

// fuzzKey is the same in each process: what one process of a fuzzer has found is tried by others.
func fuzzKey() *token.SigningKey {
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	return must(token.ParseKey(token.EdDSA, start, must(x509.MarshalPKCS8PrivateKey(private))))
}

// fuzzClaims are too.
func fuzzClaims() object {
	claims := sampleClaims()
	claims.ID = strings.Repeat("A", len(claims.ID))
	return payloadOf(claims)
}

// FuzzVerify changes tokens. Whatever comes of it must not panic, and nothing but the text of a token
// that was signed may be accepted, whatever verified before.
func FuzzVerify(f *testing.F) {
	key := fuzzKey()
	ring := must(token.NewRing([]*token.SigningKey{key}, key.ID()))
	v := newVerifier(f, nil)
	payload := fuzzClaims()
	genuine := forge(key, headerOf(key).String(), payload.String())
	if _, err := v.Verify(ring, genuine); err != nil {
		f.Fatal(err)
	}
	signature := genuine[strings.LastIndex(genuine, ".")+1:]
	f.Add(genuine)
	f.Add(genuine + "=")
	f.Add(strings.Replace(genuine, ".", ".\n", 1))
	f.Add(genuine[:len(genuine)-1] + "B")
	f.Add(forge(key, headerOf(key).with("crit", []string{"exp"}).String(), payload.String()))
	f.Add(forge(key, headerOf(key).String(), payload.with("aud", []string{audience, "b"}).String()))
	f.Add(b64(headerOf(key).with("alg", "none").String()) + "." + b64(payload.String()) + ".")
	f.Add(b64(headerOf(key).with("alg", "ES256").String()) + "." + b64(payload.String()) + "." + signature)
	f.Add("eyJ9.e30.AA")
	f.Add("...")

	f.Fuzz(func(t *testing.T, raw string) {
		got, err := v.Verify(ring, raw)
		if reflect.ValueOf(got).IsZero() == (err == nil) {
			t.Fatalf("got %v, %v", got, err)
		}
		if (err == nil) != (raw == genuine) {
			t.Fatalf("error %v: %q", err, raw)
		}
	})
}

// FuzzClaims signs any payload. What is accepted has all that is required, every claim of it is one
// that encoding/json finds there too, and a reader that shares no code finds no name twice.
func FuzzClaims(f *testing.F) {
	key := fuzzKey()
	ring := must(token.NewRing([]*token.SigningKey{key}, key.ID()))
	v := newVerifier(f, nil)
	payload := fuzzClaims()
	f.Add(payload.String())
	f.Add(payload.with("aud", []any{nil}).String())
	f.Add(payload.without("client_id").String())
	f.Add(payload.with("epochs", []uint64{0, 1, 1<<53 - 1}).String())
	f.Add(payload.with("epochs", []float64{0, 1.5, 2}).String())
	f.Add(payload.without("epochs").String())
	f.Add(payload.with("nbf", start.Unix()).String())
	f.Add(`{"iss":"\ud800","nbf":1e400}`)
	f.Add(strings.Replace(payload.String(), `"sub"`, `"sub":"b","s\u0075b"`, 1))
	f.Add(strings.Replace(payload.String(), `"sub"`, `"SUB":"b","sub"`, 1))

	f.Fuzz(func(t *testing.T, payload string) {
		got, err := v.Verify(ring, forge(key, headerOf(key).String(), payload))
		if err != nil {
			return
		}
		if got.Issuer != issuer || got.Subject == "" || got.ID == "" || got.ClientID == "" || !got.ExpiresAt.After(start) {
			t.Fatalf("accepted: %+v", got)
		}
		second, ok := strictjsontest.Read(payload)
		if !ok || second.Kind != strictjsontest.Object || second.Repeats() {
			t.Fatalf("accepted, but a second reader does not: %s", payload)
		}
		var want object
		if err := json.Unmarshal([]byte(payload), &want); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		if want["iss"] != got.Issuer || want["sub"] != got.Subject || want["jti"] != got.ID ||
			want["client_id"] != got.ClientID || want["exp"] != float64(got.ExpiresAt.Unix()) {
			t.Fatalf("accepted as %+v, but it says %v", got, want)
		}
		epochs := []any{float64(got.Epochs.Key), float64(got.Epochs.Deployment), float64(got.Epochs.All)}
		if said, ok := want["epochs"]; ok && !reflect.DeepEqual(said, epochs) || !ok && got.Epochs != (token.Epochs{}) {
			t.Fatalf("accepted with epochs %v, but it says %v", got.Epochs, said)
		}
		// What Sign takes is accepted again, as the same.
		raw, err := ring.Sign(got.Claims)
		if err != nil {
			return
		}
		if again, err := v.Verify(ring, raw); err != nil || !reflect.DeepEqual(again.Claims, got.Claims) {
			t.Fatalf("signed again: got %+v, %v, want %+v", again, err, got.Claims)
		}
	})
}

// What may have signed a token of FuzzParts, beside the keys of the ring, which are 0 to 2.
const (
	signedBySecret = 3 // HMAC, keyed with the public RSA key, as in CVE-2015-9235
	signedByOther  = 4 // a key that is not in the ring
	signedByNobody = 5 // no signature
)

// FuzzParts makes a token of any header, any payload and one of several signatures. It may be accepted only if the key
// that its header names has signed it, golang-jwt finds it good with that key, its header has nothing beside the three
// allowed parameters, and its claims are what is required. And what is all that must be accepted.
//
// In a header KID-ES256, KID-EdDSA and KID-RS256 stand for the IDs of the keys, which are others in each process.
func FuzzParts(f *testing.F) {
	ring, v := ringOf(token.ES256), newVerifier(f, nil)
	signers := []*token.SigningKey{keys()[token.ES256], keys()[token.EdDSA], keys()[token.RS256]}
	other := must(token.GenerateKey(token.ES256, start))
	var names []string
	for _, key := range signers {
		names = append(names, "KID-"+string(key.Algorithm()), key.ID())
	}
	insertIDs := strings.NewReplacer(names...)

	payload := fuzzClaims()
	for i, alg := range []string{"ES256", "EdDSA", "RS256"} {
		header := object{"alg": alg, "kid": "KID-" + alg, "typ": "at+jwt"}
		f.Add(header.String(), payload.String(), uint8(i), uint16(0), uint8(0))
		f.Add(header.String(), payload.String(), uint8(i), uint16(7), uint8(1))
		f.Add(header.String(), payload.String(), uint8((i+1)%3), uint16(0), uint8(0))
		f.Add(header.with("kid", "KID-ES256").String(), payload.String(), uint8(i), uint16(0), uint8(0))
		f.Add(header.with("typ", "application/AT+JWT").String(), payload.String(), uint8(i), uint16(0), uint8(0))
		f.Add(header.with("alg", "none").String(), payload.String(), uint8(signedByNobody), uint16(0), uint8(0))
		f.Add(header.with("alg", "HS256").String(), payload.String(), uint8(signedBySecret), uint16(0), uint8(0))
	}
	header := object{"alg": "EdDSA", "kid": "KID-EdDSA", "typ": "at+jwt"}
	for _, changed := range []object{
		header.with("crit", []string{"exp"}), header.with("jwk", object{"kty": "OKP"}), header.with("jku", "https://x"), header.with("x5c", []string{}),
		header.with("b64", false), header.with("zip", "DEF"), header.with("cty", "JWT"), header.with("typ", "JWT"), header.without("typ"), header.without("kid"),
		header.with("alg", []string{"EdDSA"}), header.with("alg", "eddsa"), header.with("kid", "../KID-EdDSA"), header.with("ALG", "none"),
	} {
		f.Add(changed.String(), payload.String(), uint8(1), uint16(0), uint8(0))
	}
	f.Add(`{"alg":"EdDSA","alg":"EdDSA","kid":"KID-EdDSA","typ":"at+jwt"}`, payload.String(), uint8(1), uint16(0), uint8(0))
	f.Add(` {"\u0061lg" : "EdDSA" , "kid":"KID-EdDSA","typ":"at+jwt"}`, payload.String(), uint8(1), uint16(0), uint8(0))
	for _, changed := range []object{
		payload.with("exp", start.Unix()), payload.with("exp", start.Unix()+1), payload.with("exp", 1e18), payload.with("exp", "1"), payload.without("exp"),
		payload.with("iat", start.Unix()+60), payload.with("iat", start.Unix()+61), payload.without("iat"), payload.with("nbf", start.Unix()+61), payload.with("nbf", nil),
		payload.with("aud", []string{audience}), payload.with("aud", []string{audience, "other"}), payload.with("aud", "else"), payload.with("iss", issuer+"/"),
		payload.with("sub", ""), payload.with("more", object{"exp": 1}), payload.with("epochs", []any{0, nil, 2}), payload.with("epochs", nil), payload.with("permissions", []any{"a", nil}), payload.with("scope", 1),
	} {
		f.Add(header.String(), changed.String(), uint8(1), uint16(0), uint8(0))
	}

	f.Fuzz(func(t *testing.T, header, payload string, signer uint8, at uint16, flip uint8) {
		header = insertIDs.Replace(header)
		raw, intact := "", flip == 0
		switch signer {
		case 0, 1, 2:
			raw = forge(signers[signer], header, payload)
		case signedBySecret:
			signed := b64(header) + "." + b64(payload)
			mac := hmac.New(sha256.New, must(x509.MarshalPKIXPublicKey(privateOf(signers[2]).Public())))
			mac.Write([]byte(signed))
			raw = signed + "." + b64(string(mac.Sum(nil)))
		case signedByOther:
			raw = forge(other, header, payload)
		case signedByNobody:
			raw = b64(header) + "." + b64(payload) + "."
		default:
			return
		}
		if signer != signedByNobody && !intact {
			raw = flipped(raw, at, flip)
		}
		got, err := v.Verify(ring, raw)
		again, errAgain := v.Verify(ring, raw)
		if (err == nil) != (errAgain == nil) || !reflect.DeepEqual(got, again) {
			t.Fatalf("the first time %+v, %v, and the second time %+v, %v", got, err, again, errAgain)
		}
		may := false
		if signer < 3 && intact && len(raw) <= 8<<10 {
			may = allowedHeader(header, signers[signer]) && goodClaims(payload)
		}
		if may != (err == nil) {
			t.Fatalf("error %v, want it accepted: %t\nheader %s\npayload %s", err, may, header, payload)
		}
		if err != nil {
			return
		}
		reference, err := jwt.NewParser(
			jwt.WithValidMethods([]string{string(signers[signer].Algorithm())}), jwt.WithIssuer(issuer), jwt.WithAudience("other", audience),
			jwt.WithExpirationRequired(), jwt.WithStrictDecoding(), jwt.WithIssuedAt(), jwt.WithLeeway(token.DefaultLeeway), jwt.WithTimeFunc(new(fakeClock).Now),
		).Parse(raw, func(*jwt.Token) (any, error) { return privateOf(signers[signer]).Public(), nil })
		if err != nil {
			t.Fatalf("accepted, and golang-jwt says %v\nheader %s\npayload %s", err, header, payload)
		}
		subject, _ := reference.Claims.GetSubject()
		expires, _ := reference.Claims.GetExpirationTime()
		if subject != got.Subject || !expires.Time.Equal(got.ExpiresAt) || got.KeyID != signers[signer].ID() {
			t.Fatalf("accepted as %+v, and golang-jwt has %v", got, reference.Claims)
		}
	})
}

// flipped changes one byte of a signature.
func flipped(raw string, at uint16, flip uint8) string {
	end := strings.LastIndex(raw, ".") + 1
	signature := must(jwt.NewParser().DecodeSegment(raw[end:]))
	signature[int(at)%len(signature)] ^= flip
	return raw[:end] + b64(string(signature))
}

// allowedHeader is the allow list: three parameters, and what they may be for a key.
func allowedHeader(header string, key *token.SigningKey) bool {
	value, ok := strictjsontest.Read(header)
	if !ok || value.Kind != strictjsontest.Object || len(value.Members) != 3 {
		return false
	}
	alg, _ := value.Get("alg")
	kid, _ := value.Get("kid")
	typ, _ := value.Get("typ")
	return alg.Kind == strictjsontest.String && alg.Text == string(key.Algorithm()) &&
		kid.Kind == strictjsontest.String && kid.Text == key.ID() &&
		typ.Kind == strictjsontest.String && slices.Contains([]string{"at+jwt", "application/at+jwt"}, lowerASCII(typ.Text))
}

// lowerASCII leaves other letters alone, some of which Unicode takes for those of ASCII.
func lowerASCII(text string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, text)
}

// goodClaims says whether a payload is what RFC 9068 section 4 and this product demand at the tests' time.
func goodClaims(payload string) bool {
	claims, ok := strictjsontest.Read(payload)
	if !ok || claims.Kind != strictjsontest.Object || claims.Repeats() || claims.Depth() > strictjson.MaxDepth {
		return false
	}
	text := func(name string) (string, bool) {
		value, given := claims.Get(name)
		return value.Text, !given || value.Kind == strictjsontest.String
	}
	seconds := func(name string) (int64, bool) {
		value, given := claims.Get(name)
		n, err := strconv.ParseInt(value.Raw, 10, 64)
		return n, !given || value.Kind == strictjsontest.Number && err == nil && n > 0 && n < time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	}
	list := func(name string) (of []strictjsontest.Value, ok bool) {
		value, given := claims.Get(name)
		return value.Elements, !given || value.Kind == strictjsontest.List
	}
	good := true
	require := func(ok bool) { good = good && ok }
	for _, name := range []string{"iss", "sub", "jti", "client_id"} {
		said, ok := text(name)
		require(ok && said != "")
	}
	for _, name := range []string{"scope", "deployment_id"} {
		_, ok := text(name)
		require(ok)
	}
	said, _ := text("iss")
	require(said == issuer)

	aud, _ := claims.Get("aud")
	if aud.Kind == strictjsontest.List && len(aud.Elements) == 1 {
		aud = aud.Elements[0]
	}
	require(aud.Kind == strictjsontest.String && (aud.Text == audience || aud.Text == "other"))

	exp, ok := seconds("exp")
	require(ok && exp > start.Unix()) // the clock stands within a second
	iat, ok := seconds("iat")
	require(ok && iat > 0 && iat <= start.Unix()+60)
	nbf, ok := seconds("nbf")
	require(ok && nbf <= start.Unix()+60)

	permissions, ok := list("permissions")
	require(ok && !slices.ContainsFunc(permissions, func(v strictjsontest.Value) bool { return v.Kind != strictjsontest.String || v.Text == "" }))
	epochs, ok := list("epochs")
	_, given := claims.Get("epochs")
	require(ok && (!given || len(epochs) == 3))
	for _, epoch := range epochs {
		n, err := strconv.ParseUint(epoch.Raw, 10, 64)
		require(epoch.Kind == strictjsontest.Number && err == nil && n < 1<<53)
	}
	return good
}
