package admin

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
)

// A countedStore counts what is asked of a store.
type countedStore struct {
	keystore.Store
	read    atomic.Int64 // records, and members of indexes
	changes atomic.Int64 // that were made
}

func (s *countedStore) Get(ctx context.Context, names ...string) ([][]byte, error) {
	s.read.Add(int64(len(names)))
	return s.Store.Get(ctx, names...)
}

func (s *countedStore) Members(ctx context.Context, index, after string, limit int) ([]string, error) {
	members, err := s.Store.Members(ctx, index, after, limit)
	s.read.Add(int64(len(members)))
	return members, err
}

func (s *countedStore) Apply(ctx context.Context, change keystore.Change) error {
	err := s.Store.Apply(ctx, change)
	if err == nil {
		s.changes.Add(1)
	}
	return err
}

// newCountedStore is an embedded store of its own, and a keystore on it.
func newCountedStore(f *testing.F) (*countedStore, *keystore.Keystore) {
	f.Helper()
	// A machine that runs many fuzzers writes slowly.
	store, err := boltstore.Open(filepath.Join(f.TempDir(), "keys.db"), boltstore.Options{Timeout: time.Minute})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	counted := &countedStore{Store: store}
	return counted, keystore.New(counted, []byte(strings.Repeat("k", 32)))
}

var fuzzCaller = keystore.Caller{Name: "anna", Address: "192.0.2.9"}

// apiOn is an API on a keystore, for administrators, or for one subject.
func apiOn(keys *keystore.Keystore, subject *Subject) http.Handler {
	api := &API{
		Keystore: func() (*keystore.Keystore, error) { return keys, nil },
		Caller:   func(*http.Request) keystore.Caller { return fuzzCaller },
		Logger:   zap.NewNop(),
	}
	withTokens(explainingTokens{new(fakeTokens)})(api)
	if subject != nil {
		api.Subject = func(*http.Request) Subject { return *subject }
	}
	return api.Handler()
}
