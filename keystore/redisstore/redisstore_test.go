package redisstore_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// patient is a timeout that a busy machine keeps.
const patient = 30 * time.Second

func open(t testing.TB, opts redisstore.Options) *redisstore.Store {
	t.Helper()
	store := storetest.Must(redisstore.Open(opts))
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

// raw is a client of a test's own, to look behind the store.
func raw(t testing.TB, server *storetest.Redis) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// start runs a Redis, with a store in it and a client of the test's own.
func start(t testing.TB) (*storetest.Redis, *redisstore.Store, *redis.Client) {
	t.Helper()
	server := storetest.StartRedis(t)
	return server, open(t, redisstore.Options{URL: server.URL(), Timeout: patient}), raw(t, server)
}

func apply(t testing.TB, store keystore.Store, change keystore.Change) {
	t.Helper()
	storetest.OK(t, store.Apply(t.Context(), change))
}

func put(name, value string) keystore.Step {
	return keystore.Step{Kind: keystore.PutRecord, Name: name, Value: []byte(value)}
}

func add(index, member string) keystore.Step {
	return keystore.Step{Kind: keystore.AddMember, Name: index, Member: member}
}

func TestContract(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	var opened atomic.Int64
	storetest.Run(t, func(t testing.TB) keystore.Store {
		return open(t, redisstore.Options{
			URL:     server.URL(),
			Prefix:  fmt.Sprintf("contract-%d", opened.Add(1)),
			Timeout: patient,
		})
	})
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	store := open(t, redisstore.Options{URL: server.SocketURL() + "?db=2", Timeout: patient})
	apply(t, store, keystore.Change{Steps: []keystore.Step{put("a", "1")}, Event: []byte("event")})
	values, err := store.Get(t.Context(), "a")
	storetest.FailIf(t, err != nil || string(values[0]) != "1", "Get = %q, %v", values, err)
}

// TestLayout holds the names of the keys, which operators give to an ACL user and other versions
// of this program read, and that they all are in one hash slot.
func TestLayout(t *testing.T) {
	t.Parallel()
	server, store, _ := start(t)
	apply(t, store, keystore.Change{
		Steps: []keystore.Step{put("name", "value"), add("index", "member")},
		Event: []byte("event"),
	})
	client := raw(t, server)
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	want := []string{"{deployment_keys}:head", "{deployment_keys}:i:index", "{deployment_keys}:log", "{deployment_keys}:r:name"}
	storetest.FailIf(t, !slices.Equal(keys, want), "keys are %q, want %q", keys, want)
	entries, err := client.XRange(t.Context(), "{deployment_keys}:log", "-", "+").Result()
	storetest.FatalIf(t, err != nil || len(entries) != 1 || entries[0].Values["seq"] != "1" || entries[0].Values["event"] != "event", "stream is %v, %v", entries, err)
	head := client.Get(t.Context(), "{deployment_keys}:head").Val()
	if want := fmt.Sprintf("1 %s %s", entries[0].ID, entries[0].Values["mark"]); head != want || entries[0].Values["after"] != "0" {
		t.Errorf("head is %q, want %q", head, want)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, "appendonly yes", "appendfsync always")
	store := open(t, redisstore.Options{URL: server.URL(), Timeout: patient})
	apply(t, store, keystore.Change{Steps: []keystore.Step{put("a", "1"), add("index", "m")}, Event: []byte("one")})
	server.Kill()
	server.Restart()
	storetest.Poll(t, patient, "Get after the restart", func() bool {
		values, err := store.Get(t.Context(), "a")
		return err == nil && string(values[0]) == "1"
	})
	apply(t, store, keystore.Change{Event: []byte("two")})
	wantLog(t, store, 0, "1 one", "2 two")
}

// wantLog checks all entries after a number, written as number and event.
func wantLog(t *testing.T, store keystore.Store, after uint64, want ...string) {
	t.Helper()
	entries := storetest.Must(store.Log(t.Context(), after, 10_000))
	var got []string
	for _, entry := range entries {
		got = append(got, fmt.Sprintf("%d %s", entry.Seq, entry.Event))
	}
	storetest.FailIf(t, !slices.Equal(got, want), "log after %d is %q, want %q", after, got, want)
}

func TestLogIsTrimmed(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, "stream-node-max-entries 10")
	const keep, n = 50, 300
	store := open(t, redisstore.Options{URL: server.URL(), Timeout: patient, MaxLogEntries: keep})
	for i := 1; i <= n; i++ {
		apply(t, store, keystore.Change{Event: fmt.Appendf(nil, "e%d", i)})
	}
	entries := storetest.Must(store.Log(t.Context(), 0, 10_000))
	storetest.FailIf(t, len(entries) < keep || len(entries) > keep+20, "%d entries are kept, want some more than %d", len(entries), keep)
	for i, entry := range entries {
		if want := uint64(n - len(entries) + 1 + i); entry.Seq != want || string(entry.Event) != fmt.Sprintf("e%d", want) {
			t.Fatalf("entry %d is number %d %q, want %d", i, entry.Seq, entry.Event, want)
		}
	}
	wantLog(t, store, n-1, fmt.Sprintf("%d e%d", n, n))
	wantLog(t, store, n)
}

// TestLogFindsItsPlace has a stream as months of use leave it: entries far apart, and many of one
// millisecond. Wherever one begins, the next entries come.
func TestLogFindsItsPlace(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	client := raw(t, server)
	seq, ms := 0, int64(1_600_000_000_000)
	for _, group := range []struct {
		after   time.Duration
		entries int
	}{
		{0, 1},
		{time.Millisecond, 1},
		{90 * 24 * time.Hour, 30},
		{time.Millisecond, 3},
		{time.Second, 1},
		{300 * 24 * time.Hour, 1},
		{time.Millisecond, 1},
		{time.Millisecond, 40},
		{24 * time.Hour, 2},
	} {
		ms += group.after.Milliseconds()
		for i := range group.entries {
			seq++
			storetest.OK(t, client.XAdd(t.Context(), &redis.XAddArgs{
				Stream: "{deployment_keys}:log", ID: fmt.Sprintf("%d-%d", ms, i),
				Values: []any{"seq", seq, "event", fmt.Sprintf("e%d", seq)},
			}).Err())
		}
	}
	store := open(t, redisstore.Options{URL: server.URL(), Timeout: patient})
	for after := 0; after <= seq; after++ {
		for _, limit := range []int{1, 5, 1000} {
			entries := storetest.Must(store.Log(t.Context(), uint64(after), limit))
			if want := min(limit, seq-after); len(entries) != want {
				t.Fatalf("Log(%d, %d) has %d entries, want %d", after, limit, len(entries), want)
			}
			for i, entry := range entries {
				storetest.FatalIf(t, entry.Seq != uint64(after+1+i) || string(entry.Event) != fmt.Sprintf("e%d", after+1+i), "Log(%d, %d)[%d] is number %d", after, limit, i, entry.Seq)
			}
		}
	}
}

// TestNoScript has a Redis that forgot the scripts.
func TestNoScript(t *testing.T) {
	t.Parallel()
	_, store, client := start(t)
	for i := 1; i <= 3; i++ {
		apply(t, store, keystore.Change{Event: fmt.Appendf(nil, "e%d", i)})
		storetest.OK(t, client.ScriptFlush(t.Context()).Err())
		if entries, err := store.Log(t.Context(), 0, 10); err != nil || len(entries) != i {
			t.Fatalf("Log = %v, %v", entries, err)
		}
		storetest.OK(t, client.ScriptFlush(t.Context()).Err())
	}
	wantLog(t, store, 0, "1 e1", "2 e2", "3 e3")
}

// TestNothingScans counts the commands that Redis ran for each kind of call: none walks the key
// space, and none is run once for each member.
func TestNothingScans(t *testing.T) {
	t.Parallel()
	server, store, _ := start(t)
	var steps []keystore.Step
	for i := range 3000 {
		steps = append(steps, add("index", fmt.Sprintf("m%d", i)))
	}
	apply(t, store, keystore.Change{Steps: steps, Event: []byte("event")})
	client := raw(t, server)
	storetest.OK(t, client.ConfigResetStat(t.Context()).Err())
	storetest.OK(t, storetest.ErrOf(store.Members(t.Context(), "index", "m1", 50)))
	if _, err := store.Sizes(t.Context(), "index"); err != nil {
		t.Fatal(err)
	}
	apply(t, store, keystore.Change{Steps: []keystore.Step{{Kind: keystore.DropIndex, Name: "index", Prefix: "key/"}}})
	stats, err := client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"keys", "scan", "zscan", "smembers"} {
		storetest.FailIf(t, strings.Contains(stats, "cmdstat_"+command+":"), "%s was run: %s", command, stats)
	}
	if !strings.Contains(stats, "cmdstat_unlink:calls=4,") { // 3 slices and the index itself
		t.Errorf("an index of 3,000 was not removed in slices: %s", stats)
	}
}

func BenchmarkStore(b *testing.B) {
	server := storetest.StartRedis(b)
	storetest.Benchmark(b, open(b, redisstore.Options{URL: server.URL(), Timeout: patient}))
}

// BenchmarkLog reads a page of 50 somewhere in a full log.
func BenchmarkLog(b *testing.B) {
	_, store, client := start(b)
	const n = keystore.MaxLogEntries
	for from := 0; from < n; from += 1000 {
		if _, err := client.Pipelined(b.Context(), func(pipe redis.Pipeliner) error {
			for seq := from + 1; seq <= from+1000; seq++ {
				pipe.XAdd(b.Context(), &redis.XAddArgs{
					Stream: "{deployment_keys}:log", ID: fmt.Sprintf("%d-0", 1_600_000_000_000+int64(seq)*250_000),
					Values: []any{"seq", seq, "event", strings.Repeat("e", 250)},
				})
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	for _, after := range []uint64{0, n / 3, n - 50} {
		b.Run(fmt.Sprintf("after=%d", after), func(b *testing.B) {
			for b.Loop() {
				entries, err := store.Log(b.Context(), after, 50)
				if err != nil || len(entries) != 50 {
					b.Fatalf("%d entries, %v", len(entries), err)
				}
			}
		})
	}
}

// BenchmarkDropIndex is the deletion of a Deployment with very many keys.
func BenchmarkDropIndex(b *testing.B) {
	server := storetest.StartRedis(b)
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			store := open(b, redisstore.Options{URL: server.URL(), Timeout: patient})
			var steps []keystore.Step
			for i := range n {
				member := fmt.Sprintf("key-%06d", i)
				steps = append(steps, put("key/"+member, strings.Repeat("x", 400)), add("index", member))
			}
			for b.Loop() {
				b.StopTimer()
				for chunk := range slices.Chunk(steps, 2000) {
					apply(b, store, keystore.Change{Steps: chunk})
				}
				b.StartTimer()
				apply(b, store, keystore.Change{
					Steps: []keystore.Step{{Kind: keystore.DropIndex, Name: "index", Prefix: "key/"}},
				})
			}
		})
	}
}
