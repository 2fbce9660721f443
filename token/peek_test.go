package token_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/token"
)

func TestPeek(t *testing.T) {
	t.Parallel()
	key, claims := keys()[token.ES256], sampleClaims()
	header, payload := headerOf(key), payloadOf(claims)
	want := token.Unproven{Algorithm: "ES256", KeyID: key.ID(), Type: "at+jwt", Claims: claims}
	with := func(change func(*token.Unproven)) token.Unproven {
		changed := want
		change(&changed)
		return changed
	}
	raw := must(ringOf(token.ES256).Sign(claims))

	for _, tc := range []struct {
		name string
		raw  string
		want token.Unproven
		err  error
	}{
		{"genuine", raw, want, nil},
		{"the signature of another token", raw[:strings.LastIndexByte(raw, '.')] + ".AAAA", want, nil},
		{"a key that is gone", forge(key, header.with("kid", "gone").String(), payload.String()), with(func(u *token.Unproven) { u.KeyID = "gone" }), nil},
		{
			"of another product", forge(key, header.with("typ", "JWT").with("jku", "https://a.example.com").String(), payload.String()),
			with(func(u *token.Unproven) { u.Type = "JWT" }), token.ErrMalformed,
		},
		{
			"HS256, without kid", forge(key, header.with("alg", "HS256").without("kid").String(), payload.String()),
			with(func(u *token.Unproven) { u.Algorithm, u.KeyID = "HS256", "" }), token.ErrMalformed,
		},
		{
			"HS256", forge(key, header.with("alg", "HS256").String(), payload.String()),
			with(func(u *token.Unproven) { u.Algorithm = "HS256" }), token.ErrAlgorithm,
		},
		{
			"kid a number", forge(key, header.with("kid", 1).String(), payload.String()),
			with(func(u *token.Unproven) { u.KeyID = "" }), token.ErrMalformed,
		},
		{
			"alg twice", forge(key, `{"alg":"none",`+header.String()[1:], payload.String()),
			token.Unproven{Claims: claims},
			token.ErrMalformed,
		},
		{
			"two audiences", forge(key, header.String(), payload.with("aud", []string{"a", "b"}).String()),
			with(func(u *token.Unproven) { u.Claims = token.Claims{} }), token.ErrClaims,
		},
		{
			"without sub", forge(key, header.String(), payload.without("sub").String()),
			with(func(u *token.Unproven) { u.Claims.Subject = "" }), token.ErrClaims,
		},
		{
			"typ JWT and two audiences", forge(key, header.with("typ", "JWT").String(), payload.with("aud", []string{"a", "b"}).String()),
			with(func(u *token.Unproven) { u.Type, u.Claims = "JWT", token.Claims{} }), token.ErrMalformed,
		},
		{"empty", "", token.Unproven{}, token.ErrMalformed},
		{"a line break behind", raw + "\n", token.Unproven{}, token.ErrMalformed},
		{"a header that is no JSON", b64("alg") + raw[strings.IndexByte(raw, '.'):], token.Unproven{Claims: claims}, token.ErrMalformed},
	} {
		got, err := token.Peek(tc.raw)
		if !errors.Is(err, tc.err) || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tc.name, got, err, tc.want, tc.err)
		}
		if token.Proven(err) {
			t.Errorf("%s: %v is called proven", tc.name, err)
		}
	}
}
