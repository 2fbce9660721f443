//go:build linux

package load

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// A floodKind is what strangers can send without end.
type floodKind struct {
	name    string
	status  int
	request func() []byte

	// signature says that each costs a verification, so that the flood is of half as many.
	signature bool

	// storeReads is how often the store may be asked for records, whatever the number of requests.
	storeReads int
}

// deletedKeys is how many keys are deleted whose IDs are sent.
const deletedKeys = 10

// own is how often a gateway may read its store meanwhile for itself: entering refusals into the audit log, and what it
// looks at once a minute.
const own = 20

// floods are those of unknown keys and of garbage.
func (s *site) floods(t *testing.T) []floodKind {
	t.Helper()
	k := s.NewKey(t, deployment)
	token := s.token(t, k)
	gone, goneTokens := make([]gatewaytest.Key, deletedKeys), make([]string, deletedKeys)
	for i := range gone {
		gone[i], goneTokens[i] = s.deletedKey(t)
	}
	const at = "/oauth/token"
	// Several goroutines take turns.
	var turns atomic.Uint64
	turn := func() int { return int(turns.Add(1) % deletedKeys) }
	// Made before, since to make one takes this process longer than the gateway a good request.
	forged := make([][]byte, sized(100, 10_000))
	for i := range forged {
		forged[i] = get(airflowPath, bearer(badSignature(t, token)))
	}
	return []floodKind{
		{name: "made-up key IDs", status: 401, request: func() []byte { return post(at, grant(madeUpID(k.ID), k.Secret)) }},
		{name: "made-up key IDs by Basic", status: 401, request: func() []byte { return get(deployPath, basic(madeUpID(k.ID), k.Secret)) }},
		{name: "IDs that are none", status: 401, request: func() []byte { return post(at, grant(randomText(12), k.Secret)) }},
		{name: "one deleted key", status: 401, request: always(post(at, grant(gone[0].ID, gone[0].Secret))), storeReads: 1},
		{name: "deleted keys", status: 401, request: func() []byte { i := turn(); return post(at, grant(gone[i].ID, gone[i].Secret)) }, storeReads: deletedKeys},
		{name: "tokens of deleted keys", status: 401, request: func() []byte { return get(airflowPath, bearer(goneTokens[turn()])) }, storeReads: 2 * deletedKeys},
		{name: "wrong secrets of a key", status: 401, request: always(post(at, grant(k.ID, gone[0].Secret))), storeReads: 1},
		{name: "garbage for secrets", status: 401, request: func() []byte { return post(at, grant(k.ID, randomText(50))) }, storeReads: 1},
		{name: "garbage tokens", status: 401, request: func() []byte { return get(airflowPath, bearer(randomText(200))) }},
		{name: "tokens with bad signatures", status: 401, signature: true, request: func() []byte {
			return forged[turns.Add(1)%uint64(len(forged))]
		}},
		{name: "made-up Deployments with a token", status: 403, request: func() []byte { return get("/"+randomText(10)+"/api/x", bearer(token)) }, storeReads: own},
	}
}

// However much strangers send, the store is not asked more: never for IDs that it has not made, and once for each that it
// has made. Redis hears of the rest by a few entries of the audit log.
func TestFloodsLeaveTheStoreAlone(t *testing.T) {
	beside(t)
	s := startSiteOn(t, storetest.StartRedis(t))
	requests := sized(600, 20_000)
	c := connection{address: s.address(s.port)}
	defer c.close()
	for _, f := range s.floods(t) {
		t.Run(f.name, func(t *testing.T) {
			reads, commands, memory, began := s.storeReads(t), s.redisCommands(t), s.memory(t), time.Now()
			for range requests {
				status, err := c.send(f.request())
				if err != nil || status != f.status {
					t.Fatalf("status %d, want %d: %v", status, f.status, err)
				}
			}
			took := time.Since(began)
			asked := s.storeReads(t) - reads
			if asked > f.storeReads+own {
				t.Errorf("the store was asked for records %d times for %d requests, want %d at most", asked, requests, f.storeReads+own)
			}
			all := 0
			more := s.redisCommands(t)
			for name, calls := range more {
				if calls -= commands[name]; calls == 0 || name == "info" {
					delete(more, name)
					continue
				}
				more[name] -= commands[name]
				all += more[name]
			}
			// The first refusal of each kind is entered into the audit log, which takes some commands, and the follower asks
			// for news.
			if bound := f.storeReads + 10*own + 10*int(took/time.Second+1); all > bound {
				t.Errorf("Redis got %d commands in %s for %d requests, want %d at most: %v", all, took, requests, bound, more)
			}
			if grown := s.memory(t) - memory; grown > 128<<20 {
				t.Errorf("the gateway has grown by %d bytes", grown)
			}
			figure(t, "| %d × %s | %d store reads | %d Redis commands in %.1f s, followers included |", requests, f.name, asked, all, took.Seconds())
		})
	}
}

// While a flood goes on at a bounded rate, good traffic keeps its throughput. The flood comes from as many connections, and
// what sends it takes its part of the same two processors. It says too at which rate a flood takes a fifth of a core.
func TestFloodsLeaveThroughput(t *testing.T) {
	beside(t)
	s := startSite(t)
	good := get(airflowPath, bearer(s.token(t, s.NewKey(t, deployment))))
	before := s.memory(t)
	for _, f := range s.floods(t) {
		t.Run(f.name, func(t *testing.T) {
			perSecond := 1000
			if f.signature {
				perSecond = 500
			}
			var shares, with []float64
			var cost []time.Duration
			for try := 0; len(shares) < sized(1, 5) && try < 20; try++ {
				var alone, beside float64
				calm := s.undisturbed(t, func() { alone = s.throughput(t, good) })
				fl := s.startFlood(t, perSecond, f.status, f.request)
				calm = s.undisturbed(t, func() { beside = s.throughput(t, good) }) && calm
				sent, err := fl.stop()
				if err != nil {
					t.Fatal(err)
				}
				if full && sent == 0 {
					t.Fatal("nothing was sent")
				}
				cost = append(cost, s.costOf(t, f))
				if calm || !full {
					shares, with = append(shares, beside/alone), append(with, beside)
				}
			}
			if !full {
				return
			}
			if len(shares) < 3 {
				t.Fatalf("others used the machine in all but %d of %d tries: nothing else should run", len(shares), len(cost))
			}
			share, each := median(shares), median(cost)
			figure(t, "| %s | %d/s | %.0f good requests a second beside it: %.2f of before | %.0f µs of CPU each | a fifth of a core at %.0f/s |",
				f.name, perSecond, median(with), share, float64(each)/1e3, 0.2*float64(time.Second)/float64(each))
			hold(t, share)
		})
	}
	after := s.memory(t)
	figure(t, "memory before the floods %d MiB, after them %d MiB", before>>20, after>>20)
	if after-before > 256<<20 {
		t.Errorf("the gateway has grown from %d to %d bytes", before, after)
	}
}

// costOf is what one request of a flood takes of the processors in the gateway.
func (s *site) costOf(t *testing.T, f floodKind) time.Duration {
	t.Helper()
	c := connection{address: s.address(s.port)}
	defer c.close()
	requests := sized(5, 1000)
	begin := s.processorTime(t)
	for range requests {
		if status, err := c.send(f.request()); err != nil || status != f.status {
			t.Fatalf("status %d, want %d: %v", status, f.status, err)
		}
	}
	return (s.processorTime(t) - begin) / time.Duration(requests)
}
