package caddymodule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// readyApp is an app on a node with a fake log; it has started, unless n is nil.
func readyApp(n *node, maxStaleness time.Duration) *App {
	app := &App{maxStaleness: maxStaleness, logger: zap.NewNop(), faults: zap.NewNop()}
	app.signing = &signing{node: app.opened, maxStaleness: maxStaleness, now: time.Now, policy: keystore.SigningPolicy{
		Algorithm: string(token.ES256), TokenLifetime: DefaultTokenLifetime, Generate: generateSigningKey,
	}}
	if n != nil {
		app.node.Store(n)
	}
	return app
}

func readyNode(t *testing.T, store keystore.Store, master string) *node {
	t.Helper()
	keys := keystore.New(store, []byte(strings.Repeat(master, minSecretLength)))
	n := &node{store: store, keys: keys, view: keystore.NewView(keys, keystore.ViewOptions{})}
	t.Cleanup(n.view.Close)
	return n
}

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
				eventually(t, func() bool { _, heard := n.view.Age(); return heard })
			}
			app := readyApp(n, test.maxStaleness)
			if test.then != nil {
				if _, _, err := app.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
				test.then(t, store)
			}
			age, known, err := app.Ready(t.Context())
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

func TestNotReadyBeforeStart(t *testing.T) {
	t.Parallel()
	_, known, err := readyApp(nil, time.Hour).Ready(t.Context())
	if known || !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "starting") {
		t.Errorf("known %v, %v", known, err)
	}
}
