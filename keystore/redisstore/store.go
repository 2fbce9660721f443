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
	place       place
	host        string // for errors
	prefix      string
	timeout     time.Duration
	keep        int
	replicas    int
	replicaTime time.Duration

	mu      sync.Mutex
	closed  bool
	closing chan struct{} // closed when closed is set
	calls   sync.WaitGroup

	// reads counts the reads of the log that wait in Redis. They may go on after their call has
	// ended, and each has one of the connections that were added to the pool for them.
	reads   sync.WaitGroup
	readers chan struct{}

	closeOnce sync.Once
	closeErr  error
}

// Get implements [keystore.Store].
func (s *Store) Get(ctx context.Context, names ...string) ([][]byte, error) {
	if len(names) == 0 {
		return [][]byte{}, nil
	}
	ctx, end, err := s.begin(ctx, s.timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	values := make([][]byte, len(names))
	if len(names) == 1 {
		err := s.master(ctx, func(c redis.Cmdable) error {
			value, err := c.Get(ctx, s.record(names[0])).Bytes()
			if err == redis.Nil {
				return nil
			}
			values[0] = value
			return err
		})
		if err != nil {
			return nil, s.unavailable(err)
		}
		return values, nil
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = s.record(name)
	}
	err = s.master(ctx, func(c redis.Cmdable) error {
		found, err := c.MGet(ctx, keys...).Result()
		for i, value := range found {
			if text, ok := value.(string); ok {
				values[i] = []byte(text)
			}
		}
		return err
	})
	if err != nil {
		return nil, s.unavailable(err)
	}
	return values, nil
}

// Members implements [keystore.Store].
func (s *Store) Members(ctx context.Context, index, after string, limit int) ([]string, error) {
	if limit <= 0 { // to Redis a negative one means all
		return nil, nil
	}
	ctx, end, err := s.begin(ctx, s.timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	from := "-"
	if after != "" {
		from = "(" + after
	}
	var members []string
	err = s.master(ctx, func(c redis.Cmdable) (err error) {
		members, err = c.ZRangeArgs(ctx, redis.ZRangeArgs{
			Key: s.index(index), Start: from, Stop: "+", ByLex: true, Count: int64(limit),
		}).Result()
		return err
	})
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
	ctx, end, err := s.begin(ctx, s.timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	sizes := make([]int64, len(indexes))
	err = s.master(ctx, func(c redis.Cmdable) error {
		replies := make([]*redis.IntCmd, len(indexes))
		_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i, index := range indexes {
				replies[i] = pipe.ZCard(ctx, s.index(index))
			}
			return nil
		})
		for i, reply := range replies {
			sizes[i] = reply.Val()
		}
		return err
	})
	if err != nil {
		return nil, s.unavailable(err)
	}
	return sizes, nil
}

// Close implements [keystore.Store]. It waits for the calls that are under way, each of which has
// a deadline. Those that only wait for an entry of the log end at once.
func (s *Store) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.calls.Wait()
	s.closeOnce.Do(func() { s.closeErr = s.place.Close() })
	s.reads.Wait() // they have no connection any more
	return s.closeErr
}

// begin starts a call: it counts it, so that Close waits for it, and bounds one that has no
// deadline of its own. The function that it returns ends the call.
func (s *Store) begin(ctx context.Context, timeout time.Duration) (context.Context, func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, s.unavailable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, s.unavailable(redis.ErrClosed)
	}
	s.calls.Add(1)
	cancel := context.CancelFunc(func() {})
	if _, bounded := ctx.Deadline(); !bounded {
		ctx, cancel = context.WithTimeout(ctx, timeout)
	}
	return ctx, func() {
		cancel()
		s.calls.Done()
	}, nil
}

func (s *Store) record(name string) string { return s.prefix + "r:" + name }
func (s *Store) index(name string) string  { return s.prefix + "i:" + name }
func (s *Store) log() string               { return s.prefix + "log" }
func (s *Store) head() string              { return s.prefix + "head" }

// Interface guards.
var (
	_ keystore.Store     = (*Store)(nil)
	_ keystore.ChangeLog = (*Store)(nil)
)
