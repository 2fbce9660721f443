package redisstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
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
	values, err := store.Get(t.Context(), "old", "new")
	if err != nil {
		t.Fatal(err)
	}
	sizes, err := store.Sizes(t.Context(), "index")
	if err != nil {
		t.Fatal(err)
	}
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
			if err != nil && !strings.Contains(err.Error(), server.Addr()) {
				t.Errorf("%s: %v does not name %s", name, err, server.Addr())
			}
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), addr) {
				t.Errorf("%s: %v, want a deadline and %s in it", name, err, addr)
			}
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
		store, err := redisstore.Open(redisstore.Options{URL: "redis://" + addr, Timeout: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
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
	store, err := redisstore.Open(redisstore.Options{URL: "redis://" + addr, Timeout: patient})
	if err != nil {
		t.Fatal(err)
	}
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

// TestApplyIsNotRepeated has a connection that is cut after the script was sent, when nobody knows
// whether it ran.
func TestApplyIsNotRepeated(t *testing.T) {
	t.Parallel()
	var scripts atomic.Int64
	addr := listen(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				return
			}
			switch strings.ToLower(strings.TrimSpace(line)) {
			case "hello":
				_, _ = io.WriteString(conn, "-ERR unknown command\r\n")
			case "evalsha", "eval":
				scripts.Add(1)
				return
			}
		}
	})
	store := open(t, redisstore.Options{URL: "redis://" + addr + "?max_retries=5", Timeout: 2 * time.Second})
	if err := store.Apply(t.Context(), change()); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("Apply: %v", err)
	}
	if n := scripts.Load(); n != 1 {
		t.Errorf("the script was sent %d times", n)
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
		{"the counter is no number", []any{"SET", "{deployment_keys}:seq", "x"}, "not an integer"},
		{"the counter is no string", []any{"RPUSH", "{deployment_keys}:seq", "x"}, "WRONGTYPE"},
		{"a user who may not change indexes", []any{"ACL", "SETUSER", "default", "-zadd"}, "NOPERM"},
		{"a user who may not count", []any{"ACL", "SETUSER", "default", "-incr"}, "NOPERM"},
		{"a user who may not append", []any{"ACL", "SETUSER", "default", "-xadd"}, "NOPERM"},
		{"a user who may not reach the records", []any{"ACL", "SETUSER", "default", "resetkeys", "~{deployment_keys}:i:*", "~{deployment_keys}:log", "~{deployment_keys}:seq"}, "NOPERM"},
		{"a user who may run no script", []any{"ACL", "SETUSER", "default", "-evalsha"}, "NOPERM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := storetest.StartRedis(t)
			store := open(t, redisstore.Options{URL: server.URL(), Timeout: patient})
			apply(t, store, keystore.Change{Steps: []keystore.Step{put("old", "value")}})
			client := raw(t, server)
			if err := client.Do(t.Context(), tt.setup...).Err(); err != nil {
				t.Fatal(err)
			}
			err := store.Apply(t.Context(), change())
			var failed *keystore.ConditionError
			if !errors.Is(err, keystore.ErrUnavailable) || errors.As(err, &failed) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Apply: %v, want %v that says %s", err, keystore.ErrUnavailable, tt.says)
			}
			// Undo what was set up, as far as it is in the way of looking.
			for _, undo := range [][]any{
				{"CONFIG", "SET", "maxmemory", "0"},
				{"CONFIG", "SET", "min-replicas-to-write", "0"},
				{"REPLICAOF", "NO", "ONE"},
				{"ACL", "SETUSER", "default", "+@all", "~*"},
			} {
				if err := client.Do(t.Context(), undo...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			for _, key := range []string{"{deployment_keys}:i:index", "{deployment_keys}:log", "{deployment_keys}:seq"} {
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
	server := storetest.StartRedis(t)
	store := open(t, redisstore.Options{URL: server.URL(), Timeout: patient})
	client := raw(t, server)
	for _, key := range []string{"{deployment_keys}:r:a", "{deployment_keys}:i:i", "{deployment_keys}:log"} {
		if err := client.RPush(t.Context(), key, "x").Err(); err != nil {
			t.Fatal(err)
		}
	}
	_, getErr := store.Get(t.Context(), "a")
	_, membersErr := store.Members(t.Context(), "i", "", 10)
	_, sizesErr := store.Sizes(t.Context(), "none", "i")
	_, logErr := store.Log(t.Context(), 0, 10)
	for name, err := range map[string]error{"Get": getErr, "Members": membersErr, "Sizes": sizesErr, "Log": logErr} {
		if !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPasswordIsNotShown(t *testing.T) {
	t.Parallel()
	const password = "s3cr/et?w#ord"
	const encoded = "s3cr%2Fet%3Fw%23ord"
	wantHidden := func(t *testing.T, err error) {
		t.Helper()
		for e := err; e != nil; e = errors.Unwrap(e) {
			for _, form := range []string{"s3cr", "w#ord", "%23ord"} {
				for _, shown := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
					if strings.Contains(shown, form) {
						t.Errorf("the error shows the password: %s", shown)
					}
				}
			}
		}
	}

	server := storetest.StartRedis(t, "requirepass another")
	for name, url := range map[string]string{
		"wrong password": "redis://:" + encoded + "@" + server.Addr(),
		"wrong user":     "redis://user:" + encoded + "@" + server.Addr(),
		"no password":    server.URL(),
		"nobody there":   "redis://:" + encoded + "@127.0.0.1:1",
		"no such host":   "redis://:" + encoded + "@redis.invalid:6379",
		"no TLS there":   "rediss://:" + encoded + "@" + server.Addr(),
		"no such socket": "unix://:" + encoded + "@/nowhere/redis.sock",
		"repeats what it is told": "redis://:" + encoded + "@" + listen(t, func(conn net.Conn) {
			scanner := bufio.NewScanner(conn)
			for scanner.Scan() {
				if strings.EqualFold(scanner.Text(), "hello") || strings.EqualFold(scanner.Text(), "auth") {
					_, _ = fmt.Fprintf(conn, "-ERR unknown command, with args beginning with: '%s'\r\n", password)
				}
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t, redisstore.Options{URL: url})
			for _, err := range storetest.WantUnavailable(t, t.Context(), store, 2*slack) {
				wantHidden(t, err)
			}
		})
	}

	for name, url := range map[string]string{
		"not encoded":             "redis://:" + password + "@localhost:6379",
		"slash":                   "redis://user:s3cr/etw@localhost",
		"question mark":           "redis://user:1?s3cr=@localhost",
		"question mark, no user":  "redis://:6379?s3cr@localhost",
		"number sign":             "redis://user:1#s3cr@localhost",
		"percent":                 "redis://user:s3cr%zz@localhost",
		"space":                   "redis://user:s3cr @local host",
		"port":                    "redis://user:" + encoded + "@localhost:port",
		"scheme":                  "http://user:" + encoded + "@localhost",
		"no scheme":               "user:" + encoded + "@localhost",
		"no scheme and user":      "s3cr@localhost:6379",
		"database":                "redis://user:" + encoded + "@localhost/db",
		"path":                    "redis://user:" + encoded + "@localhost/1/2",
		"option":                  "redis://user:" + encoded + "@localhost?nonsense=1",
		"value of an option":      "redis://user:" + encoded + "@localhost?pool_size=s3cr",
		"no host":                 "redis:",
		"no host but credentials": "redis://user:" + encoded + "@",
		"no path":                 "unix://user:" + encoded + "@",
		"empty":                   "",
		"control character":       "redis://user:s3cr\n@localhost",
	} {
		t.Run("bad URL: "+name, func(t *testing.T) {
			t.Parallel()
			store, err := redisstore.Open(redisstore.Options{URL: url})
			if err == nil {
				t.Cleanup(func() { _ = store.Close() })
			}
			if !errors.Is(err, keystore.ErrInvalid) || !strings.Contains(err.Error(), "redis URL") {
				t.Errorf("Open: %v, want %v that says what is wrong", err, keystore.ErrInvalid)
			}
			wantHidden(t, err)
		})
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, "requirepass s3cr/et", "user gateway on >p@ss ~* &* +@all")
	for _, user := range []string{":s3cr%2Fet", "default:s3cr%2Fet", "gateway:p%40ss"} {
		store := open(t, redisstore.Options{URL: "redis://" + user + "@" + server.Addr(), Timeout: patient})
		apply(t, store, change())
	}
}

func TestBadPrefix(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"a}", "{a", "a b", "ä", "a\x00", "\n"} {
		if _, err := redisstore.Open(redisstore.Options{URL: "redis://localhost", Prefix: prefix}); !errors.Is(err, keystore.ErrInvalid) {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}
