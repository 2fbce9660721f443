// Package boltstore keeps a [keystore.Store] in one bbolt file, for a gateway of one node. It
// knows buckets and files; it must not know what the names and bytes in them mean.
//
// The file is a B+tree that is locked while it is open: one process at a time. Each change is one
// transaction that is synced to the disk before Apply returns, so that neither a crash of the
// process nor of the machine loses what was answered or leaves half of it.
package boltstore

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/deploymentkeys/gateway/keystore"
)

// Options are the settings of a [Store]. The zero value is good.
type Options struct {
	// Timeout bounds a single call whose context has no deadline. Default: [keystore.DefaultTimeout].
	Timeout time.Duration

	// MaxLogEntries is how many entries of the change log are kept. Default:
	// [keystore.MaxLogEntries].
	MaxLogEntries int
}

// A Store is a [keystore.Store] in one file. Make one with [Open].
//
// Reads go on beside a write and see the file as it was before. Writes go one at a time. Neither a disk nor
// bbolt's locks can be interrupted, so each transaction has a goroutine of its own, and a call that waits for
// one gives up at its deadline.
type Store struct {
	path    string
	file    *os.File
	db      *bolt.DB
	timeout time.Duration
	keep    uint64

	// turn holds one token, for the one writer. It stands in front of bbolt's own lock, which
	// cannot be given up waiting for.
	turn chan struct{}

	// broken is set when bbolt panicked on what it found in the file. Its locks may then be held
	// for ever, so nothing asks it again.
	broken atomic.Bool

	mu       sync.Mutex
	closed   bool
	closing  chan struct{} // closed when closed is set
	appended chan struct{} // closed, and replaced, when the log has a new entry
	calls    sync.WaitGroup

	closeOnce sync.Once
	ended     chan struct{} // closed when the file is
	closeErr  error         // then
}

// Get implements [keystore.Store].
func (s *Store) Get(ctx context.Context, names ...string) ([][]byte, error) {
	values := make([][]byte, len(names))
	err := s.view(ctx, func(tx *bolt.Tx) error {
		records := tx.Bucket(bucketRecords)
		for i, name := range names {
			// What bbolt returns lives as long as the transaction only. An empty record must
			// not become nil, which means that there is none.
			if value := records.Get([]byte(name)); value != nil {
				values[i] = append([]byte{}, value...)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

// Members implements [keystore.Store].
func (s *Store) Members(ctx context.Context, index, after string, limit int) ([]string, error) {
	var members []string
	err := s.view(ctx, func(tx *bolt.Tx) error {
		prefix := memberKey(index, "")
		from := memberKey(index, after)
		cursor := tx.Bucket(bucketMembers).Cursor()
		for key, _ := cursor.Seek(from); len(members) < limit && hasPrefix(key, prefix); key, _ = cursor.Next() {
			if len(key) > len(from) || string(key) != string(from) {
				members = append(members, string(key[len(prefix):]))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return members, nil
}

// Sizes implements [keystore.Store].
func (s *Store) Sizes(ctx context.Context, indexes ...string) ([]int64, error) {
	sizes := make([]int64, len(indexes))
	err := s.view(ctx, func(tx *bolt.Tx) error {
		for i, index := range indexes {
			sizes[i] = size(tx, index)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sizes, nil
}

// Log implements [keystore.Store].
func (s *Store) Log(ctx context.Context, after uint64, limit int) ([]keystore.LogEntry, error) {
	var entries []keystore.LogEntry
	err := s.view(ctx, func(tx *bolt.Tx) error {
		entries = logAfter(tx.Bucket(bucketLog), after, limit)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Time implements [keystore.Store]: the file has one node, whose clock it is.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	if err := s.begin(ctx); err != nil {
		return time.Time{}, err
	}
	defer s.calls.Done()
	return time.Now().UTC(), nil
}

// closeTimeout bounds the wait of [Store.Close] for the calls that are under way.
const closeTimeout = keystore.ChangeTimeout

// Close implements [keystore.Store]. It waits for the calls that are under way, and releases the file for
// another process. Calls that only wait for an entry of the log end at once.
//
// Where a disk does not answer, Close gives up with an error. The file then stays locked until the disk
// answers or the process ends: a write that is still under way must not meet those of another process.
func (s *Store) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.closeOnce.Do(func() {
		go func() {
			defer close(s.ended)
			s.calls.Wait()
			if s.broken.Load() {
				s.closeErr = s.abandon()
				return
			}
			s.closeErr = s.db.Close()
		}()
	})
	late := time.NewTimer(closeTimeout)
	defer late.Stop()
	select {
	case <-s.ended:
		return s.closeErr
	case <-late.C:
		return s.unavailable(fmt.Errorf("it stays locked: a call of it has not ended within %s", closeTimeout))
	}
}

// begin counts a call, so that Close waits for it. Every successful begin needs one
// s.calls.Done.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return s.unavailable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.unavailable(os.ErrClosed)
	}
	s.calls.Add(1)
	return nil
}

// bounded gives a call a deadline, if it has none.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.timeout)
}

// view runs a read-only transaction. After an error it may still run: what it writes to is not to be read.
func (s *Store) view(ctx context.Context, read func(*bolt.Tx) error) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.wait(ctx, func() error { return s.read(read) })
}

// wait runs a transaction of a call that began, and ends the call with it.
func (s *Store) wait(ctx context.Context, run func() error) error {
	done := make(chan error, 1)
	go func() {
		defer s.calls.Done()
		done <- run()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return s.unavailable(ctx.Err())
	}
}

// read is the transaction of [Store.view].
func (s *Store) read(read func(*bolt.Tx) error) (err error) {
	if s.broken.Load() {
		return s.unavailable(errDamaged)
	}
	defer s.contain(&err)
	defer faultsPanic()()
	if err := s.db.View(read); err != nil {
		return s.unavailable(err)
	}
	return nil
}

// Interface guards.
var (
	_ keystore.Store     = (*Store)(nil)
	_ keystore.ChangeLog = (*Store)(nil)
)
