package token_test

import (
	"testing"

	"github.com/deploymentkeys/gateway/token"
)

func TestEpochsReach(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		token, current token.Epochs
		want           bool
	}{
		{token.Epochs{}, token.Epochs{}, true},
		{token.Epochs{Key: 1, Deployment: 2, All: 3}, token.Epochs{Key: 1, Deployment: 2, All: 3}, true},
		{token.Epochs{Key: 2, Deployment: 3, All: 4}, token.Epochs{Key: 1, Deployment: 2, All: 3}, true},
		{token.Epochs{Key: 0, Deployment: 2, All: 3}, token.Epochs{Key: 1, Deployment: 2, All: 3}, false},
		{token.Epochs{Key: 1, Deployment: 1, All: 3}, token.Epochs{Key: 1, Deployment: 2, All: 3}, false},
		{token.Epochs{Key: 1, Deployment: 2, All: 2}, token.Epochs{Key: 1, Deployment: 2, All: 3}, false},
		{token.Epochs{Key: 9, Deployment: 9, All: 0}, token.Epochs{All: 1}, false},
	} {
		if got := tc.token.Reaches(tc.current); got != tc.want {
			t.Errorf("%+v reaches %+v: got %t", tc.token, tc.current, got)
		}
	}
}

// TestEpochsClaim has every form of the claim; what is wrong with it may be told.
func TestEpochsClaim(t *testing.T) {
	t.Parallel()
	key, good := keys()[token.ES256], payloadOf(sampleClaims())
	v, ring := newVerifier(t, nil), ringOf(token.ES256)
	text := func(payload string) string { return forge(key, headerOf(key).String(), payload) }

	for value, want := range map[string]token.Epochs{
		"[0,0,0]":                           {},
		"[1,2,3]":                           {Key: 1, Deployment: 2, All: 3},
		"[9007199254740991,0,0]":            {Key: 1<<53 - 1},
		" [ 0 , 9007199254740991 ,\n\t0 ] ": {Deployment: 1<<53 - 1},
		"[0,0,9007199254740991]":            {All: 1<<53 - 1},
	} {
		got, err := v.Verify(ring, literal(text, good, "epochs", value))
		if err != nil || got.Epochs != want {
			t.Errorf("%s: got %+v, %v, want %+v", value, got, err, want)
		}
	}
	if got, err := v.Verify(ring, text(good.without("epochs").String())); err != nil || got.Epochs != (token.Epochs{}) {
		t.Errorf("left out: got %+v, %v", got, err)
	}

	var attacks []attack
	for _, value := range []string{
		"null", "true", `""`, `"[1,2,3]"`, "3", "{}", `{"0":1,"1":2,"2":3}`, "[]", "[1]", "[1,2]", "[1,2,3,4]", "[[1,2,3]]",
		"[1,2,null]", `[1,2,"3"]`, "[1,2,true]", "[1,2,[3]]", "[1,2,{}]",
		"[-1,2,3]", "[1,-0,3]", "[1,2,3.0]", "[1.5,2,3]", "[1e0,2,3]", "[1,2E1,3]", "[1,2,1e400]",
		"[9007199254740992,2,3]", "[1,18446744073709551615,3]", "[1,2,18446744073709551616]",
	} {
		attacks = append(attacks, attack{"RFC 7519 section 4.3: epochs " + value, literal(text, good, "epochs", value), token.ErrClaims})
	}
	attacks = append(attacks, attack{"RFC 7519 section 4: epochs twice", text(`{"epochs":[9,9,9],` + good.String()[1:]), token.ErrClaims})
	refuse(t, true, attacks)
}
