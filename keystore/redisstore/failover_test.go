package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// recovery is how long a failover may take in all on a slow machine: until the others know that
// the master is gone, until they have agreed on another, until the store has found it.
const recovery = 15 * time.Second

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	s := storetest.StartSentinel(t, 2, storetest.Durable...)
	failover(t, s.URL(), func() { s.KillMaster() }, true)
}

func TestClusterFailover(t *testing.T) {
	t.Parallel()
	c := storetest.StartCluster(t, storetest.Durable...)
	var killed *storetest.Redis
	failover(t, c.URL(), func() { killed = c.KillMaster(headKey) }, false)

	// The new master has no replica until the old one comes back as such.
	store := open(t, redisstore.Options{URL: c.URL(), Timeout: patient, Replicas: 1, ReplicaTimeout: 200 * time.Millisecond})
	if err := store.Apply(t.Context(), change()); !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "only 0 of 1") {
		t.Errorf("Apply without a replica: %v", err)
	}
	killed.Restart()
	storetest.Poll(t, patient, "the old master is a replica", func() bool { return store.Apply(t.Context(), change()) == nil })
	if now := c.Master(headKey); now == killed {
		t.Error("the old master is the master again")
	}
}

// failover has a writer and a follower, kills the master, and looks when both work again. Nothing
// that was acknowledged is lost, and the follower hears of all of it or is told of a gap.
func failover(t *testing.T, url string, kill func(), replicaLeft bool) {
	t.Helper()
	durable := open(t, redisstore.Options{URL: url, Replicas: 1, ReplicaTimeout: 200 * time.Millisecond})
	plain := open(t, redisstore.Options{URL: url})
	storetest.Poll(t, patient, "the first change has its replica", func() bool {
		return durable.Apply(t.Context(), keystore.Change{Event: []byte("first")}) == nil
	})

	ctx, end := context.WithCancel(t.Context())
	writerCtx, endWriter := context.WithCancel(ctx)
	var group sync.WaitGroup
	t.Cleanup(func() { endWriter(); end(); group.Wait() })
	var acknowledged sync.Map // name of a record
	var written atomic.Int64
	var killedAt, appliedAt, heardAt atomic.Int64
	group.Go(func() {
		store := durable
		for i := 0; writerCtx.Err() == nil; i++ {
			if killedAt.Load() > 0 && !replicaLeft {
				store = plain
			}
			began := time.Now().UnixNano()
			name := fmt.Sprintf("record-%d", i)
			call, cancel := context.WithTimeout(writerCtx, keystore.ChangeTimeout)
			err := store.Apply(call, keystore.Change{
				Steps: []keystore.Step{put(name, "value")}, Event: []byte(name),
			})
			cancel()
			if err == nil {
				acknowledged.Store(name, true)
				written.Add(1)
				if killed := killedAt.Load(); killed > 0 && began > killed {
					appliedAt.CompareAndSwap(0, time.Now().UnixNano())
				}
			}
		}
	})

	var heard sync.Map
	var gaps atomic.Int64
	group.Go(func() {
		at := keystore.Position{}
		for ctx.Err() == nil {
			began := time.Now().UnixNano()
			call, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
			entries, to, err := plain.Next(call, at, time.Second)
			cancel()
			if errors.Is(err, keystore.ErrLogGap) {
				t.Logf("the follower was told: %v", err)
				gaps.Add(1)
				to, err = plain.Head(ctx)
			}
			if err != nil {
				continue
			}
			at = to
			for _, entry := range entries {
				heard.Store(string(entry.Event), true)
			}
			if killed := killedAt.Load(); killed > 0 && began > killed {
				heardAt.CompareAndSwap(0, time.Now().UnixNano())
			}
		}
	})

	storetest.Poll(t, patient, "some changes", func() bool { return written.Load() > 50 })
	kill()
	killedAt.Store(time.Now().UnixNano())
	storetest.Poll(t, recovery, "Apply and Next work again", func() bool { return appliedAt.Load() > 0 && heardAt.Load() > 0 })
	since := func(at *atomic.Int64) time.Duration {
		return time.Duration(at.Load() - killedAt.Load()).Round(time.Millisecond)
	}
	t.Logf("after the master was killed, Apply worked again in %v, Next in %v", since(&appliedAt), since(&heardAt))
	before := written.Load()
	storetest.Poll(t, patient, "more changes", func() bool { return written.Load() > before+50 })

	endWriter()
	var names []string
	acknowledged.Range(func(name, _ any) bool {
		names = append(names, name.(string))
		return true
	})
	for _, name := range names {
		if values, err := plain.Get(t.Context(), name); err != nil || values[0] == nil {
			t.Errorf("%s was acknowledged and is lost (%v)", name, err)
		}
	}
	storetest.Poll(t, recovery, "the follower has heard of all, or of a gap", func() bool {
		for _, name := range names {
			if _, ok := heard.Load(name); !ok && gaps.Load() == 0 {
				return false
			}
		}
		return true
	})
}

// TestDivergedReplica has a replica that takes over without the last two writes, and gets others
// under their numbers.
func TestDivergedReplica(t *testing.T) {
	t.Parallel()
	master := storetest.StartRedis(t)
	replica := storetest.StartReplica(t, master)
	var now atomic.Pointer[storetest.Redis]
	now.Store(master)
	addr := listen(t, func(conn net.Conn) {
		server, err := net.Dial("tcp", now.Load().Addr())
		if err != nil {
			return
		}
		defer server.Close()
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, server)
		}()
		_, _ = io.Copy(server, conn)
	})
	store := open(t, redisstore.Options{URL: "redis://" + addr, Timeout: patient, Replicas: 1})
	// On a busy machine the replica may take longer than the store waits for it. It then has what was
	// written all the same, once it has what came after.
	storetest.Poll(t, patient, "the replica has what was written", func() bool {
		return store.Apply(t.Context(), keystore.Change{Event: []byte("event")}) == nil
	})
	storetest.OK(t, raw(t, replica).Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	for range 2 {
		if err := store.Apply(t.Context(), keystore.Change{Event: []byte("lost")}); !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "0 of 1") {
			t.Errorf("Apply without the replica: %v", err)
		}
	}
	at := head(t, store)
	now.Store(replica)
	master.Kill()
	plain := open(t, redisstore.Options{URL: "redis://" + addr, Timeout: patient})
	events(t, plain, 2)
	wantGap(t, plain, at, "another history")
}

// TestSentinelNamesAReplica has a Sentinel that is behind the times: it names a server that is no
// master any more. Its data is not read.
func TestSentinelNamesAReplica(t *testing.T) {
	t.Parallel()
	replica := storetest.StartReplica(t, storetest.StartRedis(t))
	sentinel := listen(t, func(conn net.Conn) { serveFake(conn, replica.Addr()) })
	store := open(t, redisstore.Options{URL: "redis+sentinel://" + sentinel + "/name"})
	for name, err := range storetest.WantUnavailable(t, t.Context(), store, slack) {
		storetest.FailIf(t, !strings.Contains(err.Error(), "not a master"), "%s: %v", name, err)
	}
	storetest.OK(t, raw(t, replica).Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	storetest.Poll(t, patient, "the store works when the server is a master", func() bool {
		return store.Apply(t.Context(), change()) == nil
	})
}
