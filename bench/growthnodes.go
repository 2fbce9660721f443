package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// nodeCosts are what a Redis does for so many gateways.
type nodeCosts struct {
	nodes                           int
	rest                            redisCost // a second of them all while nobody wants anything of them
	rememberedToken, newToken, edit redisCost // one of each; an edit is a key that is made, or deleted
}

// redisCost is the work of a Redis for one of something.
type redisCost struct{ commands, microseconds float64 }

// How the nodes are measured. Each sample waits for what the gateways write a moment later: when keys were used, and the
// audit log.
const (
	keysOfSlot = 200 // that no node has seen before, for each node of each number of nodes
	tokensEach = 500 // of keys that are remembered, on each node
	editsMade  = 100 // half of them are keys that are made, and half the same ones deleted
	restTime   = 2 * time.Second
	afterwards = 1500 * time.Millisecond
)

// keysOfNodes is how many keys the nodes take.
func (p growthPlan) keysOfNodes() int { return p.nodes * (p.nodes + 1) / 2 * keysOfSlot }

// measureNodes measures one gateway more each time, on the same Redis. They are new ones: the one that has answered so far
// still has to write when many keys were used.
func (b *bench) measureNodes(ctx context.Context, s *keyspace) error {
	b.processes.end(s.gateway.process)
	var nodes []*caddy
	unseen := s.keys[keysOfRequests:]
	for n := 1; n <= b.plan.growth.nodes; n++ {
		c, err := b.startGateway(ctx, fmt.Sprintf("node-%d", n), b.binaries.gateway, s.redis)
		if err != nil {
			return err
		}
		nodes = append(nodes, c)
		costs, err := b.measureSomeNodes(ctx, s, nodes, unseen[:n*keysOfSlot])
		if err != nil {
			return fmt.Errorf("%d nodes: %w", n, err)
		}
		unseen = unseen[n*keysOfSlot:]
		b.growth.nodes = append(b.growth.nodes, costs)
	}
	return nil
}

// measureSomeNodes measures what the Redis does for some nodes.
func (b *bench) measureSomeNodes(ctx context.Context, s *keyspace, nodes []*caddy, unseen []storedKey) (costs nodeCosts, err error) {
	costs.nodes = len(nodes)
	known := withoutDeployments(oneOfEach(s.keys[:keysOfRequests]))
	askAll := func(count int, keysOf func(node int) []key) error {
		for i, c := range nodes {
			if _, err := c.tokens(ctx, keysOf(i), count); err != nil {
				return err
			}
		}
		return nil
	}
	hot := func(int) []key { return known }
	if err := askAll(len(known), hot); err != nil { // they remember these, and note that they were used
		return costs, err
	}
	if err := pause(ctx, afterwards); err != nil {
		return costs, err
	}
	var rest redisCost
	if rest, err = s.spent(ctx, rest, 0, func() error { return pause(ctx, restTime) }); err != nil {
		return costs, err
	}
	costs.rest = rest
	costs.rememberedToken, err = s.spent(ctx, rest, len(nodes)*tokensEach, func() error { return askAll(tokensEach, hot) })
	if err != nil {
		return costs, err
	}
	if err := s.forget(ctx, nodes...); err != nil {
		return costs, err
	}
	if err := askAll(len(known), hot); err != nil { // the Deployments are known again, and the signing keys
		return costs, err
	}
	if err := pause(ctx, afterwards); err != nil {
		return costs, err
	}
	noted, err := notedUses(ctx, nodes)
	if err != nil {
		return costs, err
	}
	costs.newToken, err = s.spent(ctx, rest, len(unseen), func() error {
		err := askAll(keysOfSlot, func(node int) []key {
			return withoutDeployments(unseen[node*keysOfSlot : (node+1)*keysOfSlot])
		})
		if err != nil {
			return err
		}
		if err := pause(ctx, afterwards); err != nil {
			return err
		}
		return nodes[len(nodes)-1].waitFor(ctx, "it has noted that the keys were used", func() bool {
			now, err := notedUses(ctx, nodes)
			return err == nil && now >= noted+float64(len(unseen))
		})
	})
	if err != nil {
		return costs, err
	}
	costs.edit, err = s.spent(ctx, rest, editsMade, func() error { return s.edit(ctx, nodes) })
	return costs, err
}

// notedUses is how many notes of the use of a key some nodes have written.
func notedUses(ctx context.Context, nodes []*caddy) (total float64, err error) {
	for _, c := range nodes {
		noted, err := c.metric(ctx, `caddy_deployment_keys_key_uses_total{outcome="recorded"}`)
		if err != nil {
			return 0, err
		}
		total += noted
	}
	return total, nil
}

// oneOfEach are keys of which no two are of the same Deployment.
func oneOfEach(keys []storedKey) []storedKey {
	var found []storedKey
	seen := make(map[string]bool)
	for _, k := range keys {
		if !seen[k.deployment] {
			seen[k.deployment] = true
			found = append(found, k)
		}
	}
	return found
}

// edit makes keys and deletes them, one after the other and on each node in turn.
func (s *keyspace) edit(ctx context.Context, nodes []*caddy) error {
	id := s.keys[0].deployment
	for i := range editsMade / 2 {
		k, err := nodes[i%len(nodes)].newKey(ctx, id)
		if err != nil {
			return err
		}
		if err := nodes[i%len(nodes)].manage(ctx, http.MethodDelete, "/deployments/"+id+"/keys/"+k.ID, nil, nil); err != nil {
			return err
		}
	}
	return pause(ctx, afterwards)
}

// spent is what the Redis does meanwhile for each of count things, without what it does at rest; of no things, it is what it
// does a second.
func (s *keyspace) spent(ctx context.Context, rest redisCost, count int, do func() error) (cost redisCost, err error) {
	before, err := s.use(ctx)
	if err != nil {
		return cost, err
	}
	if err := do(); err != nil {
		return cost, err
	}
	after, err := s.use(ctx)
	if err != nil {
		return cost, err
	}
	seconds := after.at.Sub(before.at).Seconds()
	cost = redisCost{
		float64(after.commands-before.commands) - rest.commands*seconds,
		float64((after.cpu-before.cpu).Nanoseconds())/1000 - rest.microseconds*seconds,
	}
	if count == 0 {
		return redisCost{cost.commands / seconds, cost.microseconds / seconds}, nil
	}
	return cost.of(count), nil
}

func (c redisCost) of(count int) redisCost {
	return redisCost{c.commands / float64(count), c.microseconds / float64(count)}
}

// pause waits, unless the run ends.
func pause(ctx context.Context, lasting time.Duration) error {
	timer := time.NewTimer(lasting)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
