package redisstore

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

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

	//go:embed time.lua
	timeSource string
	timeScript = redis.NewScript(timeSource)
)

// Apply implements [keystore.Store]. Nothing repeats it on its own: a second run of a change whose
// first answer was lost would find its own conditions broken, or log the event twice.
//
// With replicas to wait for, an error may also say that the change was made and too few replicas
// have it.
func (s *Store) Apply(ctx context.Context, change keystore.Change) error {
	ctx, end, err := s.begin(ctx, s.timeout)
	if err != nil {
		return err
	}
	defer end()
	keys, args, err := s.encode(change)
	if err != nil {
		return s.unavailable(err)
	}
	var result int64
	var unsure error
	err = s.master(ctx, func(c redis.Cmdable) (err error) {
		if s.replicas > 0 {
			if client, ok := c.(*redis.Client); ok {
				// The server counts who has what this connection wrote.
				conn := client.Conn()
				defer conn.Close()
				c = conn
			}
		}
		result, err = applyScript.Run(ctx, c, keys, args...).Int64()
		if err == nil && result >= 0 && s.replicas > 0 {
			unsure = s.wait(ctx, c.(*redis.Conn))
		}
		return err
	})
	switch {
	case err != nil:
		return s.unavailable(err)
	case result < 0:
		return &keystore.ConditionError{Index: int(-result) - 1}
	}
	return unsure
}

// wait waits until the replicas have what a connection wrote. Its error says that the change was
// made all the same.
func (s *Store) wait(ctx context.Context, conn *redis.Conn) error {
	wait := s.replicaTime
	if deadline, ok := ctx.Deadline(); ok {
		// To Redis 0 means for ever. The answer needs some of the time too.
		wait = max(min(wait, time.Until(deadline)*3/4), time.Millisecond)
	}
	const madeBut = "the change was made, but %s, and it may not last if the master fails now"
	cmd := redis.NewIntCmd(ctx, "wait", s.replicas, wait.Milliseconds())
	if err := conn.Process(ctx, cmd); err != nil {
		return s.unavailable(fmt.Errorf(madeBut, fmt.Sprintf("it is not known how many of %d replicas have it (%v)", s.replicas, err)))
	}
	if have := cmd.Val(); have < int64(s.replicas) {
		return s.unavailable(fmt.Errorf(madeBut, fmt.Sprintf("only %d of %d replicas have it", have, s.replicas)))
	}
	return nil
}

// Log implements [keystore.Store].
func (s *Store) Log(ctx context.Context, after uint64, limit int) ([]keystore.LogEntry, error) {
	if limit <= 0 {
		return nil, nil
	}
	ctx, end, err := s.begin(ctx, s.timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	var found []string
	err = s.master(ctx, func(c redis.Cmdable) (err error) {
		found, err = logScript.Run(ctx, c, []string{s.log()}, after, limit).StringSlice()
		return err
	})
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

// Time implements [keystore.Store]: the clock of the server that has the keys.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	ctx, end, err := s.begin(ctx, s.timeout)
	if err != nil {
		return time.Time{}, err
	}
	defer end()
	var parts []int64
	err = s.master(ctx, func(c redis.Cmdable) (err error) {
		parts, err = timeScript.Run(ctx, c, []string{s.head()}).Int64Slice()
		return err
	})
	if err != nil {
		return time.Time{}, s.unavailable(err)
	}
	if len(parts) != 2 {
		return time.Time{}, s.unavailable(fmt.Errorf("its time has %d parts", len(parts)))
	}
	return time.Unix(parts[0], parts[1]*int64(time.Microsecond)).UTC(), nil
}

// encode turns a change into the keys and arguments of apply.lua. Every part of a change has one
// key, one kind and one operand. Bytes go as they are.
func (s *Store) encode(change keystore.Change) (keys []string, args []any, err error) {
	parts := len(change.Conditions) + len(change.Steps)
	keys = append(make([]string, 0, 2+parts), s.log(), s.head())
	args = append(make([]any, 0, 4+2*parts), change.Event, s.keep, newMark(), len(change.Conditions))
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
		case keystore.RemoveFromEach:
			// No name has a line break in it.
			add(s.index(step.Name), "each", step.Member+"\n"+s.index(step.Prefix))
		default:
			return nil, nil, fmt.Errorf("step of unknown kind %d", step.Kind)
		}
	}
	return keys, args, nil
}
