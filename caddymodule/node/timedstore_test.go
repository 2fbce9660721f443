package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
)

// fakeHead is the number of the newest entry of a fakeLog.
const fakeHead = 7

// A fakeLog is a real store whose change log, and whether it can be asked, is up to the test.
type fakeLog struct {
	keystore.Store
	fail   atomic.Bool // nothing can be asked
	silent atomic.Bool // the change log cannot be asked
}

var errFake = fmt.Errorf("%w: the test says so", keystore.ErrUnavailable)

func newFakeLog(t testing.TB) *fakeLog {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), storeFile), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &fakeLog{Store: store}
}

func (s *fakeLog) Get(ctx context.Context, names ...string) ([][]byte, error) {
	if s.fail.Load() {
		return nil, errFake
	}
	return s.Store.Get(ctx, names...)
}

func (s *fakeLog) Apply(ctx context.Context, change keystore.Change) error {
	if s.fail.Load() {
		return errFake
	}
	return s.Store.Apply(ctx, change)
}

func (s *fakeLog) Head(context.Context) (keystore.Position, error) {
	if s.fail.Load() || s.silent.Load() {
		return keystore.Position{}, errFake
	}
	return keystore.Position{Seq: fakeHead}, nil
}

func (s *fakeLog) Next(ctx context.Context, after keystore.Position, _ time.Duration) ([]keystore.LogEntry, keystore.Position, error) {
	<-ctx.Done()
	return nil, after, errFake
}

// eventually waits for what another goroutine does.
func eventually(t testing.TB, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatal("it does not happen")
		}
	}
}

// A scriptedStore answers every call with the same error.
type scriptedStore struct{ err error }

func (s scriptedStore) Get(context.Context, ...string) ([][]byte, error) { return nil, s.err }
func (s scriptedStore) Members(context.Context, string, string, int) ([]string, error) {
	return nil, s.err
}
func (s scriptedStore) Sizes(context.Context, ...string) ([]int64, error) { return nil, s.err }
func (s scriptedStore) Apply(context.Context, keystore.Change) error      { return s.err }
func (s scriptedStore) Head(context.Context) (keystore.Position, error) {
	return keystore.Position{}, s.err
}
func (s scriptedStore) Close() error { return s.err }
func (s scriptedStore) Log(context.Context, uint64, int) ([]keystore.LogEntry, error) {
	return nil, s.err
}

func (s scriptedStore) Time(context.Context) (time.Time, error) { return time.Time{}, s.err }

func (s scriptedStore) Next(context.Context, keystore.Position, time.Duration) ([]keystore.LogEntry, keystore.Position, error) {
	return nil, keystore.Position{}, s.err
}

func TestStoreCallsAreCountedByOutcome(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	unavailable := fmt.Errorf("dialling: %w", keystore.ErrUnavailable)
	for name, test := range map[string]struct {
		ctx     context.Context
		err     error
		outcome storeOutcome
	}{
		"answered":                 {t.Context(), nil, outcomeOK},
		"answered to nobody":       {canceled, nil, outcomeOK},
		"a condition":              {t.Context(), &keystore.ConditionError{Index: 1}, outcomeRefused},
		"a gap":                    {t.Context(), fmt.Errorf("log: %w", keystore.ErrLogGap), outcomeRefused},
		"no answer":                {t.Context(), unavailable, outcomeUnavailable},
		"no answer in time":        {late, unavailable, outcomeUnavailable},
		"an error of another kind": {t.Context(), errors.New("?"), outcomeUnavailable},
		"nobody waits":             {canceled, unavailable, outcomeCanceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCollectors()
			store := timed(scriptedStore{test.err}, &c.store)
			_, e1 := store.Get(test.ctx, "a")
			_, e2 := store.Members(test.ctx, "a", "", 1)
			_, e3 := store.Sizes(test.ctx, "a")
			e4 := store.Apply(test.ctx, keystore.Change{})
			_, e5 := store.Log(test.ctx, 0, 1)
			_, e6 := store.Head(test.ctx)
			_, _, e7 := store.Next(test.ctx, keystore.Position{}, 0)
			_, e8 := store.Time(test.ctx)
			for i, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8, store.Close()} {
				if err != test.err { //nolint:errorlint // the very same
					t.Errorf("call %d: %v, want %v", i, err, test.err)
				}
			}
			s := scrapeOf(t, c)
			for _, operation := range operationNames {
				for outcome, name := range storeOutcomeNames {
					want := 0.0
					if storeOutcome(outcome) == test.outcome {
						want = 1
					}
					if got := s.Get(t, fmt.Sprintf("store_calls_total{operation=%q,outcome=%q}", operation, name)); got != want {
						t.Errorf("%s %s: %v, want %v", operation, name, got, want)
					}
				}
				series := fmt.Sprintf("store_call_duration_seconds{operation=%q}", operation)
				if operation == "next" {
					if _, ok := s[series]; ok {
						t.Error("the wait for news is in the histogram")
					}
					continue
				}
				if got := s.Get(t, series); got != 1 {
					t.Errorf("%s: %v durations, want 1", operation, got)
				}
			}
		})
	}
}
