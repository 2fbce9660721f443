package token_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/token"
)

// TestAttackClaims has what our own key signed and is refused even so. The reason may be told.
func TestAttackClaims(t *testing.T) {
	t.Parallel()
	key := keys()[token.ES256]
	good := payloadOf(sampleClaims())
	text := func(payload string) string { return forge(key, headerOf(key).String(), payload) }
	with := func(name string, value any) string { return text(good.with(name, value).String()) }
	twice := func(member string) string { return text("{" + member + "," + good.String()[1:]) }
	now := start.Unix()

	attacks := []attack{
		{"RFC 7519 section 4.1.1: iss of another", with("iss", "https://evil.example.com"), token.ErrIssuer},
		{"RFC 9068 section 4: iss with a slash more", with("iss", issuer+"/"), token.ErrIssuer},
		{"RFC 9068 section 4: iss in another case", with("iss", strings.ToUpper(issuer)), token.ErrIssuer},
		{"RFC 7519 section 4.1.1: iss an array", with("iss", []string{issuer}), token.ErrClaims},
		{"RFC 7519 section 4.1.2: sub a number", with("sub", 1), token.ErrClaims},
		{"RFC 7519 section 4.1.2: sub null", with("sub", nil), token.ErrClaims},
		{"RFC 7519 section 4.1.3: aud of another", with("aud", "evil"), token.ErrAudience},
		{"RFC 7519 section 4.1.3: aud in an array, of another", with("aud", []string{"evil"}), token.ErrAudience},
		{"RFC 9068 section 3: two audiences", with("aud", []string{audience, "evil"}), token.ErrClaims},
		{"RFC 9068 section 3: two audiences, both ours", with("aud", []string{audience, "other"}), token.ErrClaims},
		{"RFC 9068 section 3: an audience twice", with("aud", []string{audience, audience}), token.ErrClaims},
		{"RFC 7519 section 4.1.3: aud two in one string", with("aud", audience+" other"), token.ErrAudience},
		{"RFC 7519 section 4.1.3: aud an empty array", with("aud", []string{}), token.ErrClaims},
		{"RFC 7519 section 4.1.3: aud an array of null", with("aud", []any{nil}), token.ErrClaims},
		{"RFC 7519 section 4.1.3: aud an object", with("aud", object{"0": audience}), token.ErrClaims},
		{"RFC 7519 section 4.1.3: aud true", with("aud", true), token.ErrClaims},
		{"RFC 7519 section 4.1.3: aud null", with("aud", nil), token.ErrClaims},
		{"RFC 7519 section 4.1.3: aud a number", with("aud", 1), token.ErrClaims},
		{"RFC 7519 section 4.1.3: aud an array in an array", with("aud", [][]string{{audience}}), token.ErrClaims},
		{"RFC 7519 section 4.1.3: aud in another case", with("aud", strings.ToUpper(audience)), token.ErrAudience},
		{"RFC 7519 section 4.1.4: exp past", with("exp", now-3600), token.ErrExpired},
		{"RFC 7519 section 4.1.4: exp this very second", with("exp", now), token.ErrExpired},
		{"RFC 7519 section 4.1.4: exp a string", with("exp", "9999999999"), token.ErrClaims},
		{"RFC 7519 section 4.1.4: exp null", with("exp", nil), token.ErrClaims},
		{"RFC 7519 section 4.1.4: exp 0", with("exp", 0), token.ErrClaims},
		{"RFC 7519 section 4.1.4: exp negative", with("exp", -now), token.ErrClaims},
		{"RFC 7519 section 2: exp with a fraction", with("exp", float64(now)+3600.5), token.ErrClaims},
		{"RFC 7519 section 2: exp with a fraction of 0", literal(text, good, "exp", "9999999999.0"), token.ErrClaims},
		{"RFC 7519 section 2: exp as text of a float", with("exp", "9999999999.5"), token.ErrClaims},
		{"RFC 7519 section 2: exp beyond a double", literal(text, good, "exp", "1e400"), token.ErrClaims},
		{"RFC 7519 section 2: exp the greatest of 64 bits", with("exp", int64(1)<<62), token.ErrClaims},
		{"RFC 7519 section 4.1.4: exp an array", with("exp", []int64{now + 3600}), token.ErrClaims},
		{"RFC 7519 section 4.1.4: exp true", with("exp", true), token.ErrClaims},
		{"RFC 7519 section 2: exp with an exponent", literal(text, good, "exp", "1e12"), token.ErrClaims},
		{"RFC 7519 section 2: exp beyond 64 bits", literal(text, good, "exp", "99999999999999999999999"), token.ErrClaims},
		{"RFC 7519 section 2: exp after the year 9999", with("exp", int64(253402300800)), token.ErrClaims},
		{"RFC 7519 section 4.1.5: nbf in the future", with("nbf", now+61), token.ErrNotYetValid},
		{"RFC 7519 section 4.1.5: nbf a string", with("nbf", "0"), token.ErrClaims},
		{"RFC 7519 section 4.1.5: nbf null", with("nbf", nil), token.ErrClaims},
		{"RFC 7519 section 4.1.5: nbf negative", with("nbf", -1), token.ErrClaims},
		{"RFC 7519 section 4.1.5: nbf with a fraction", with("nbf", float64(now)-0.5), token.ErrClaims},
		{"RFC 7519 section 4.1.5: nbf beyond what a time can be", with("nbf", int64(1)<<62), token.ErrClaims},
		{"RFC 7519 section 4.1.6: iat in the future", with("iat", now+61), token.ErrNotYetValid},
		{"RFC 7519 section 4.1.6: iat in milliseconds", with("iat", now*1000), token.ErrClaims},
		{"RFC 7519 section 4.1.6: iat a boolean", with("iat", true), token.ErrClaims},
		{"RFC 7519 section 4.1.6: iat a string", with("iat", "1"), token.ErrClaims},
		{"RFC 7519 section 4.1.6: iat null", with("iat", nil), token.ErrClaims},
		{"RFC 7519 section 4.1.6: iat negative", with("iat", -now), token.ErrClaims},
		{"RFC 7519 section 4.1.6: iat 0", with("iat", 0), token.ErrClaims},
		{"RFC 7519 section 4.1.7: jti a number", with("jti", 7), token.ErrClaims},
		{"RFC 8693 section 4.3: client_id null", with("client_id", nil), token.ErrClaims},
		{"RFC 8693 section 4.2: scope an array", with("scope", []string{"deploy"}), token.ErrClaims},
		{"RFC 8693 section 4.2: scope null", with("scope", nil), token.ErrClaims},
		{"RFC 7519 section 4.3: deployment_id a number", with("deployment_id", 4211), token.ErrClaims},
		{"RFC 7519 section 4.3: deployment_id an array", with("deployment_id", []string{"a", "b"}), token.ErrClaims},
		{"RFC 7519 section 4.3: permissions a string", with("permissions", "deploymentId:a"), token.ErrClaims},
		{"RFC 7519 section 4.3: permissions null", with("permissions", nil), token.ErrClaims},
		{"RFC 7519 section 4.3: permissions an array of null", with("permissions", []any{nil}), token.ErrClaims},
		{"RFC 7519 section 4.3: permissions with an empty one", with("permissions", []string{"deploymentId:a", ""}), token.ErrClaims},
		{"RFC 7519 section 4.3: permissions an array of numbers", with("permissions", []int{1}), token.ErrClaims},
		{"RFC 7519 section 4: exp twice", twice(`"exp":9999999999`), token.ErrClaims},
		{"RFC 7519 section 4: sub twice", twice(`"sub":"other"`), token.ErrClaims},
		{"RFC 7519 section 4: aud twice, the same", twice(`"aud":"` + audience + `"`), token.ErrClaims},
		{"RFC 7519 section 4: sub twice, once escaped", twice(`"s\u0075b":"other"`), token.ErrClaims},
		{"RFC 7519 section 4: an unknown claim twice", twice(`"x":1,"x":1`), token.ErrClaims},
		{"RFC 7519 section 4: a name twice within an unknown claim", literal(text, good, "x", `{"a":1,"a":2}`), token.ErrClaims},
		{"RFC 8259 section 9: nested deeper than 16", literal(text, good, "x", strings.Repeat("[", 16)+strings.Repeat("]", 16)), token.ErrClaims},
		{"RFC 7519 section 7.2: payload no object", text(`["` + issuer + `"]`), token.ErrClaims},
		{"RFC 7519 section 7.2: payload null", text(`null`), token.ErrClaims},
		{"RFC 7519 section 7.2: payload empty", text(``), token.ErrClaims},
		{"RFC 7519 section 7.2: payload no JSON", text(`iss=` + issuer), token.ErrClaims},
		{"RFC 7519 section 7.2: payload with trailing data", text(good.String() + good.String()), token.ErrClaims},
		{"RFC 7519 section 7.2: payload not UTF-8", text(strings.Replace(good.String(), "deploy ", "\xff ", 1)), token.ErrClaims},
		{"RFC 7519 section 7.2: payload UTF-16", text("{\x00\"\x00i\x00s\x00s\x00"), token.ErrClaims},
		{"RFC 7519 section 7.2: a payload of brackets", text(strings.Repeat("[", 5000)), token.ErrClaims},
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "client_id"} {
		attacks = append(attacks, attack{"RFC 9068 section 2.2: no " + name, text(good.without(name).String()), token.ErrClaims})
		inCapitals := good.without(name).with(strings.ToUpper(name), good[name])
		attacks = append(attacks, attack{"RFC 7519 section 4: " + name + " in capitals only", text(inCapitals.String()), token.ErrClaims})
	}
	for _, name := range []string{"iss", "sub", "aud", "jti", "client_id"} {
		attacks = append(attacks, attack{"RFC 9068 section 2.2: empty " + name, with(name, ""), token.ErrClaims})
	}
	refuse(t, true, attacks)
}

// literal puts JSON that Go would not write in the place of a claim.
func literal(text func(string) string, o object, name, value string) string {
	return text(`{"` + name + `":` + value + "," + o.without(name).String()[1:])
}

// TestClaimsAccepted has the odd forms that the RFCs allow.
func TestClaimsAccepted(t *testing.T) {
	t.Parallel()
	key, good := keys()[token.ES256], payloadOf(sampleClaims())
	v, ring := newVerifier(t, nil), ringOf(token.RS256)
	now := start.Unix()

	for _, tc := range []struct{ name, payload string }{
		{"RFC 7519 section 4.1.3: aud in an array", good.with("aud", []string{audience}).String()},
		{"another configured audience", good.with("aud", "other").String()},
		{"RFC 7519 section 4.2: unknown claims", good.with("https://example.com/x", object{"iss": "y", "a": []int{1}}).String()},
		{"RFC 7519 section 4: another claim by case", good.with("ISS", "https://evil.example.com").String()},
		{"RFC 7519 section 4.1.5: nbf past", good.with("nbf", now-1).String()},
		{"RFC 7519 section 4.1.5: nbf within the leeway", good.with("nbf", now+60).String()},
		{"RFC 7519 section 4.1.6: iat within the leeway", good.with("iat", now+60).String()},
		{"RFC 7519 section 4.1.4: exp next second", good.with("exp", now+1).String()},
		{"RFC 9068 section 2.2.3: no scope", good.without("scope").String()},
		{"not bound to a Deployment", good.without("deployment_id").without("permissions").String()},
		{"RFC 8259 section 2: white space", "\r\n\t " + strings.ReplaceAll(good.String(), ",", " ,\n\t") + " "},
		{"RFC 8259 section 7: escapes", strings.Replace(good.String(), `"iss"`, `"\u0069ss"`, 1)},
	} {
		if _, err := v.Verify(ring, forge(key, headerOf(key).String(), tc.payload)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestLeeway(t *testing.T) {
	t.Parallel()
	key, good := keys()[token.ES256], payloadOf(sampleClaims())
	ring, now := ringOf(token.ES256), start.Unix()

	for _, tc := range []struct {
		name   string
		leeway time.Duration
		claim  string
		value  int64
		want   error
	}{
		{"default, iat", 0, "iat", now + 60, nil},
		{"default, iat beyond", 0, "iat", now + 61, token.ErrNotYetValid},
		{"10 s, iat", 10 * time.Second, "iat", now + 10, nil},
		{"10 s, iat beyond", 10 * time.Second, "iat", now + 11, token.ErrNotYetValid},
		{"10 s, nbf beyond", 10 * time.Second, "nbf", now + 11, token.ErrNotYetValid},
		{"none, iat", -1, "iat", now, nil},
		{"none, iat beyond", -1, "iat", now + 1, token.ErrNotYetValid},
		{"none, nbf beyond", -1, "nbf", now + 1, token.ErrNotYetValid},
		{"an hour is not for exp", time.Hour, "exp", now, token.ErrExpired},
	} {
		v := newVerifier(t, func(o *token.Options) { o.Leeway = tc.leeway })
		raw := forge(key, headerOf(key).String(), good.with(tc.claim, tc.value).String())
		if _, err := v.Verify(ring, raw); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestExpiredSaysSinceWhen(t *testing.T) {
	t.Parallel()
	clock, ring, claims := new(fakeClock), ringOf(token.ES256), sampleClaims()
	v := newVerifier(t, func(o *token.Options) { o.Now = clock.Now })
	raw := must(ring.Sign(claims))
	clock.Advance(25 * time.Hour)

	_, err := v.Verify(ring, raw)
	var expired *token.ExpiredError
	if !errors.As(err, &expired) || !expired.ExpiredAt.Equal(claims.ExpiresAt) || !errors.Is(err, token.ErrExpired) {
		t.Errorf("got %v, want one that says %v", err, claims.ExpiresAt)
	}
	if want := "token expired at 2026-03-02T12:00:00Z"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	t.Parallel()
	for _, options := range []token.Options{
		{},
		{Issuer: issuer},
		{Audiences: []string{audience}},
		{Issuer: issuer, Audiences: []string{audience, ""}},
	} {
		if _, err := token.NewVerifier(options); err == nil {
			t.Errorf("%+v: no error", options)
		}
	}
}
