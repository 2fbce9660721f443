package integration

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// busy is what a machine that is busy with other tests may add to a moment.
const busy = time.Second

// linked is a store that one node reaches by way of a link.
func linked(t *testing.T, s store, maxStaleness string) (store, *link) {
	t.Helper()
	l := startLink(t, s.redis.Addr())
	far := redisAt(l.URL(), s.master, s.redis)
	far.options += "\n\t\tmax_staleness " + maxStaleness
	return far, l
}

// A node that is cut off goes on from what it knows for max_staleness, then says 503, and never takes an outage for a
// no. What was deleted meanwhile is refused before anything is accepted again.
func TestBlockedLinkIsAnOutageAndNeverANo(t *testing.T) {
	t.Parallel()
	const maxStaleness = 2 * time.Second
	s := onRedis(t)
	near := startSite(t, s)
	way, l := linked(t, s, "2s")
	far := startSite(t, way)
	near.newDeployment(t, "dep1")
	keys := near.newKeys(t, "dep1", 2)
	tokens := near.tokens(t, keys)
	far.useAll(t, keys, tokens)
	kept, deleted := startWatch(t, far, "dep1", tokens[0]), startWatch(t, far, "dep1", tokens[1])
	// The first answers have connections to make; what is timed should not.
	eventually(t, "both are accepted", func() bool {
		_, a := kept.since(time.Time{}, http.StatusOK)
		_, b := deleted.since(time.Time{}, http.StatusOK)
		return a && b
	})

	l.block()
	blocked := time.Now()
	near.deleteKey(t, keys[1])
	gone := time.Now()
	eventually(t, "what the node knows is too old", func() bool {
		_, ok := kept.since(blocked, http.StatusServiceUnavailable)
		return ok
	})
	first, _ := kept.since(blocked, http.StatusServiceUnavailable)
	accepted := first.sent.Sub(blocked)
	figure(t, "link blocked, requests accepted for (max_staleness 2s)", accepted)
	// What the node knew may have been a second old already.
	if accepted < (maxStaleness-time.Second)/2 || accepted > maxStaleness+busy {
		t.Errorf("requests were accepted for %s, want max_staleness, or a second less", accepted)
	}
	// While it lasts, nobody waits for a store that does not answer: many are told at once.
	c := keepAlive(t)
	slowest := make([]time.Duration, 20)
	var done sync.WaitGroup
	var mu sync.Mutex
	for i := range slowest {
		done.Go(func() {
			begin := time.Now()
			status, err := far.fetch(c, "dep1", tokens[i%2])
			slowest[i] = time.Since(begin)
			if err := wanted(http.StatusServiceUnavailable, status, err); err != nil {
				mu.Lock()
				defer mu.Unlock()
				t.Error(err)
			}
		})
	}
	done.Wait()
	figures(t, "link blocked, 503 after", slowest)
	if took := percentile(slowest, 1); took > keystore.ReadTimeout+busy {
		t.Errorf("a 503 took %s, want %s at most", took, keystore.ReadTimeout+busy)
	}
	// One that waits for the store twice would be too slow, also where the machine is not.
	if took := percentile(slowest, 0.5); took > keystore.ReadTimeout*9/5 {
		t.Errorf("a 503 took %s at p50, want about %s", took, keystore.ReadTimeout)
	}
	ready, err := try(t, http.MethodGet, far.Admin("/deployments/-/ready"), nil)
	if err != nil || ready.Status != http.StatusServiceUnavailable {
		t.Errorf("the node says that it is ready: %d %s %v", ready.Status, ready.Body, err)
	}

	l.heal()
	healed := time.Now()
	eventually(t, "the node serves again, and knows what was deleted", func() bool {
		_, a := kept.since(healed, http.StatusOK)
		_, b := deleted.since(healed, http.StatusUnauthorized)
		return a && b
	})
	back, _ := kept.since(healed, http.StatusOK)
	served := back.sent.Add(back.took).Sub(healed)
	figure(t, "link healed, service after", served)
	if served > 5*time.Second {
		t.Errorf("service %s after the link healed", served)
	}
	kept.wantOnly(t, "the key that lives", http.StatusOK, http.StatusServiceUnavailable)
	deleted.wantOnly(t, "the deleted key", http.StatusOK, http.StatusServiceUnavailable, http.StatusUnauthorized)
	deleted.wantNoneAcceptedAfter(t, "the deleted key after max_staleness", gone.Add(maxStaleness+promised+busy))
	deleted.wantNoneAcceptedAfter(t, "the deleted key after the link healed", healed)
	for _, one := range append(kept.stop(), deleted.stop()...) {
		if one.status == http.StatusServiceUnavailable && one.took > outage {
			t.Errorf("a 503 took %s, want %s at most", one.took, outage)
			break
		}
	}
}

// making creates keys one after the other until stop, and keeps those that were answered 201.
type making struct {
	end  chan struct{}
	done sync.WaitGroup
	mu   sync.Mutex
	made []key
	odd  map[string]int // answers that are neither 201 nor 503
}

func startMaking(t *testing.T, g *site, deployment string) *making {
	t.Helper()
	m := &making{end: make(chan struct{}), odd: make(map[string]int)}
	c := keepAlive(t)
	stop := sync.OnceFunc(func() { close(m.end) })
	t.Cleanup(func() { stop(); m.done.Wait() })
	m.done.Go(func() {
		tick := time.NewTicker(4 * watchPause)
		defer tick.Stop()
		for {
			select {
			case <-m.end:
				return
			case <-tick.C:
			}
			k, status, err := g.fetchKey(c, deployment)
			m.mu.Lock()
			switch {
			case err == nil && status == http.StatusCreated:
				m.made = append(m.made, k)
			case err != nil || status != http.StatusServiceUnavailable:
				m.odd[fmt.Sprintf("status %d: %v", status, err)]++
			}
			m.mu.Unlock()
		}
	})
	return m
}

// count is how many keys were made.
func (m *making) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.made)
}

// stop ends it, holds that no answer was odd, and returns the keys that were made.
func (m *making) stop(t *testing.T) []key {
	t.Helper()
	close(m.end)
	m.done.Wait()
	m.end = make(chan struct{}) // which the cleanup closes
	for how, times := range m.odd {
		t.Errorf("%d keys: %s", times, how)
	}
	return m.made
}

// works reports whether a node makes a key, a token of it, and lets it pass on another node.
func works(c *http.Client, nodes []*site, deployment string) bool {
	for i, g := range nodes {
		k, status, err := g.fetchKey(c, deployment)
		if wanted(http.StatusCreated, status, err) != nil {
			return false
		}
		other := nodes[(i+1)%len(nodes)]
		token, status, err := other.fetchToken(c, k)
		if wanted(http.StatusOK, status, err) != nil {
			return false
		}
		if status, err = g.fetch(c, deployment, token); wanted(http.StatusOK, status, err) != nil {
			return false
		}
	}
	return true
}

// wantKept holds that all keys that were answered 201 are there.
func wantKept(t *testing.T, g *site, keys []key) {
	t.Helper()
	if len(keys) == 0 {
		t.Fatal("no key was made")
	}
	g.useAll(t, keys, g.tokens(t, keys))
	figure(t, "acknowledged keys that were looked for and found", len(keys))
}

// A Redis that has each write on its disk before it answers loses nothing that was acknowledged, however it ends.
func TestKilledDurableRedisLosesNothing(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, storetest.Durable...)
	s := redisAt(server.URL(), newMasterSecret(), server)
	nodes := []*site{startSite(t, s), startSite(t, s)}
	nodes[0].newDeployment(t, "dep1")
	keys := nodes[0].newKeys(t, "dep1", 2)
	tokens := nodes[0].tokens(t, keys)
	var lives, dead []*watch
	for _, g := range nodes {
		g.useAll(t, keys, tokens)
	}
	nodes[0].deleteKey(t, keys[1])
	c := keepAlive(t)
	eventually(t, "the other node has heard of it", func() bool {
		status, err := nodes[1].fetch(c, "dep1", tokens[1])
		return wanted(http.StatusUnauthorized, status, err) == nil
	})
	for _, g := range nodes {
		lives, dead = append(lives, startWatch(t, g, "dep1", tokens[0])), append(dead, startWatch(t, g, "dep1", tokens[1]))
	}
	m := startMaking(t, nodes[0], "dep1")
	for range 3 {
		enough := m.count() + 10
		eventually(t, "keys are made", func() bool { return m.count() >= enough })
		server.Kill()
		server.Restart()
		restarted := time.Now()
		eventually(t, "the service is back", func() bool { return works(c, nodes, "dep1") })
		took := time.Since(restarted)
		figure(t, "Redis killed and restarted, service after", took)
		if took > 5*time.Second {
			t.Errorf("the service was back %s after Redis", took)
		}
	}
	wantKept(t, nodes[1], m.stop(t))
	for i := range nodes {
		lives[i].wantOnly(t, "the key that lives", http.StatusOK, http.StatusServiceUnavailable)
		dead[i].wantOnly(t, "the deleted key", http.StatusUnauthorized, http.StatusServiceUnavailable)
	}
}
