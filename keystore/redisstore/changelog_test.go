package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

const (
	logKey  = "{deployment_keys}:log"
	headKey = "{deployment_keys}:head"
)

// events appends entries to the log.
func events(t testing.TB, store keystore.Store, n int) {
	t.Helper()
	for range n {
		apply(t, store, keystore.Change{Event: []byte("event")})
	}
}

// head is the position at the end of the log.
func head(t testing.TB, store *redisstore.Store) keystore.Position {
	t.Helper()
	at := storetest.Must(store.Head(t.Context()))
	return at
}

// wantGap checks that the log does not go on at a position, and what the error says.
func wantGap(t testing.TB, store *redisstore.Store, at keystore.Position, says string) {
	t.Helper()
	entries, to, err := store.Next(t.Context(), at, 10*time.Millisecond)
	if !errors.Is(err, keystore.ErrLogGap) || errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), says) {
		t.Errorf("Next(%v) = %d entries, %v, want %v that says %q", at, len(entries), err, keystore.ErrLogGap, says)
	}
	if len(entries) > 0 || to != at {
		t.Errorf("Next(%v) = %v, %v beside the error", at, entries, to)
	}
}

// TestGaps has a follower that read to entry 5 of a log that then becomes another one, as it does
// when a master that takes over had not got the last writes.
func TestGaps(t *testing.T) {
	t.Parallel()
	const (
		trimmed = "trimmed"
		back    = "goes back"
		other   = "another history"
	)
	for _, tt := range []struct {
		name   string
		become func(*testing.T, *redisstore.Store, *redis.Client, func())
		says   string
	}{
		{"goes back to 3", func(_ *testing.T, _ *redisstore.Store, _ *redis.Client, restore func()) { restore() }, back},
		{"goes back, and one other entry", func(t *testing.T, s *redisstore.Store, _ *redis.Client, restore func()) {
			restore()
			events(t, s, 1)
		}, back},
		{"goes back, and as many other entries", func(t *testing.T, s *redisstore.Store, _ *redis.Client, restore func()) {
			restore()
			events(t, s, 2)
		}, other},
		{"goes back, and more other entries", func(t *testing.T, s *redisstore.Store, _ *redis.Client, restore func()) {
			restore()
			events(t, s, 3)
		}, other},
		{"goes back, and many other entries", func(t *testing.T, s *redisstore.Store, _ *redis.Client, restore func()) {
			restore()
			events(t, s, 30)
		}, ""},
		{"other entries with the same IDs", func(t *testing.T, _ *redisstore.Store, c *redis.Client, _ func()) {
			rewrite(t, c, func(_ int, id string) string { return id })
		}, other},
		{"other entries with lower IDs", func(t *testing.T, s *redisstore.Store, c *redis.Client, _ func()) {
			events(t, s, 2)
			rewrite(t, c, func(i int, _ string) string { return fmt.Sprintf("1-%d", i+1) })
		}, trimmed},
		{"FLUSHALL", func(t *testing.T, _ *redisstore.Store, c *redis.Client, _ func()) { c.FlushAll(t.Context()) }, back},
		{"FLUSHALL, and a new beginning", func(t *testing.T, s *redisstore.Store, c *redis.Client, _ func()) {
			c.FlushAll(t.Context())
			events(t, s, 5)
		}, other},
		{"FLUSHALL, and a longer new beginning", func(t *testing.T, s *redisstore.Store, c *redis.Client, _ func()) {
			c.FlushAll(t.Context())
			events(t, s, 7)
		}, ""},
		{"the head is lost", func(t *testing.T, _ *redisstore.Store, c *redis.Client, _ func()) { c.Del(t.Context(), headKey) }, back},
		{"one entry is trimmed", func(t *testing.T, s *redisstore.Store, c *redis.Client, _ func()) {
			events(t, s, 3)
			c.XTrimMaxLen(t.Context(), logKey, 2)
		}, trimmed},
		{"all entries are trimmed", func(t *testing.T, s *redisstore.Store, c *redis.Client, _ func()) {
			events(t, s, 3)
			c.XTrimMaxLen(t.Context(), logKey, 0)
		}, trimmed},
		{"an entry in the middle is gone", func(t *testing.T, s *redisstore.Store, c *redis.Client, _ func()) {
			events(t, s, 3)
			c.XDel(t.Context(), logKey, c.XRange(t.Context(), logKey, "-", "+").Val()[6].ID)
		}, trimmed},
		{"the stream is gone", func(t *testing.T, s *redisstore.Store, c *redis.Client, _ func()) {
			events(t, s, 1)
			c.Del(t.Context(), logKey)
		}, trimmed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, store, client := start(t)
			events(t, store, 3)
			saved := map[string]string{}
			for _, key := range []string{logKey, headKey} {
				saved[key] = client.Dump(t.Context(), key).Val()
			}
			events(t, store, 2)
			at := head(t, store)
			tt.become(t, store, client, func() {
				for key, value := range saved {
					storetest.OK(t, client.RestoreReplace(t.Context(), key, 0, value).Err())
				}
			})
			wantGap(t, store, at, tt.says)
			// A new beginning at the head is good. Without a head there is none: what is in the stream
			// is then not this log.
			if tt.name != "the head is lost" {
				again := head(t, store)
				events(t, store, 1)
				if entries, _, err := store.Next(t.Context(), again, patient); err != nil || len(entries) != 1 {
					t.Errorf("after a new beginning, Next = %v, %v", entries, err)
				}
			}
		})
	}
}

// rewrite makes the log anew with IDs of the test's choice, and other marks.
func rewrite(t *testing.T, client *redis.Client, id func(i int, old string) string) {
	t.Helper()
	entries := client.XRange(t.Context(), logKey, "-", "+").Val()
	client.Del(t.Context(), logKey)
	before := "0"
	for i, entry := range entries {
		mark := fmt.Sprintf("%016x", i+1)
		args := &redis.XAddArgs{
			Stream: logKey, ID: id(i, entry.ID),
			Values: []any{"seq", i + 1, "mark", mark, "after", before, "event", "other"},
		}
		storetest.OK(t, client.XAdd(t.Context(), args).Err())
		client.Set(t.Context(), headKey, fmt.Sprintf("%d %s %s", i+1, args.ID, mark), 0)
		before = mark
	}
}

// TestFlushWhileWaiting takes all away from under a follower that waits in Redis.
func TestFlushWhileWaiting(t *testing.T) {
	t.Parallel()
	_, store, client := start(t)
	events(t, store, 3)
	at := head(t, store)
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil { // an entry of the millisecond of the last one ends no wait
			_, _, err = store.Next(t.Context(), at, time.Minute)
		}
		done <- err
	}()
	storetest.Poll(t, patient, "Next waits in Redis", func() bool {
		return strings.Contains(client.Info(t.Context(), "clients").Val(), "blocked_clients:1")
	})
	client.FlushAll(t.Context())
	events(t, store, 1)
	if err := <-done; !errors.Is(err, keystore.ErrLogGap) {
		t.Errorf("Next: %v", err)
	}
}

func TestBadHead(t *testing.T) {
	t.Parallel()
	_, store, client := start(t)
	for _, bad := range []string{"", "x", "1", "1 2", "x 1-1 a", "0 1-1 a", " "} {
		client.Set(t.Context(), headKey, bad, 0)
		_, headErr := store.Head(t.Context())
		_, _, nextErr := store.Next(t.Context(), keystore.Position{}, 0)
		for name, err := range map[string]error{"Head": headErr, "Next": nextErr} {
			storetest.FailIf(t, !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "head of the log"), "%s of %q: %v", name, bad, err)
		}
	}
}

// TestFollowerComesBack has a follower whose Redis is killed and started again: it goes on where
// it was.
func TestFollowerComesBack(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, storetest.Durable...)
	store := open(t, redisstore.Options{URL: server.URL(), Timeout: patient})
	events(t, store, 3)
	at := head(t, store)
	events(t, store, 2)
	server.Kill()
	if _, _, err := store.Next(t.Context(), at, 0); !errors.Is(err, keystore.ErrUnavailable) || errors.Is(err, keystore.ErrLogGap) {
		t.Errorf("Next without Redis: %v", err)
	}
	server.Restart()
	var entries []keystore.LogEntry
	storetest.Poll(t, patient, "Next after the restart", func() bool {
		var err error
		entries, at, err = store.Next(t.Context(), at, 0)
		return err == nil
	})
	storetest.FailIf(t, len(entries) != 2 || at.Seq != 5, "Next = %v, %v", entries, at)
	events(t, store, 1)
	if entries, _, err := store.Next(t.Context(), at, patient); err != nil || len(entries) != 1 {
		t.Errorf("Next = %v, %v", entries, err)
	}
}

// TestNextOnADeadLink ends at the deadline, whatever Redis does.
func TestNextOnADeadLink(t *testing.T) {
	t.Parallel()
	store := open(t, redisstore.Options{URL: "redis://" + listen(t, silent)})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, _, err := store.Next(ctx, keystore.Position{}, time.Hour)
	if took := time.Since(start); !errors.Is(err, keystore.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || took > slack {
		t.Errorf("Next: %v after %v", err, took)
	}
	start = time.Now()
	_, _, err = store.Next(t.Context(), keystore.Position{}, 100*time.Millisecond)
	if took := time.Since(start); !errors.Is(err, keystore.ErrUnavailable) || took > slack {
		t.Errorf("Next without a deadline: %v after %v", err, took)
	}
}

// TestSmallPool has a pool of one connection, and followers that wait.
func TestSmallPool(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	store := open(t, redisstore.Options{URL: server.URL() + "?pool_size=1&max_active_conns=1", Timeout: patient})
	for range 40 { // more than there are connections for them
		go func() { _, _, _ = store.Next(t.Context(), keystore.Position{}, time.Minute) }()
	}
	client := raw(t, server)
	storetest.Poll(t, patient, "followers wait in Redis", func() bool {
		return strings.Contains(client.Info(t.Context(), "clients").Val(), "blocked_clients:16")
	})
	ctx, cancel := context.WithTimeout(t.Context(), slack)
	defer cancel()
	if err := store.Apply(ctx, keystore.Change{Steps: []keystore.Step{put("a", "1")}}); err != nil {
		t.Error(err)
	}
	if _, err := store.Get(ctx, "a"); err != nil {
		t.Error(err)
	}
	start := time.Now()
	if err := store.Close(); err != nil || time.Since(start) > slack {
		t.Errorf("Close: %v after %v", err, time.Since(start))
	}
}

// TestIdleFollower counts what a follower costs where nothing changes.
func TestIdleFollower(t *testing.T) {
	t.Parallel()
	server, store, _ := start(t)
	at := head(t, store)
	client := raw(t, server)
	processed := func() (n int) {
		for line := range strings.Lines(client.Info(t.Context(), "stats").Val()) {
			_, _ = fmt.Sscanf(line, "total_commands_processed:%d", &n)
		}
		return n
	}
	const calls, wait = 5, 100 * time.Millisecond
	before := processed()
	for range calls {
		if _, _, err := store.Next(t.Context(), at, wait); err != nil {
			t.Fatal(err)
		}
	}
	// With a new connection for them, and INFO itself.
	if used := processed() - before; used > 2*calls+3 {
		t.Errorf("%d calls of Next used %d commands, want 2 for each", calls, used)
	}
}
