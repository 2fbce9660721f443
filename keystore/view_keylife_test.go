package keystore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// What is remembered of a key are times, so it ends in time without being read again; and a change of
// them on another node is heard of.
func TestViewEndsRememberedKeysInTime(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, first := k.key()
	authenticate := func(secret string) error {
		_, _, err := k.Authenticate(k.ctx(), key.ID, secret, maxAge)
		return err
	}
	want := func(what, secret string, want error) {
		t.Helper()
		if err := authenticate(secret); (want == nil) != (err == nil) || !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
	_, made, err := k.other.RotateKey(k.ctx(), by, "dep1", key.ID, keystore.KeyRotation{Overlap: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	k.caughtUp()
	second := made.Reveal()
	want("the new secret", second, nil)
	k.wantReads(0, func() {
		storetest.Poll(t, 10*time.Second, "the previous secret to end", func() bool { return authenticate(first) != nil })
		want("the old secret", first, keystore.ErrCredentials)
		want("the new secret", second, nil)
	})

	expire := func(at time.Time) {
		t.Helper()
		if _, err := k.other.UpdateKey(k.ctx(), by, "dep1", key.ID, func(key *keystore.Key) error {
			key.ExpiresAt = at
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		k.caughtUp()
	}
	expire(time.Now().Add(2 * time.Second))
	_ = authenticate(second) // it is remembered now
	k.wantReads(0, func() {
		storetest.Poll(t, 10*time.Second, "the key to expire", func() bool { return errors.Is(authenticate(second), keystore.ErrExpired) })
	})
	expire(time.Now().Add(time.Hour))
	want("after it was moved", second, nil)

	if _, _, err := k.other.RotateKey(k.ctx(), by, "dep1", key.ID, keystore.KeyRotation{Overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	k.caughtUp()
	want("in the overlap", second, nil)
	ok(t, k.other.EndPreviousSecret(k.ctx(), by, "dep1", key.ID))
	k.caughtUp()
	want("after its early end", second, keystore.ErrCredentials)
}
