package token_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/token"
)

func generate(alg token.Algorithm, age time.Duration) *token.SigningKey {
	return must(token.GenerateKey(alg, start.Add(-age)))
}

func TestRingSigner(t *testing.T) {
	t.Parallel()
	old, young := generate(token.ES256, time.Hour), generate(token.ES256, time.Minute)
	other := generate(token.EdDSA, 0)

	for _, signer := range []*token.SigningKey{old, young, other} {
		for _, keys := range [][]*token.SigningKey{{old, young, other}, {other, young, old}} {
			ring := must(token.NewRing(keys, signer.ID()))
			if got := ring.Signer(); got != signer {
				t.Errorf("signs with %v, want the one that was named, %v", got, signer)
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
			raw := must(ring.Sign(sampleClaims()))
			if got := must(newVerifier(t, nil).Verify(ring, raw)); got.KeyID != signer.ID() {
				t.Errorf("signed with %s, want %s", got.KeyID, signer.ID())
			}
		}
	}
}

func TestRingRefuses(t *testing.T) {
	t.Parallel()
	key, other := keys()[token.ES256], keys()[token.EdDSA]
	for _, tc := range []struct {
		name   string
		keys   []*token.SigningKey
		signer string
		want   error
	}{
		{"the signer is not there", []*token.SigningKey{key}, other.ID(), token.ErrNoSigningKey},
		{"no signer is named", []*token.SigningKey{key}, "", token.ErrNoSigningKey},
		{"an algorithm in place of an ID", []*token.SigningKey{key}, "ES256", token.ErrNoSigningKey},
		{"no key at all", nil, key.ID(), token.ErrNoSigningKey},
		{"a key twice", []*token.SigningKey{key, key}, key.ID(), token.ErrKey},
	} {
		if _, err := token.NewRing(tc.keys, tc.signer); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
}

// TestRingOrder shows that nodes with the same keys publish the same document, newest first.
func TestRingOrder(t *testing.T) {
	t.Parallel()
	old, twinA, twinB := generate(token.ES256, time.Hour), generate(token.EdDSA, 0), generate(token.EdDSA, 0)
	if twinA.ID() < twinB.ID() {
		twinA, twinB = twinB, twinA
	}
	want := []string{twinA.ID(), twinB.ID(), old.ID()}
	for _, keys := range [][]*token.SigningKey{{old, twinA, twinB}, {twinB, twinA, old}} {
		var set struct {
			Keys []struct {
				ID string `json:"kid"`
			} `json:"keys"`
		}
		if err := json.Unmarshal(must(token.NewRing(keys, old.ID())).JWKS(), &set); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, key := range set.Keys {
			got = append(got, key.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestRingETag(t *testing.T) {
	t.Parallel()
	a, b := keys()[token.ES256], keys()[token.EdDSA]
	ring := must(token.NewRing([]*token.SigningKey{a, b}, a.ID()))

	// RFC 9110 section 8.8.3: no W/ in front, and between the quotes only what an etagc is.
	if !regexp.MustCompile(`^"[\x21\x23-\x7e]+"$`).MatchString(ring.ETag()) {
		t.Errorf("%s is not a strong entity tag", ring.ETag())
	}
	same := must(token.NewRing([]*token.SigningKey{b, a}, b.ID()))
	if same.ETag() != ring.ETag() {
		t.Error("the same document has another tag")
	}
	less := must(token.NewRing([]*token.SigningKey{a}, a.ID()))
	if less.ETag() == ring.ETag() {
		t.Error("another document has the same tag")
	}
}
