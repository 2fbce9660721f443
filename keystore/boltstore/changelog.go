package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/deploymentkeys/gateway/keystore"
)

// One process has the file, and its log only grows while it has it. So a number alone says which
// entry is meant, and positions have no ID.

// Head implements [keystore.ChangeLog].
func (s *Store) Head(ctx context.Context) (keystore.Position, error) {
	var at keystore.Position
	err := s.view(ctx, func(tx *bolt.Tx) error {
		at.Seq = tx.Bucket(bucketLog).Sequence()
		return nil
	})
	if err != nil {
		return keystore.Position{}, err
	}
	return at, nil
}

// Next implements [keystore.ChangeLog]. It is woken by the Apply that appends an entry.
func (s *Store) Next(ctx context.Context, after keystore.Position, wait time.Duration) ([]keystore.LogEntry, keystore.Position, error) {
	if after.ID != "" {
		return nil, after, s.gap("position %d is of another store", after.Seq)
	}
	var late <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		late = timer.C
	}
	for {
		// Before the look, so that an entry that comes after it is not missed.
		appended := s.next()
		entries, err := s.entries(ctx, after.Seq)
		if err != nil {
			return nil, after, err
		}
		if len(entries) > 0 {
			return entries, keystore.Position{Seq: entries[len(entries)-1].Seq}, nil
		}
		if wait <= 0 {
			return nil, after, nil
		}
		select {
		case <-appended:
		case <-late:
			return nil, after, nil
		case <-ctx.Done():
			return nil, after, s.unavailable(ctx.Err())
		case <-s.closing:
			return nil, after, s.unavailable(os.ErrClosed)
		}
	}
}

// entries reads what comes right after a number.
func (s *Store) entries(ctx context.Context, after uint64) ([]keystore.LogEntry, error) {
	var entries []keystore.LogEntry
	var head uint64
	err := s.view(ctx, func(tx *bolt.Tx) error {
		log := tx.Bucket(bucketLog)
		head = log.Sequence()
		entries = logAfter(log, after, keystore.MaxNext)
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case head < after:
		return nil, s.gap("it goes back from %d to %d", after, head)
	case head == after:
		return nil, nil
	case len(entries) == 0:
		return nil, s.gap("it was trimmed: entries %d to %d are gone", after+1, head)
	}
	for i, entry := range entries {
		if want := after + 1 + uint64(i); entry.Seq != want {
			return nil, s.gap("it was trimmed: entries %d to %d are gone", want, entry.Seq-1)
		}
	}
	return entries, nil
}

// logAfter reads up to limit entries with a number greater than after.
func logAfter(log *bolt.Bucket, after uint64, limit int) []keystore.LogEntry {
	if after+1 == 0 { // nothing comes after the greatest number
		return nil
	}
	var entries []keystore.LogEntry
	cursor := log.Cursor()
	for key, event := cursor.Seek(sequenceKey(after + 1)); key != nil && len(entries) < limit; key, event = cursor.Next() {
		entries = append(entries, keystore.LogEntry{
			Seq:   binary.BigEndian.Uint64(key),
			Event: append([]byte{}, event...),
		})
	}
	return entries
}

// next is a channel that is closed when the log has an entry that it has not now.
func (s *Store) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appended
}

// wake ends the wait of all who have called next.
func (s *Store) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.appended)
	s.appended = make(chan struct{})
}

// gap is an error that says how the log does not go on.
func (s *Store) gap(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", keystore.ErrLogGap, s.path, fmt.Sprintf(format, args...))
}
