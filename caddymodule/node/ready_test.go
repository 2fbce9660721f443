package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// readyNode is a node on a store that hears of changes, and does nothing else by itself.
func readyNode(t *testing.T, store keystore.Store, master string) *Node {
	t.Helper()
	keys := keystore.New(store, []byte(strings.Repeat(master, minSecretLength)))
	n := &Node{store: store, Keys: keys, View: keystore.NewView(keys, keystore.ViewOptions{})}
	n.signing = signing{keys: keys, view: n.View, now: time.Now}
	t.Cleanup(n.View.Close)
	return n
}

var testPolicy = keystore.SigningPolicy{Algorithm: string(token.ES256), TokenLifetime: 24 * time.Hour}

func TestReady(t *testing.T) {
	t.Parallel()
	const always, never = time.Hour, -time.Second // how old the knowledge may be
	tests := map[string]struct {
		maxStaleness time.Duration
		deaf         bool                               // the log cannot be followed
		prepare      func(t *testing.T, store *fakeLog) // before the node opens the store
		then         func(t *testing.T, store *fakeLog) // once it has been ready
		err          error
		reason       string
		known        bool
	}{
		"hears of changes":                      {maxStaleness: always, known: true},
		"hears of changes, and the store fails": {maxStaleness: always, then: fails, known: true},
		"knows nothing, and can ask":            {maxStaleness: always, deaf: true},
		"knows nothing, and can't ask":          {maxStaleness: always, deaf: true, then: fails, err: keystore.ErrUnavailable, reason: "the test says so"},
		"knows too little, and can ask":         {maxStaleness: never, known: true},
		"knows too little, and can't ask":       {maxStaleness: never, then: fails, known: true, err: keystore.ErrUnavailable, reason: "has heard nothing of changes for"},
		"the store was never reached":           {maxStaleness: always, deaf: true, prepare: fails, err: keystore.ErrUnavailable},
		"heard of changes, but never opened": {
			maxStaleness: always, known: true, err: keystore.ErrWrongSecret, reason: "wrong master secret",
			prepare: func(t *testing.T, store *fakeLog) {
				if err := keystore.New(store, []byte(strings.Repeat("o", minSecretLength))).Open(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
		},
		"the store has lost everything": {maxStaleness: never, known: true, then: empty, err: errStoreEmpty},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newFakeLog(t)
			store.silent.Store(test.deaf)
			if test.prepare != nil {
				test.prepare(t, store)
			}
			n := readyNode(t, store, "k")
			if test.known {
				eventually(t, func() bool { _, heard := n.View.Age(); return heard })
			}
			_ = n.Maintain(t.Context(), testPolicy) // as at start; where it fails is what is tested
			if test.then != nil {
				if _, _, err := n.Ready(t.Context(), test.maxStaleness); err != nil {
					t.Fatal(err)
				}
				test.then(t, store)
			}
			age, known, err := n.Ready(t.Context(), test.maxStaleness)
			if !errors.Is(err, test.err) || (err != nil && !strings.Contains(err.Error(), test.reason)) {
				t.Errorf("%v, want %v: …%s…", err, test.err, test.reason)
			}
			if known != test.known || age < 0 || age > time.Minute || (!known && age != 0) {
				t.Errorf("age %s, known %v, want %v", age, known, test.known)
			}
		})
	}
}

func fails(_ *testing.T, store *fakeLog) { store.fail.Store(true) }

func empty(t *testing.T, store *fakeLog) {
	t.Helper()
	if err := store.Apply(t.Context(), keystore.Change{Steps: []keystore.Step{{Kind: keystore.DeleteRecord, Name: "root"}}}); err != nil {
		t.Fatal(err)
	}
}
