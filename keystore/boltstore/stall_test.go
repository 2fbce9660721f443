package boltstore

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// TestStalledWriter holds up the writer, as a disk that does not answer does. A change then ends
// at its deadline, whether it waits for its turn or is in the middle of its transaction, reads go
// on, and the store works when the disk does.
func TestStalledWriter(t *testing.T) {
	t.Parallel()
	store, err := Open(filepath.Join(t.TempDir(), "store.db"), Options{Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	apply := func(name string) error {
		value := []byte("value")
		// A caller may reuse its bytes when Apply has returned, also where the change goes on.
		defer copy(value, "xxxxx")
		return store.Apply(t.Context(), keystore.Change{
			Steps: []keystore.Step{{Kind: keystore.PutRecord, Name: name, Value: value}},
		})
	}
	wantDeadline := func(what string, err error, since time.Time) {
		t.Helper()
		if !errors.Is(err, keystore.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want a deadline", what, err)
		}
		if took := time.Since(since); took > 5*time.Second {
			t.Errorf("%s took %v", what, took)
		}
	}

	stall, err := store.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	wantDeadline("the first change, in its transaction", apply("first"), start)
	start = time.Now()
	wantDeadline("the second change, behind it", apply("second"), start)
	if _, err := store.Get(t.Context(), "first"); err != nil {
		t.Errorf("Get: %v", err)
	}

	// A caller with a later deadline waits for as long as it wants to.
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	start = time.Now()
	err = store.Apply(ctx, keystore.Change{Event: []byte("event")})
	wantDeadline("the third change", err, start)
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("the third change gave up after %v", took)
	}

	closed := make(chan error, 1)
	if err := stall.Rollback(); err != nil {
		t.Fatal(err)
	}
	// The first change is made after all, and nothing of the second.
	store.turn <- struct{}{}
	<-store.turn
	values, err := store.Get(t.Context(), "first", "second")
	if err != nil || string(values[0]) != "value" || values[1] != nil {
		t.Errorf("Get = %q, %v", values, err)
	}
	go func() { closed <- store.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Errorf("Close: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("Close does not return")
	}
}
