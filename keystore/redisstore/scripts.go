package redisstore

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
)

// The scripts go by their digest, and whole where Redis does not have them: at first, after a
// restart, after SCRIPT FLUSH. Redis says so before it runs anything.
var (
	//go:embed apply.lua
	applySource string
	applyScript = redis.NewScript(applySource)

	//go:embed log.lua
	logSource string
	logScript = redis.NewScript(logSource)
)

// Apply implements [keystore.Store]. Nothing repeats it on its own: a second run of a change whose
// first answer was lost would find its own conditions broken, or log the event twice.
func (s *Store) Apply(ctx context.Context, change keystore.Change) error {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	keys, args, err := s.encode(change)
	if err != nil {
		return s.unavailable(err)
	}
	result, err := applyScript.Run(ctx, s.client, keys, args...).Int64()
	if err != nil {
		return s.unavailable(err)
	}
	if result < 0 {
		return &keystore.ConditionError{Index: int(-result) - 1}
	}
	return nil
}

// Log implements [keystore.Store].
func (s *Store) Log(ctx context.Context, after uint64, limit int) ([]keystore.LogEntry, error) {
	if limit <= 0 {
		return nil, nil
	}
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	found, err := logScript.Run(ctx, s.client, []string{s.log()}, after, limit).StringSlice()
	if err != nil {
		return nil, s.unavailable(err)
	}
	entries := make([]keystore.LogEntry, 0, len(found)/2)
	for i := 0; i+1 < len(found); i += 2 {
		seq, err := strconv.ParseUint(found[i], 10, 64)
		if err != nil {
			return nil, s.unavailable(fmt.Errorf("an entry of the log has no number: %q", found[i]))
		}
		entries = append(entries, keystore.LogEntry{Seq: seq, Event: []byte(found[i+1])})
	}
	return entries, nil
}

// encode turns a change into the keys and arguments of apply.lua. Every part of a change has one
// key, one kind and one operand. Bytes go as they are.
func (s *Store) encode(change keystore.Change) (keys []string, args []any, err error) {
	parts := len(change.Conditions) + len(change.Steps)
	keys = append(make([]string, 0, 2+parts), s.log(), s.counter())
	args = append(make([]any, 0, 3+2*parts), change.Event, s.keep, len(change.Conditions))
	add := func(key, kind string, operand any) {
		keys = append(keys, key)
		args = append(args, kind, operand)
	}
	for _, c := range change.Conditions {
		switch c.Kind {
		case keystore.RecordAbsent:
			add(s.record(c.Name), "absent", "")
		case keystore.RecordEquals:
			add(s.record(c.Name), "equals", c.Value)
		case keystore.RecordExists:
			add(s.record(c.Name), "exists", "")
		case keystore.IsMember:
			add(s.index(c.Name), "member", c.Member)
		case keystore.SizeBelow:
			add(s.index(c.Name), "below", c.Limit)
		default:
			return nil, nil, fmt.Errorf("condition of unknown kind %d", c.Kind)
		}
	}
	for _, step := range change.Steps {
		switch step.Kind {
		case keystore.PutRecord:
			add(s.record(step.Name), "put", step.Value)
		case keystore.DeleteRecord:
			add(s.record(step.Name), "delete", "")
		case keystore.AddMember:
			add(s.index(step.Name), "add", step.Member)
		case keystore.RemoveMember:
			add(s.index(step.Name), "remove", step.Member)
		case keystore.DropIndex:
			add(s.index(step.Name), "drop", s.record(step.Prefix))
		default:
			return nil, nil, fmt.Errorf("step of unknown kind %d", step.Kind)
		}
	}
	return keys, args, nil
}
