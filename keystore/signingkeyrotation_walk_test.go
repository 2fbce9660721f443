package keystore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// TestSigningKeysWalk takes random steps, with the clock and without, and looks after each whether
// what must always hold still does.
func TestSigningKeysWalk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &walk{nodeKit: newNode(t), random: rand.New(rand.NewPCG(seed, 1)), known: map[string]keystore.SigningKey{}, expiry: map[string]time.Time{}}
			for range 250 {
				w.step()
			}
		})
	}
}

type walk struct {
	*nodeKit
	random *rand.Rand
	known  map[string]keystore.SigningKey // as they were after the last step
	expiry map[string]time.Time           // of the last token of each key
	atOnce []string                       // keys that signed without a notice, rightly
}

func (w *walk) step() {
	w.t.Helper()
	policy := w.policy
	policy.Algorithm = []string{"ES256", "ES256", "RS256"}[w.random.IntN(3)]
	policy.TokenLifetime = []time.Duration{time.Hour, day, 3 * day}[w.random.IntN(3)]
	policy.RotateEvery = []time.Duration{0, 0, 2 * time.Hour, 2 * day}[w.random.IntN(4)]
	replaced := ""
	var keys []keystore.SigningKey
	switch action := w.random.IntN(20); {
	case action == 0:
		key := must(w.ReplaceSigningKeys(w.t.Context(), by, policy))
		replaced = key.ID
	case action < 4:
		if _, err := w.RotateSigningKey(w.t.Context(), by, policy); err != nil && !errors.Is(err, keystore.ErrExists) {
			w.t.Fatal(err)
		}
	case action < 12:
		w.clock.Advance(time.Duration(w.random.Int64N(int64(notice))))
	case action == 12:
		w.clock.Advance(time.Duration(w.random.Int64N(int64(4 * day))))
	default:
		keys = w.maintain(policy)
	}
	maintained := keys != nil
	keys = must(w.SigningKeys(w.t.Context()))
	w.check(keys, replaced)
	if maintained {
		// Only one who has maintained the keys may sign, and with a token of the policy.
		for _, key := range keys {
			if key.State() == keystore.SigningKeySigning {
				fatalIf(w.t, key.MaxLifetime < policy.TokenLifetime, "%s does not allow for tokens of %s: %+v", key.ID, policy.TokenLifetime, key)
				if expires := w.clock.Now().Add(policy.TokenLifetime); expires.After(w.expiry[key.ID]) {
					w.expiry[key.ID] = expires
				}
			}
		}
	}
}

// check holds keys to what must always be so, and to what they were before.
func (w *walk) check(keys []keystore.SigningKey, replaced string) {
	w.t.Helper()
	now := w.clock.Now()
	there := map[string]keystore.SigningKey{}
	signing, announced := 0, 0
	for _, key := range keys {
		was, known := w.known[key.ID]
		if _, twice := there[key.ID]; twice {
			w.t.Fatalf("%s is there twice", key.ID)
		}
		there[key.ID] = key
		switch key.State() {
		case keystore.SigningKeySigning:
			signing++
			if (!known && len(w.known) == 0) || key.ID == replaced {
				w.atOnce = append(w.atOnce, key.ID)
			}
			fatalIf(w.t, !slices.Contains(w.atOnce, key.ID) && (!known || key.SignsFrom.Sub(key.CreatedAt) < notice), "%s signs without notice: %+v", key.ID, key)
		case keystore.SigningKeyAnnounced:
			announced++
		case keystore.SigningKeyRetired:
			fatalIf(w.t, !known || key.RetiredAt.Before(key.SignsFrom), "%s was retired before it signed: %+v", key.ID, key)
		}
		if known && (!was.RetiredAt.IsZero() && !was.RetiredAt.Equal(key.RetiredAt) ||
			!was.SignsFrom.IsZero() && !was.SignsFrom.Equal(key.SignsFrom) ||
			!was.CreatedAt.Equal(key.CreatedAt) || was.MaxLifetime > key.MaxLifetime || was.Algorithm != key.Algorithm) {
			w.t.Fatalf("%s was %+v and is %+v", key.ID, was, key)
		}
	}
	fatalIf(w.t, len(keys) > 0 && signing != 1 || announced > 1, "%d keys sign and %d are announced", signing, announced)
	for id, was := range w.known {
		if _, left := there[id]; left || replaced != "" {
			continue
		}
		fatalIf(w.t, was.State() == keystore.SigningKeyAnnounced, "%s went without having signed", id)
		if now.Before(w.expiry[id].Add(time.Hour)) {
			w.t.Fatalf("%s went at %s, its last token lives until %s", id, now, w.expiry[id])
		}
	}
	w.known = there
}
