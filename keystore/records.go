package keystore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// This file is how a value becomes a record of the store, and how records are read, changed and
// listed. It knows nothing of what the values mean.

// timestamp is the time that a record keeps: UTC, whole seconds, as RFC 3339 shows it.
func (k *Keystore) timestamp() time.Time { return k.now().UTC().Truncate(time.Second) }

func encodeRecord(v *vault, name string, value any) ([]byte, error) {
	content, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("record %q: %w", name, err)
	}
	return v.sealRecord(name, content), nil
}

func decodeRecord[T any](v *vault, name string, record []byte) (T, error) {
	var value T
	content, err := v.openRecord(name, record)
	if err != nil {
		return value, err
	}
	if err := json.Unmarshal(content, &value); err != nil {
		return value, fmt.Errorf("record %q: %w", name, err)
	}
	return value, nil
}

// getRecord reads one record; without it, the error is absent. It returns the raw bytes too,
// for a change on the condition that they are still the same.
func getRecord[T any](ctx context.Context, k *Keystore, v *vault, name string, absent error) (T, []byte, error) {
	var value T
	records, err := k.store.Get(ctx, name)
	if err != nil {
		return value, nil, err
	}
	if records[0] == nil {
		return value, nil, absent
	}
	value, err = decodeRecord[T](v, name, records[0])
	return value, records[0], err
}

// unchanged is the condition that a record is still what was read; nil is no record.
func unchanged(name string, before []byte) Condition {
	if before == nil {
		return Condition{Kind: RecordAbsent, Name: name}
	}
	return Condition{Kind: RecordEquals, Name: name, Value: before}
}

// mostTries bounds how often a change that others overtook is tried again.
const mostTries = 16

// retry calls try until nobody has changed a record between its read and its write.
func retry(name string, try func() error) error {
	for range mostTries {
		if err := try(); failedCondition(err) < 0 {
			return err
		}
	}
	return fmt.Errorf("%w: record %q is being changed by too many at once", ErrUnavailable, name)
}

// failedCondition is the number of the condition that kept a change from being made, or -1.
func failedCondition(err error) int {
	var failed *ConditionError
	if errors.As(err, &failed) {
		return failed.Index
	}
	return -1
}

// update reads a record, lets edit change the value, and writes it if nobody else has changed
// the record meanwhile; otherwise it begins again. An edit that changes nothing writes nothing
// and leaves no event. It may add to the event what it has set, and returns the steps that are to be made
// together with the write.
func update[T any](ctx context.Context, k *Keystore, v *vault, by Caller, name string, absent error, event Event, edit func(*T, *Event) ([]Step, error)) (T, error) {
	var value T
	err := retry(name, func() error {
		var before []byte
		var err error
		value, before, err = getRecord[T](ctx, k, v, name, absent)
		if err != nil {
			return err
		}
		told := event // each try tells anew what it has set
		further, err := edit(&value, &told)
		if err != nil {
			return err
		}
		after, err := encodeRecord(v, name, value)
		if err != nil || bytes.Equal(before, after) {
			return err
		}
		return k.apply(ctx, v, Change{
			Conditions: []Condition{{Kind: RecordEquals, Name: name, Value: before}},
			Steps:      append([]Step{{Kind: PutRecord, Name: name, Value: after}}, further...),
		}, by, told)
	})
	return value, err
}

// readPage reads a page of an index, and after which of its members the next one begins.
func (k *Keystore) readPage(ctx context.Context, index string, page Page) (members []string, next string, err error) {
	if page.Limit < 1 || page.Limit > MaxPage {
		return nil, "", invalid("limit %d: use 1 to %d", page.Limit, MaxPage)
	}
	// One more than asked for tells whether there is a next page.
	members, err = k.store.Members(ctx, index, page.After, page.Limit+1)
	if err != nil || len(members) <= page.Limit {
		return members, "", err
	}
	return members[:page.Limit], members[page.Limit-1], nil
}

// listRecords reads a page of an index, and the record of each member.
func listRecords[T any](ctx context.Context, k *Keystore, v *vault, index string, record func(member string) string, page Page) (List[T], error) {
	members, next, err := k.readPage(ctx, index, page)
	if err != nil {
		return List[T]{}, err
	}
	list := List[T]{Next: next}
	names := make([]string, len(members))
	for i, member := range members {
		names[i] = record(member)
	}
	records, err := k.store.Get(ctx, names...)
	if err != nil {
		return List[T]{}, err
	}
	for i, raw := range records {
		if raw == nil {
			continue // deleted since the index was read
		}
		value, err := decodeRecord[T](v, names[i], raw)
		if err != nil {
			list.Altered = append(list.Altered, names[i])
			continue
		}
		list.Items = append(list.Items, value)
	}
	return list, nil
}
