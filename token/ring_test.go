package token_test

import (
	"errors"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/token"
)

func TestRingSigner(t *testing.T) {
	t.Parallel()
	generate := func(alg token.Algorithm, age time.Duration) *token.SigningKey {
		return must(token.GenerateKey(alg, start.Add(-age)))
	}
	old, young := generate(token.ES256, time.Hour), generate(token.ES256, time.Minute)
	other := generate(token.EdDSA, 0)

	for _, keys := range [][]*token.SigningKey{{old, young, other}, {other, young, old}} {
		ring := must(token.NewRing(keys, token.ES256))
		if got := ring.Signer(); got != young {
			t.Errorf("signs with %v, want the newest of the algorithm, %v", got, young)
		}
		for _, key := range keys {
			got, ok := ring.Key(key.ID())
			if !ok || got != key || !ring.Has(key.ID()) {
				t.Errorf("%v is not found", key)
			}
		}
		if _, ok := ring.Key(""); ok || ring.Has("") {
			t.Error("a key without ID is found")
		}
	}

	twinA, twinB := generate(token.EdDSA, 0), generate(token.EdDSA, 0)
	ab := must(token.NewRing([]*token.SigningKey{twinA, twinB}, token.EdDSA))
	ba := must(token.NewRing([]*token.SigningKey{twinB, twinA}, token.EdDSA))
	if ab.Signer() != ba.Signer() {
		t.Error("two nodes with the same keys, made at the same time, sign with different ones")
	}

	if _, err := token.NewRing([]*token.SigningKey{other}, token.ES256); !errors.Is(err, token.ErrNoSigningKey) {
		t.Errorf("no key of the algorithm: got %v", err)
	}
	if _, err := token.NewRing(nil, token.ES256); !errors.Is(err, token.ErrNoSigningKey) {
		t.Errorf("no key at all: got %v", err)
	}
	if _, err := token.NewRing([]*token.SigningKey{old, old}, token.ES256); !errors.Is(err, token.ErrKey) {
		t.Errorf("a key twice: got %v", err)
	}
}
