package boltstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// TestStalledWriter holds up the writer, as a disk that does not answer does. A change then ends
// at its deadline, whether it waits for its turn or is in the middle of its transaction, reads go
// on, and the store works when the disk does.
func TestStalledWriter(t *testing.T) {
	t.Parallel()
	store := storetest.Must(Open(filepath.Join(t.TempDir(), "store.db"), Options{Timeout: 100 * time.Millisecond}))
	apply := func(name string) error {
		value := []byte("value")
		// A caller may reuse its bytes when Apply has returned, also where the change goes on.
		defer copy(value, "xxxxx")
		return store.Apply(t.Context(), keystore.Change{
			Steps: []keystore.Step{{Kind: keystore.PutRecord, Name: name, Value: value}},
		})
	}
	stall := storetest.Must(store.db.Begin(true))
	start := time.Now()
	wantDeadline(t, "the first change, in its transaction", apply("first"), start)
	start = time.Now()
	wantDeadline(t, "the second change, behind it", apply("second"), start)
	if _, err := store.Get(t.Context(), "first"); err != nil {
		t.Errorf("Get: %v", err)
	}

	// A caller with a later deadline waits for as long as it wants to.
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	start = time.Now()
	err := store.Apply(ctx, keystore.Change{Event: []byte("event")})
	wantDeadline(t, "the third change", err, start)
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("the third change gave up after %v", took)
	}

	storetest.OK(t, stall.Rollback())
	// The first change is made after all, and nothing of the second.
	store.turn <- struct{}{}
	<-store.turn
	values, err := store.Get(t.Context(), "first", "second")
	storetest.FailIf(t, err != nil || string(values[0]) != "value" || values[1] != nil, "Get = %q, %v", values, err)
	if err := store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func wantDeadline(t *testing.T, what string, err error, since time.Time) {
	t.Helper()
	storetest.FailIf(t, !errors.Is(err, keystore.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded), "%s: %v, want a deadline", what, err)
	if took := time.Since(since); took > 5*time.Second {
		t.Errorf("%s took %v", what, took)
	}
}

// TestReadsKeepTheirDeadline stalls one read, as a page that the disk does not give does. A write that has to
// map a larger file waits for it, with a lock for which all later reads wait.
func TestReadsKeepTheirDeadline(t *testing.T) {
	t.Parallel()
	store := storetest.Must(Open(filepath.Join(t.TempDir(), "store.db"), Options{Timeout: 100 * time.Millisecond}))
	stalled := storetest.Must(store.db.Begin(false))
	large := keystore.Change{Steps: []keystore.Step{{Kind: keystore.PutRecord, Name: "large", Value: make([]byte, 1<<20)}}}
	start := time.Now()
	wantDeadline(t, "the write", store.Apply(t.Context(), large), start)
	for name, read := range map[string]func(context.Context) error{
		"Get":     func(ctx context.Context) error { _, err := store.Get(ctx, "x"); return err },
		"Members": func(ctx context.Context) error { _, err := store.Members(ctx, "x", "", 1); return err },
		"Sizes":   func(ctx context.Context) error { _, err := store.Sizes(ctx, "x"); return err },
		"Log":     func(ctx context.Context) error { _, err := store.Log(ctx, 0, 1); return err },
		"Head":    func(ctx context.Context) error { _, err := store.Head(ctx); return err },
		"Next": func(ctx context.Context) error {
			_, _, err := store.Next(ctx, keystore.Position{}, time.Minute)
			return err
		},
	} {
		start := time.Now()
		wantDeadline(t, name, read(t.Context()), start)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := read(ctx); !errors.Is(err, keystore.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s, given up: %v", name, err)
		}
	}
	storetest.OK(t, stalled.Rollback())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := store.Get(ctx, "x"); err != nil {
		t.Errorf("when the disk answers again: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// A disk that does not answer does not keep a gateway from ending.
func TestCloseDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "store.db")
		store := storetest.Must(Open(path, Options{}))
		goOn := make(chan struct{})
		start := time.Now()
		wantDeadline(t, "the read", store.view(t.Context(), func(*bolt.Tx) error { <-goOn; return nil }), start)
		if err := store.Close(); !errors.Is(err, keystore.ErrUnavailable) || time.Since(start) > 2*closeTimeout {
			t.Errorf("Close: %v after %s", err, time.Since(start))
		}
		if _, err := store.Get(t.Context(), "x"); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Get of a closed store: %v", err)
		}
		if _, err := Open(path, Options{}); err == nil {
			t.Error("the file is free while a call of it has not ended")
		}
		close(goOn)
		if err := store.Close(); err != nil {
			t.Errorf("Close, when the disk answers: %v", err)
		}
		again := storetest.Must(Open(path, Options{}))
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}
