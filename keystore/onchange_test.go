package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// refusing is a store that fails changes when it is told to.
type refusing struct {
	keystore.Store
	err error
}

func (r *refusing) Apply(ctx context.Context, change keystore.Change) error {
	if r.err != nil {
		return r.err
	}
	return r.Store.Apply(ctx, change)
}

// The hook gets exactly what the change log has, whichever call made the change.
func TestOnChangeGetsEveryChangeOfTheLog(t *testing.T) {
	t.Parallel()
	store := &refusing{Store: openStore(t)}
	var got []keystore.Event
	k := keystore.New(store, master)
	k.OnChange(func(change keystore.Event) { got = append(got, change) })
	ctx, carol := t.Context(), keystore.Caller{Name: "carol", Address: "192.0.2.3", Via: keystore.ViaConsole}
	newKey := func(name string) string {
		key, _ := must2(k.CreateKey(ctx, carol, keystore.Key{DeploymentID: "dep1", Name: name}))
		return key.ID
	}
	hour := time.Now().Add(time.Hour)

	must(k.CreateDeployment(ctx, carol, keystore.Deployment{ID: "dep1", Name: "x"}))
	must(k.UpdateDeployment(ctx, carol, "dep1", func(d *keystore.Deployment) error { d.Name = "y"; return nil }))
	key, expired := newKey("k"), newKey("expired")
	must(k.UpdateKey(ctx, carol, "dep1", expired, func(key *keystore.Key) error { key.ExpiresAt = hour.Add(-2 * time.Hour); return nil }))
	must2(k.PurgeExpiredKeys(ctx, time.Minute, ""))
	must2(k.RotateKey(ctx, carol, "dep1", key, keystore.KeyRotation{Overlap: time.Hour}))
	ok(t, k.EndPreviousSecret(ctx, carol, "dep1", key))
	ok(t, k.RevokeToken(ctx, carol, keystore.RevokedToken{ID: "t1", KeyID: key, ExpiresAt: hour}))
	ok(t, k.RevokeToken(ctx, carol, keystore.RevokedToken{ID: "t2", User: "bob", ExpiresAt: hour}))
	ok(t, k.RevokeKeyTokens(ctx, carol, "dep1", key))
	ok(t, k.RevokeDeploymentTokens(ctx, carol, "dep1"))
	ok(t, k.RevokeAllTokens(ctx, carol))
	must(k.PutMember(ctx, carol, "dep1", "bob", keystore.RoleViewer))
	ok(t, k.DeleteMember(ctx, carol, "dep1", "bob"))
	policy := newNode(t).policy
	must(k.MaintainSigningKeys(ctx, policy))
	must(k.RotateSigningKey(ctx, carol, policy))
	must(k.ReplaceSigningKeys(ctx, carol, policy))
	ok(t, k.DeleteKey(ctx, carol, "dep1", key))
	ok(t, k.DeleteDeployment(ctx, carol, "dep1"))
	ok(t, k.ChangeMaster(ctx, carol, append([]byte("new "), master...)))

	// What fails, or changes nothing, is no change.
	before := len(got)
	if _, _, err := k.CreateKey(ctx, carol, keystore.Key{DeploymentID: "dep1", Name: "of no Deployment"}); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("a key of no Deployment: %v", err)
	}
	store.err = fmt.Errorf("%w: no answer", keystore.ErrUnavailable)
	if err := k.RevokeAllTokens(ctx, carol); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("a store that fails: %v", err)
	}
	if store.err = nil; len(got) != before {
		t.Errorf("called for changes that were not made: %+v", got[before:])
	}

	var logged, called []string
	kinds := make(map[keystore.EventKind]bool)
	for _, entry := range must(store.Log(ctx, 0, 1_000)) {
		event := must(keystore.DecodeEvent(entry.Event))
		logged, kinds[event.Kind] = append(logged, fmt.Sprint(event)), true
	}
	for _, change := range got {
		called = append(called, fmt.Sprint(change))
	}
	failIf(t, !slices.Equal(called, logged), "called with\n%q\nand the log has\n%q", called, logged)
	failIf(t, len(kinds) < 18, "this test makes only %d kinds of change", len(kinds))
}

// A view forgets what the change made untrue before the hook is called, so nobody who acts on it reads the old.
func TestOnChangeComesAfterTheView(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, _ := k.key()
	k.wantKey(key.ID, nil)
	called := false
	k.own.OnChange(func(keystore.Event) {
		called = true
		k.wantKey(key.ID, keystore.ErrNotFound)
	})
	if err := k.own.DeleteKey(t.Context(), by, "dep1", key.ID); err != nil || !called {
		t.Errorf("deleting: %v; the hook was called: %t", err, called)
	}
}
