package token_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/deploymentkeys/gateway/token"
)

// FuzzVerify changes tokens. Whatever comes of it must not panic, and nothing but the text of a token
// that was signed may be accepted, whatever verified before.
func FuzzVerify(f *testing.F) {
	key, ring := keys()[token.EdDSA], ringOf(token.EdDSA)
	v := newVerifier(f, nil)
	payload := payloadOf(sampleClaims())
	genuine := forge(key, headerOf(key).String(), payload.String())
	f.Add(genuine)
	f.Add(forge(key, headerOf(key).with("crit", []string{"exp"}).String(), payload.String()))
	f.Add(forge(key, headerOf(key).String(), payload.with("aud", []string{audience, "b"}).String()))
	f.Add(b64(headerOf(key).with("alg", "none").String()) + "." + b64(payload.String()) + ".")
	f.Add("eyJ9.e30.AA")
	f.Add("...")

	f.Fuzz(func(t *testing.T, raw string) {
		got, err := v.Verify(ring, raw)
		if (got == nil) == (err == nil) {
			t.Fatalf("got %v, %v", got, err)
		}
		if err == nil && raw != genuine {
			t.Fatalf("accepted: %q", raw)
		}
	})
}

// FuzzClaims signs any payload. What is accepted has all that is required, and every claim of it is
// one that encoding/json finds there too.
func FuzzClaims(f *testing.F) {
	key, ring := keys()[token.EdDSA], ringOf(token.EdDSA)
	v := newVerifier(f, nil)
	payload := payloadOf(sampleClaims())
	f.Add(payload.String())
	f.Add(payload.with("aud", []any{nil}).String())
	f.Add(payload.without("client_id").String())
	f.Add(payload.with("epochs", []uint64{0, 1, 1<<53 - 1}).String())
	f.Add(payload.with("epochs", []float64{0, 1.5, 2}).String())
	f.Add(payload.without("epochs").String())
	f.Add(`{"iss":"\ud800","nbf":1e400}`)

	f.Fuzz(func(t *testing.T, payload string) {
		got, err := v.Verify(ring, forge(key, headerOf(key).String(), payload))
		if err != nil {
			return
		}
		if got.Issuer != issuer || got.Subject == "" || got.ID == "" || got.ClientID == "" || !got.ExpiresAt.After(start) {
			t.Fatalf("accepted: %+v", got)
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
