// Package redisstore keeps a [keystore.Store] in Redis (7.0 or newer), for a gateway of one or
// many nodes. It knows Redis' commands; it must not know what the names and bytes mean.
//
// Each change is one script that Redis runs as a whole, with the log entry in it. The layout, all
// under one hash tag so that a script may touch all of it on a Cluster too:
//
//	{deployment_keys}:r:NAME   a record: a string
//	{deployment_keys}:i:NAME   an index: a sorted set, all scores 0, so that it is in byte order
//	{deployment_keys}:log      the change log: a stream, fields "seq" and "event"
//	{deployment_keys}:seq      the number of the newest entry of the log
//
// The IDs of the stream are Redis' own, made of the time. The numbers in the entries have no gaps,
// and go back when a failover lost writes: whoever follows the stream by ID sees both by them.
package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
)

// A Store is a [keystore.Store] in Redis. Make one with [Open].
type Store struct {
	client  redis.UniversalClient
	host    string // for errors
	secrets []string
	prefix  string
	timeout time.Duration
	keep    int

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup

	closeOnce sync.Once
	closeErr  error
}

// Get implements [keystore.Store].
func (s *Store) Get(ctx context.Context, names ...string) ([][]byte, error) {
	if len(names) == 0 {
		return [][]byte{}, nil
	}
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if len(names) == 1 {
		value, err := s.client.Get(ctx, s.record(names[0])).Bytes()
		if err != nil && err != redis.Nil {
			return nil, s.unavailable(err)
		}
		return [][]byte{value}, nil
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = s.record(name)
	}
	found, err := s.client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, s.unavailable(err)
	}
	values := make([][]byte, len(names))
	for i, value := range found {
		if text, ok := value.(string); ok {
			values[i] = []byte(text)
		}
	}
	return values, nil
}

// Members implements [keystore.Store].
func (s *Store) Members(ctx context.Context, index, after string, limit int) ([]string, error) {
	if limit <= 0 { // to Redis a negative one means all
		return nil, nil
	}
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	from := "-"
	if after != "" {
		from = "(" + after
	}
	members, err := s.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: s.index(index), Start: from, Stop: "+", ByLex: true, Count: int64(limit),
	}).Result()
	if err != nil {
		return nil, s.unavailable(err)
	}
	return members, nil
}

// Sizes implements [keystore.Store].
func (s *Store) Sizes(ctx context.Context, indexes ...string) ([]int64, error) {
	if len(indexes) == 0 {
		return []int64{}, nil
	}
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	replies := make([]*redis.IntCmd, len(indexes))
	_, err = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, index := range indexes {
			replies[i] = pipe.ZCard(ctx, s.index(index))
		}
		return nil
	})
	if err != nil {
		return nil, s.unavailable(err)
	}
	sizes := make([]int64, len(indexes))
	for i, reply := range replies {
		sizes[i] = reply.Val()
	}
	return sizes, nil
}

// Close implements [keystore.Store]. It waits for the calls that are under way, each of which has
// a deadline.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	s.closeOnce.Do(func() { s.closeErr = s.client.Close() })
	return s.closeErr
}

// begin starts a call: it counts it, so that Close waits for it, and bounds it. The function that
// it returns ends the call.
func (s *Store) begin(ctx context.Context) (context.Context, func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, s.unavailable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, s.unavailable(redis.ErrClosed)
	}
	s.calls.Add(1)
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	return ctx, func() {
		cancel()
		s.calls.Done()
	}, nil
}

func (s *Store) record(name string) string { return s.prefix + "r:" + name }
func (s *Store) index(name string) string  { return s.prefix + "i:" + name }
func (s *Store) log() string               { return s.prefix + "log" }
func (s *Store) counter() string           { return s.prefix + "seq" }

// Interface guard.
var _ keystore.Store = (*Store)(nil)
