package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/deploymentkeys/gateway/keystore"
)

// trimBatch bounds how many log entries one change removes: one, in the long run. More are due
// only after the bound was lowered, and then no single change has to pay for all of them.
const trimBatch = 100

// Apply implements [keystore.Store]. It returns when the change is synced to the disk. A change
// that is not through at the deadline is not given up by the disk: it may still be made.
func (s *Store) Apply(ctx context.Context, change keystore.Change) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.begin(ctx); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		s.calls.Done()
		return s.unavailable(ctx.Err())
	}
	// A transaction that is left behind still reads the change, so it gets a copy of what the caller may reuse.
	change = clone(change)
	return s.wait(ctx, func() error {
		defer func() { <-s.turn }()
		return s.update(change)
	})
}

// update makes a change in one transaction.
func (s *Store) update(change keystore.Change) (err error) {
	if s.broken.Load() {
		return s.unavailable(errDamaged)
	}
	defer s.contain(&err)
	defer faultsPanic()()
	err = s.db.Update(func(tx *bolt.Tx) error {
		for i, condition := range change.Conditions {
			if !holds(tx, condition) {
				return &keystore.ConditionError{Index: i}
			}
		}
		for _, step := range change.Steps {
			if err := do(tx, step); err != nil {
				return err
			}
		}
		if len(change.Event) == 0 {
			return nil
		}
		return s.appendLog(tx, change.Event)
	})
	var failed *keystore.ConditionError
	switch {
	case err == nil:
		if len(change.Event) > 0 {
			s.wake()
		}
		return nil
	case errors.As(err, &failed):
		return err
	}
	return s.unavailable(err)
}

// holds says whether a condition is met.
func holds(tx *bolt.Tx, c keystore.Condition) bool {
	switch c.Kind {
	case keystore.RecordAbsent:
		return tx.Bucket(bucketRecords).Get([]byte(c.Name)) == nil
	case keystore.RecordEquals:
		value := tx.Bucket(bucketRecords).Get([]byte(c.Name))
		return value != nil && bytes.Equal(value, c.Value)
	case keystore.RecordExists:
		return tx.Bucket(bucketRecords).Get([]byte(c.Name)) != nil
	case keystore.IsMember:
		return isMember(tx, memberKey(c.Name, c.Member))
	case keystore.SizeBelow:
		return size(tx, c.Name) < c.Limit
	}
	return false
}

// do makes one step.
func do(tx *bolt.Tx, step keystore.Step) error {
	switch step.Kind {
	case keystore.PutRecord:
		return tx.Bucket(bucketRecords).Put([]byte(step.Name), step.Value)
	case keystore.DeleteRecord:
		return tx.Bucket(bucketRecords).Delete([]byte(step.Name))
	case keystore.AddMember:
		key := memberKey(step.Name, step.Member)
		if isMember(tx, key) {
			return nil
		}
		if err := tx.Bucket(bucketMembers).Put(key, []byte{}); err != nil {
			return err
		}
		return setSize(tx, step.Name, size(tx, step.Name)+1)
	case keystore.RemoveMember:
		return removeMember(tx, step.Name, step.Member)
	case keystore.DropIndex:
		return dropIndex(tx, step.Name, step.Prefix)
	case keystore.RemoveFromEach:
		for _, member := range members(tx, step.Name) {
			if err := removeMember(tx, step.Prefix+member, step.Member); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("step of unknown kind %d", step.Kind)
}

// isMember looks for a member. The key itself is compared, not its value: an empty one may be
// nil until it is written.
func isMember(tx *bolt.Tx, key []byte) bool {
	found, _ := tx.Bucket(bucketMembers).Cursor().Seek(key)
	return bytes.Equal(found, key)
}

func removeMember(tx *bolt.Tx, index, member string) error {
	key := memberKey(index, member)
	if !isMember(tx, key) {
		return nil
	}
	if err := tx.Bucket(bucketMembers).Delete(key); err != nil {
		return err
	}
	return setSize(tx, index, size(tx, index)-1)
}

// members are those of an index. They are read before the first is deleted, since a cursor is not to be
// trusted while the bucket under it changes.
func members(tx *bolt.Tx, index string) []string {
	var found []string
	prefix := memberKey(index, "")
	cursor := tx.Bucket(bucketMembers).Cursor()
	for key, _ := cursor.Seek(prefix); hasPrefix(key, prefix); key, _ = cursor.Next() {
		found = append(found, string(key[len(prefix):]))
	}
	return found
}

// dropIndex removes an index and the records that it lists.
func dropIndex(tx *bolt.Tx, index, recordPrefix string) error {
	bucket, records := tx.Bucket(bucketMembers), tx.Bucket(bucketRecords)
	for _, member := range members(tx, index) {
		if err := bucket.Delete(memberKey(index, member)); err != nil {
			return err
		}
		if err := records.Delete([]byte(recordPrefix + member)); err != nil {
			return err
		}
	}
	return setSize(tx, index, 0)
}

// appendLog gives an event the next number, and removes what is older than the log's bound. The
// number is the bucket's sequence, which outlives the entries.
func (s *Store) appendLog(tx *bolt.Tx, event []byte) error {
	log := tx.Bucket(bucketLog)
	log.FillPercent = 1 // keys only come at the end, so there is nothing to leave room for
	seq, err := log.NextSequence()
	if err != nil {
		return err
	}
	if err := log.Put(sequenceKey(seq), event); err != nil {
		return err
	}
	var old [][]byte
	cursor := log.Cursor()
	for key, _ := cursor.First(); key != nil && len(old) < trimBatch; key, _ = cursor.Next() {
		if binary.BigEndian.Uint64(key)+s.keep > seq {
			break
		}
		old = append(old, bytes.Clone(key))
	}
	for _, key := range old {
		if err := log.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// clone copies a change with all the bytes in it.
func clone(change keystore.Change) keystore.Change {
	change.Conditions = slices.Clone(change.Conditions)
	for i := range change.Conditions {
		change.Conditions[i].Value = bytes.Clone(change.Conditions[i].Value)
	}
	change.Steps = slices.Clone(change.Steps)
	for i := range change.Steps {
		// Not nil where it is empty: an empty record is there.
		change.Steps[i].Value = append([]byte{}, change.Steps[i].Value...)
	}
	change.Event = bytes.Clone(change.Event)
	return change
}
