package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
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
	opened, err := boltstore.Open(t.TempDir()+"/keys.db", boltstore.Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	store := &refusing{Store: opened}
	var got []keystore.Event
	k := keystore.New(store, master)
	k.OnChange(func(change keystore.Event) { got = append(got, change) })
	t.Cleanup(func() { _ = k.Close() })
	ctx, carol := t.Context(), keystore.Caller{Name: "carol", Address: "192.0.2.3", Via: keystore.ViaConsole}
	done := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	newKey := func(name string) keystore.Key {
		t.Helper()
		key, _, err := k.CreateKey(ctx, carol, keystore.Key{DeploymentID: "dep1", Name: name})
		done(err)
		return key
	}

	_, err = k.CreateDeployment(ctx, carol, keystore.Deployment{ID: "dep1", Name: "x"})
	done(err)
	_, err = k.UpdateDeployment(ctx, carol, "dep1", func(d *keystore.Deployment) error { d.Name = "y"; return nil })
	done(err)
	key, expired := newKey("k"), newKey("expired")
	_, err = k.UpdateKey(ctx, carol, "dep1", expired.ID, func(key *keystore.Key) error { key.ExpiresAt = time.Now().Add(-time.Hour); return nil })
	done(err)
	_, _, err = k.PurgeExpiredKeys(ctx, time.Minute, "")
	done(err)
	_, _, err = k.RotateKey(ctx, carol, "dep1", key.ID, keystore.KeyRotation{Overlap: time.Hour})
	done(err)
	done(k.EndPreviousSecret(ctx, carol, "dep1", key.ID))
	done(k.RevokeToken(ctx, carol, keystore.RevokedToken{ID: "t1", KeyID: key.ID, ExpiresAt: time.Now().Add(time.Hour)}))
	done(k.RevokeToken(ctx, carol, keystore.RevokedToken{ID: "t2", User: "bob", ExpiresAt: time.Now().Add(time.Hour)}))
	done(k.RevokeKeyTokens(ctx, carol, "dep1", key.ID))
	done(k.RevokeDeploymentTokens(ctx, carol, "dep1"))
	done(k.RevokeAllTokens(ctx, carol))
	_, err = k.PutMember(ctx, carol, "dep1", "bob", keystore.RoleViewer)
	done(err)
	done(k.DeleteMember(ctx, carol, "dep1", "bob"))
	policy := (&rotationKit{}).policy()
	_, err = k.MaintainSigningKeys(ctx, policy)
	done(err)
	_, err = k.RotateSigningKey(ctx, carol, policy)
	done(err)
	_, err = k.ReplaceSigningKeys(ctx, carol, policy)
	done(err)
	done(k.DeleteKey(ctx, carol, "dep1", key.ID))
	done(k.DeleteDeployment(ctx, carol, "dep1"))
	done(k.ChangeMaster(ctx, carol, append([]byte("new "), master...)))

	// What fails, or changes nothing, is no change.
	before := len(got)
	_, _, err = k.CreateKey(ctx, carol, keystore.Key{DeploymentID: "dep1", Name: "of no Deployment"})
	if !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("a key of no Deployment: %v", err)
	}
	store.err = fmt.Errorf("%w: no answer", keystore.ErrUnavailable)
	if err := k.RevokeAllTokens(ctx, carol); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("a store that fails: %v", err)
	}
	store.err = nil
	if len(got) != before {
		t.Errorf("called for changes that were not made: %+v", got[before:])
	}

	entries, err := store.Log(ctx, 0, 1_000)
	done(err)
	var logged []string
	kinds := make(map[keystore.EventKind]bool)
	for _, entry := range entries {
		event, err := keystore.DecodeEvent(entry.Event)
		done(err)
		logged = append(logged, fmt.Sprint(event))
		kinds[event.Kind] = true
	}
	var called []string
	for _, change := range got {
		called = append(called, fmt.Sprint(change))
	}
	if !slices.Equal(called, logged) {
		t.Errorf("called with\n%q\nand the log has\n%q", called, logged)
	}
	if len(kinds) < 18 {
		t.Errorf("this test makes only %d kinds of change", len(kinds))
	}
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
