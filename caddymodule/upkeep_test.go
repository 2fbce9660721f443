package caddymodule

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
)

// A laterStore is a store whose clock is ahead.
type laterStore struct {
	keystore.Store
	by atomic.Int64
}

func (s *laterStore) Time(ctx context.Context) (time.Time, error) {
	now, err := s.Store.Time(ctx)
	return now.Add(time.Duration(s.by.Load())), err
}

// What is due with signing keys by the time is done without any request.
func TestUpkeepRotatesSigningKeys(t *testing.T) {
	t.Parallel()
	opened, err := boltstore.Open(filepath.Join(t.TempDir(), "keys.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := &laterStore{Store: opened}
	n := readyNode(t, store, "m")
	n.keys.SetClock(func() time.Time { return time.Now().Add(time.Duration(store.by.Load())) })
	t.Cleanup(func() { _ = n.keys.Close() })
	app := readyApp(n, time.Minute)
	app.signing.policy.RotateEvery = 30 * 24 * time.Hour
	ctx := t.Context()

	state := func() (signer string, published int) {
		t.Helper()
		ring, err := app.signing.ring(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return ring.Signer().ID(), strings.Count(string(ring.JWKS()), `"kid"`)
	}
	first, _ := state()
	steps := []struct {
		after     time.Duration
		signs     string // first or second
		published int
	}{
		{time.Hour, "first", 1},
		{30*24*time.Hour - 71*time.Minute, "first", 1},
		{30*24*time.Hour - 69*time.Minute, "first", 2}, // announced
		{30*24*time.Hour - 2*time.Minute, "first", 2},
		{30*24*time.Hour + 2*time.Minute, "second", 2}, // it signs; the first verifies
		{31 * 24 * time.Hour, "second", 2},
		{31*24*time.Hour + 2*time.Hour, "second", 1}, // the last token of the first has expired
	}
	for _, step := range steps {
		store.by.Store(int64(step.after))
		app.upkeepOnce(ctx)
		signer, published := state()
		if (signer == first) != (step.signs == "first") || published != step.published {
			t.Fatalf("after %s: the first signs: %v, %d are published; want the %s and %d", step.after, signer == first, published, step.signs, step.published)
		}
	}
}

// A signing key that leaked and was replaced: a node that knows of it and cannot read the new ones must
// not go on with the old ones.
func TestReplacedSigningKeysAreNotTrustedInAnOutage(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	raw := app.token(t, app.key)
	if w := app.get(t, "/dep1/api", raw); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if _, err := app.ReplaceSigningKeys(t.Context(), keystore.Caller{}); err != nil {
		t.Fatal(err)
	}
	app.signing.last.Store(&reloaded{time.Now(), keystore.ErrUnavailable}) // as if it had just failed
	r := httptest.NewRequest("GET", "/dep1/api", nil)
	r.Header = bearer(raw)
	expectError(t, serve(t, newAuth(app, nil), r), 503, codeUnavailable, "try again")
	app.signing.last.Store(nil)
	expectError(t, app.get(t, "/dep1/api", raw), 401, codeInvalidToken, "not a valid access token")
}

// The same when the node does not hear of changes at all: it asks, as for everything else.
func TestReplacedSigningKeysAreNotTrustedUnheard(t *testing.T) {
	t.Parallel()
	app := newTestApp(t, nil)
	raw := app.token(t, app.key)
	n := app.node.Load()
	deaf := &node{store: n.store, keys: keystore.New(n.store, readMaster(t, app)), uses: n.uses}
	deaf.view = keystore.NewView(deaf.keys, keystore.ViewOptions{})
	deaf.view.Close() // it follows nothing any more
	app.node.Store(deaf)
	t.Cleanup(func() { app.node.Store(n) })
	app.maxStaleness, app.signing.maxStaleness = time.Nanosecond, time.Nanosecond
	if w := app.get(t, "/dep1/api", raw); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if _, err := keystore.New(n.store, readMaster(t, app)).ReplaceSigningKeys(t.Context(), keystore.Caller{}, app.signing.policy); err != nil {
		t.Fatal(err)
	}
	expectError(t, app.get(t, "/dep1/api", raw), 401, codeInvalidToken, "not a valid access token")
}

func readMaster(t *testing.T, app *testApp) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(app.place.directory, secretFile))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.TrimSpace(string(content)))
}
