package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
)

// growth is what does and what does not grow with the number of keys, of remembered tokens and of nodes.
type growth struct {
	bySize []sizeCosts // the fewest keys first
	starts []startCosts
	memory tokenMemory
	nodes  []nodeCosts // one node first
}

// A growthPlan is how much of that a run measures.
type growthPlan struct {
	keys   []int         // how many there are: the first is what the others are compared with, and is keysOfRequests at least
	rounds int           // of samples at a steady rate
	steady time.Duration // one of these
	peaks  int           // samples at full speed, of each number of keys
	starts int
	nodes  int // at most
}

var wholeGrowth = growthPlan{keys: []int{1_000, 100_000, 1_000_000}, rounds: 4, steady: time.Second, peaks: 3, starts: 3, nodes: 4}

// A keyspace is a Redis that holds so many keys, and a gateway on it.
type keyspace struct {
	count   int
	server  *process
	address string
	redis   string // its URL
	store   keystore.Store
	gateway *caddy
	keys    []storedKey // some of them, from all over the store
	tokens  []string    // of keys in turn; none of them was used yet
}

// measureGrowth measures what grows. It is the last part of a run, since what it starts would disturb the others.
func (b *bench) measureGrowth(ctx context.Context) error {
	var spaces []*keyspace
	defer func() {
		for _, s := range spaces {
			s.store.Close()
		}
	}()
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{"memory of remembered tokens", func() error { return b.measureTokenMemory(ctx) }},
		{"filling the stores", func() (err error) {
			spaces, err = b.fillKeyspaces(ctx)
			return err
		}},
		{"costs by the number of keys", func() error { return b.measureSizes(ctx, spaces) }},
		{"start-up", func() error { return b.measureStarts(ctx, spaces) }},
		{"one to four nodes", func() error { return b.measureNodes(ctx, spaces[len(spaces)-1]) }},
	} {
		began := time.Now()
		if err := part.do(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Printf("growth: %s, %s\n", part.name, time.Since(began).Round(time.Second))
	}
	return nil
}

// goals are the figures that have a limit. Of latencies it is the worst, of whichever requests and however many keys.
func (g growth) goals() []goal {
	worst, counts := spreadOf(nil), wholeGrowth.keys
	if len(g.bySize) > 0 {
		counts = []int{g.bySize[0].count, g.bySize[len(g.bySize)-1].count}
		for _, size := range g.bySize[1:] {
			for _, c := range size.kinds {
				if worst.count == 0 || c.ratio.median > worst.median {
					worst = c.ratio
				}
			}
		}
	}
	return []goal{
		{"a remembered token: memory", g.memory.perToken(), 1024, false, 0, " bytes"},
		{
			"up to " + thousands(counts[len(counts)-1]) + " keys: p50 of the kind of request that suffers most, to that with " + thousands(counts[0]),
			worst, 1.2, false, 2, "",
		},
	}
}

// keysOfRequests is how many of the keys of each store are used for requests. Of the most keys, those that come after them
// are for the nodes.
const keysOfRequests = 1_000

// fillKeyspaces fills a Redis for each number of keys, and starts a gateway on each. The file of an embedded store gets the
// most keys together with a Redis, and another one the fewest. Both cores work at that, since nothing is measured.
func (b *bench) fillKeyspaces(ctx context.Context) (spaces []*keyspace, err error) {
	counts := b.plan.growth.keys
	for i, count := range counts {
		s := &keyspace{count: count}
		name := fmt.Sprintf("redis-%d", count)
		if s.server, s.address, err = b.startRedis(ctx, name); err != nil {
			return spaces, err
		}
		s.redis = "redis://" + s.address
		remote, err := redisstore.Open(redisstore.Options{URL: s.redis, Timeout: keystore.ChangeTimeout})
		if err != nil {
			return spaces, err
		}
		s.store = remote
		spaces = append(spaces, s)
		filled, wanted := s.store, keysOfRequests
		if i == 0 || i == len(counts)-1 {
			embedded, err := boltstore.Open(b.embeddedFile(count), boltstore.Options{Timeout: keystore.ChangeTimeout})
			if err != nil {
				return spaces, err
			}
			defer embedded.Close()
			filled = twins{remote, embedded}
		}
		if i == len(counts)-1 {
			wanted += b.plan.growth.keysOfNodes()
		}
		if err := b.onBothCores(ctx, []*process{s.server}, func() error {
			s.keys, err = fillStore(ctx, filled, b.master, count, wanted)
			rand.Shuffle(len(s.keys), func(i, j int) { s.keys[i], s.keys[j] = s.keys[j], s.keys[i] })
			return err
		}); err != nil {
			return spaces, err
		}
		if s.gateway, err = b.startGateway(ctx, fmt.Sprintf("with-%d", count), b.binaries.gateway, s.redis); err != nil {
			return spaces, err
		}
		if s.tokens, err = s.gateway.tokens(ctx, withoutDeployments(s.keys[:keysOfRequests]), hotTokens+b.newTokens()); err != nil {
			return spaces, err
		}
	}
	return spaces, nil
}

// embeddedFile is the store of a gateway that has a file, where it finds it.
func (b *bench) embeddedFile(count int) string {
	return filepath.Join(b.dir, embeddedName(count), ".local", "share", "caddy", "deployment_keys", "keys.db")
}

func embeddedName(count int) string { return fmt.Sprintf("embedded-%d", count) }

// forget has gateways forget what they know of keys: they hear of a change of a kind that they do not know, which may be
// about anything.
func (s *keyspace) forget(ctx context.Context, gateways ...*caddy) error {
	const codeSize = 32 // bytes, before the event; these are wrong, and nobody looks at them to forget
	change := keystore.Change{Event: append(make([]byte, codeSize), `{"kind":"bench.forget"}`...)}
	if err := s.store.Apply(ctx, change); err != nil {
		return err
	}
	for _, c := range gateways {
		err := c.waitFor(ctx, "it has forgotten its keys", func() bool {
			known, err := c.metric(ctx, rememberedMetric("keys"))
			return err == nil && known == 0
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// withoutDeployments are keys as those of one Deployment.
func withoutDeployments(keys []storedKey) []key {
	bare := make([]key, len(keys))
	for i, k := range keys {
		bare[i] = k.key
	}
	return bare
}

// onBothCores has the bench and some processes use the core of the servers too, while something is done.
func (b *bench) onBothCores(ctx context.Context, processes []*process, do func() error) error {
	all := fmt.Sprintf("%d,%d", serverCore, loadCore)
	if err := b.moveTo(ctx, all, processes); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return b.moveTo(ctx, fmt.Sprint(loadCore), processes)
}

// moveTo moves the bench and some processes to cores.
func (b *bench) moveTo(ctx context.Context, cores string, processes []*process) error {
	ids := []int{os.Getpid()}
	for _, p := range processes {
		ids = append(ids, p.cmd.Process.Pid)
	}
	for _, id := range ids {
		if _, err := b.run(ctx, "taskset", "--all-tasks", "--pid", "--cpu-list", cores, strconv.Itoa(id)); err != nil {
			return err
		}
	}
	return nil
}
