package boltstore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// TestGaps has followers that come back to a log that was trimmed, and to the file of another
// time.
func TestGaps(t *testing.T) {
	t.Parallel()
	store := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{Timeout: patient, MaxLogEntries: 5})
	for i := 1; i <= 12; i++ { // 8 to 12 are kept
		apply(t, store, keystore.Change{Event: fmt.Appendf(nil, "e%d", i)})
	}
	for _, tt := range []struct {
		after   uint64
		entries int
		says    string // "": no gap
	}{
		{0, 0, "entries 1 to 7 are gone"},
		{6, 0, "entries 7 to 7 are gone"},
		{7, 5, ""},
		{11, 1, ""},
		{12, 0, ""},
		{13, 0, "goes back from 13 to 12"},
	} {
		entries, at, err := store.Next(t.Context(), keystore.Position{Seq: tt.after}, 0)
		storetest.FailIf(t, len(entries) != tt.entries || at.Seq != tt.after+uint64(len(entries)), "Next(%d) has %d entries and leads to %v", tt.after, len(entries), at)
		storetest.FailIf(t, tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, keystore.ErrLogGap) || !strings.Contains(err.Error(), tt.says)), "Next(%d): %v, want %q", tt.after, err, tt.says)
	}
}

// TestPositionAfterReopen goes on where it was when the file was closed.
func TestPositionAfterReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	first := open(t, path, boltstore.Options{Timeout: patient})
	apply(t, first, keystore.Change{Event: []byte("one")})
	at := storetest.Must(first.Head(t.Context()))
	storetest.OK(t, first.Close())
	second := open(t, path, boltstore.Options{Timeout: patient})
	if again, err := second.Head(t.Context()); err != nil || again != at {
		t.Errorf("Head = %v, %v, want %v", again, err, at)
	}
	apply(t, second, keystore.Change{Event: []byte("two")})
	entries, to, err := second.Next(t.Context(), at, time.Second)
	storetest.FailIf(t, err != nil || len(entries) != 1 || string(entries[0].Event) != "two" || to.Seq != 2, "Next = %v, %v, %v", entries, to, err)
}
