package redisstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// slack is what a busy machine may add to a deadline.
const slack = 2 * time.Second

// change is one that touches a record, an index and the log.
func change() keystore.Change {
	return keystore.Change{
		Steps: []keystore.Step{
			{Kind: keystore.DeleteRecord, Name: "old"}, put("new", "value"), add("index", "member"),
		},
		Event: []byte("event"),
	}
}

// wantUntouched checks that nothing of [change] is in the store.
func wantUntouched(t *testing.T, store keystore.Store) {
	t.Helper()
	values := storetest.Must(store.Get(t.Context(), "old", "new"))
	sizes := storetest.Must(store.Sizes(t.Context(), "index"))
	if string(values[0]) != "value" || values[1] != nil || sizes[0] != 0 {
		t.Errorf("records are %q, size is %d: something was changed", values, sizes[0])
	}
	wantLog(t, store, 0)
}

func TestAbsentRedis(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	server.Stop()
	store := open(t, redisstore.Options{URL: server.URL()})
	for range 30 { // beyond the size of the pool, which has a rule of its own for dead servers
		for name, err := range storetest.WantUnavailable(t, t.Context(), store, slack) {
			storetest.FailIf(t, err != nil && !strings.Contains(err.Error(), server.Addr()), "%s: %v does not name %s", name, err, server.Addr())
		}
	}
	server.Restart()
	storetest.Poll(t, 5*time.Second, "the store works once the server is there", func() bool {
		return store.Apply(t.Context(), change()) == nil
	})
	server.Kill()
	storetest.WantUnavailable(t, t.Context(), store, slack)
	server.Restart()
	storetest.Poll(t, 5*time.Second, "the store works again", func() bool {
		_, err := store.Get(t.Context(), "new")
		return err == nil
	})
}

// listen runs a server that does with each connection what the test says.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener := storetest.Must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// silent reads all and answers nothing.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func TestBlackHole(t *testing.T) {
	t.Parallel()
	addr := listen(t, silent)
	t.Run("timeout of the store", func(t *testing.T) {
		t.Parallel()
		store := open(t, redisstore.Options{URL: "redis://" + addr, Timeout: 200 * time.Millisecond})
		for name, err := range storetest.WantUnavailable(t, t.Context(), store, slack) {
			storetest.FailIf(t, !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), addr), "%s: %v, want a deadline and %s in it", name, err, addr)
		}
	})
	t.Run("earlier deadline of the caller", func(t *testing.T) {
		t.Parallel()
		store := open(t, redisstore.Options{URL: "redis://" + addr, Timeout: time.Hour})
		for range 6 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			start := time.Now()
			_, err := store.Get(ctx, "a")
			cancel()
			if took := time.Since(start); !errors.Is(err, keystore.ErrUnavailable) || took > slack {
				t.Errorf("Get: %v after %v", err, took)
			}
		}
	})
	t.Run("Close waits no longer than the call", func(t *testing.T) {
		t.Parallel()
		store := storetest.Must(redisstore.Open(redisstore.Options{URL: "redis://" + addr, Timeout: 200 * time.Millisecond}))
		done := make(chan error, 1)
		go func() {
			_, err := store.Get(t.Context(), "a")
			done <- err
		}()
		start := time.Now()
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; !errors.Is(err, keystore.ErrUnavailable) {
			t.Errorf("Get: %v", err)
		}
		if took := time.Since(start); took > slack {
			t.Errorf("Close took %v", took)
		}
	})
}

// TestCloseLetsACallFinish has a call whose answer comes after Close was called.
func TestCloseLetsACallFinish(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	addr := listen(t, func(conn net.Conn) {
		scanner := bufio.NewScanner(conn)
		for scanner.Scan() {
			switch strings.ToLower(scanner.Text()) {
			case "hello":
				_, _ = io.WriteString(conn, "-ERR unknown command\r\n")
			case "get":
				close(asked)
				<-answer
				_, _ = io.WriteString(conn, "$5\r\nvalue\r\n")
			}
		}
	})
	store := storetest.Must(redisstore.Open(redisstore.Options{URL: "redis://" + addr, Timeout: patient}))
	got, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		values, err := store.Get(t.Context(), "a")
		if err == nil && string(values[0]) != "value" {
			err = fmt.Errorf("Get = %q", values)
		}
		got <- err
	}()
	<-asked
	go func() { closed <- store.Close() }()
	storetest.Poll(t, patient, "new calls are refused", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := store.Sizes(ctx, "i")
		return err != nil && strings.Contains(err.Error(), "closed")
	})
	select {
	case <-closed:
		t.Error("Close did not wait for the call")
	default:
	}
	close(answer)
	if err := <-got; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestRefusedWrites has a Redis that takes no writes, in the ways that it may. Reads go on, and
// nothing of a change is made.
func TestRefusedWrites(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup []any
		says  string
	}{
		{"out of memory", []any{"CONFIG", "SET", "maxmemory", "1"}, "OOM"},
		{"a replica", []any{"REPLICAOF", "127.0.0.1", "1"}, "READONLY"},
		{"too few replicas", []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, "NOREPLICAS"},
		{"the index is no index", []any{"SET", "{deployment_keys}:i:index", "x"}, "WRONGTYPE"},
		{"the log is no stream", []any{"SET", "{deployment_keys}:log", "x"}, "WRONGTYPE"},
		{"the head is no head", []any{"SET", "{deployment_keys}:head", "x"}, "not the head of a log"},
		{"the head is no string", []any{"RPUSH", "{deployment_keys}:head", "x"}, "WRONGTYPE"},
		{"a user who may not change indexes", []any{"ACL", "SETUSER", "default", "-zadd"}, "NOPERM"},
		{"a user who may not write the head", []any{"ACL", "SETUSER", "default", "-set"}, "NOPERM"},
		{"a user who may not append", []any{"ACL", "SETUSER", "default", "-xadd"}, "NOPERM"},
		{"a user who may not reach the records", []any{"ACL", "SETUSER", "default", "resetkeys", "~{deployment_keys}:i:*", "~{deployment_keys}:log", "~{deployment_keys}:head"}, "NOPERM"},
		{"a user who may run no script", []any{"ACL", "SETUSER", "default", "-evalsha"}, "NOPERM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, store, _ := start(t)
			apply(t, store, keystore.Change{Steps: []keystore.Step{put("old", "value")}})
			client := raw(t, server)
			storetest.OK(t, client.Do(t.Context(), tt.setup...).Err())
			err := store.Apply(t.Context(), change())
			var failed *keystore.ConditionError
			storetest.FailIf(t, !errors.Is(err, keystore.ErrUnavailable) || errors.As(err, &failed) || !strings.Contains(err.Error(), tt.says), "Apply: %v, want %v that says %s", err, keystore.ErrUnavailable, tt.says)
			// Undo what was set up, as far as it is in the way of looking.
			for _, undo := range [][]any{
				{"CONFIG", "SET", "maxmemory", "0"},
				{"CONFIG", "SET", "min-replicas-to-write", "0"},
				{"REPLICAOF", "NO", "ONE"},
				{"ACL", "SETUSER", "default", "+@all", "~*"},
			} {
				storetest.OK(t, client.Do(t.Context(), undo...).Err())
			}
			for _, key := range []string{"{deployment_keys}:i:index", "{deployment_keys}:log", "{deployment_keys}:head"} {
				if client.Type(t.Context(), key).Val() == "string" || client.Type(t.Context(), key).Val() == "list" {
					client.Del(t.Context(), key)
				}
			}
			wantUntouched(t, store)
			apply(t, store, change())
			wantLog(t, store, 0, "1 event")
		})
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	_, store, client := start(t)
	for _, key := range []string{"{deployment_keys}:r:a", "{deployment_keys}:i:i", "{deployment_keys}:log"} {
		storetest.OK(t, client.RPush(t.Context(), key, "x").Err())
	}
	_, getErr := store.Get(t.Context(), "a")
	_, membersErr := store.Members(t.Context(), "i", "", 10)
	_, sizesErr := store.Sizes(t.Context(), "none", "i")
	_, logErr := store.Log(t.Context(), 0, 10)
	for name, err := range map[string]error{"Get": getErr, "Members": membersErr, "Sizes": sizesErr, "Log": logErr} {
		storetest.FailIf(t, !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "WRONGTYPE"), "%s: %v", name, err)
	}
}

// TestRemoveFromEachIsWhole has an index among many that is none: nothing is taken out of the others.
func TestRemoveFromEachIsWhole(t *testing.T) {
	t.Parallel()
	server, store, _ := start(t)
	apply(t, store, keystore.Change{Steps: []keystore.Step{
		add("index", "a"), add("index", "b"), add("index", "c"), add("of/a", "m"), add("of/c", "m"),
	}})
	storetest.OK(t, raw(t, server).Set(t.Context(), "{deployment_keys}:i:of/b", "x", 0).Err())
	err := store.Apply(t.Context(), keystore.Change{
		Steps: []keystore.Step{put("new", "1"), {Kind: keystore.RemoveFromEach, Name: "index", Prefix: "of/", Member: "m"}},
		Event: []byte("removed"),
	})
	storetest.FailIf(t, !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "WRONGTYPE"), "Apply: %v", err)
	sizes, err := store.Sizes(t.Context(), "of/a", "of/c")
	storetest.FailIf(t, err != nil || sizes[0] != 1 || sizes[1] != 1, "sizes %v, %v", sizes, err)
	if values, err := store.Get(t.Context(), "new"); err != nil || values[0] != nil {
		t.Errorf("the record of the change is %q, %v", values, err)
	}
	wantLog(t, store, 0)
}
