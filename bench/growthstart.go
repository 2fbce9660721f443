package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"
)

// startCosts is how long a gateway takes from its start to the first request that it lets through, in milliseconds.
type startCosts struct {
	store string
	count int // of keys
	took  spread
	file  int64 // bytes of an embedded store
}

// A starter is a gateway that is started again and again.
type starter struct {
	costs   startCosts
	name    string
	redis   string // "": the embedded store of that name
	request storedKey
	token   string
	took    []float64
}

// measureStarts starts gateways with the fewest and with the most keys in turns.
func (b *bench) measureStarts(ctx context.Context, spaces []*keyspace) error {
	var starters []*starter
	for _, s := range []*keyspace{spaces[0], spaces[len(spaces)-1]} {
		onRedis := &starter{name: fmt.Sprintf("start-%d", s.count), redis: s.redis, request: s.keys[0], token: s.tokens[0]}
		onRedis.costs = startCosts{store: "Redis", count: s.count}
		embedded := &starter{name: embeddedName(s.count), request: s.keys[0]}
		embedded.costs = startCosts{store: "embedded", count: s.count}
		starters = append(starters, onRedis, embedded)
		info, err := os.Stat(b.embeddedFile(s.count))
		if err != nil {
			return err
		}
		embedded.costs.file = info.Size()
	}
	// The first start of an embedded store makes its signing key, and the token that the others let through.
	for _, s := range starters {
		if s.token == "" {
			c, _, err := b.startWith(ctx, s)
			if err != nil {
				return err
			}
			tokens, err := c.tokens(ctx, []key{s.request.key}, 1)
			b.processes.end(c.process)
			if err != nil {
				return err
			}
			s.token = tokens[0]
		}
	}
	for range b.plan.growth.starts {
		for _, s := range starters {
			c, took, err := b.startWith(ctx, s)
			if err != nil {
				return err
			}
			b.processes.end(c.process)
			s.took = append(s.took, float64(took.Microseconds())/1000)
		}
	}
	for _, s := range starters {
		s.costs.took = spreadOf(s.took)
		b.growth.starts = append(b.growth.starts, s.costs)
	}
	return nil
}

// startWith starts a gateway, and waits until it lets the request through, if there is a token for it.
func (b *bench) startWith(ctx context.Context, s *starter) (*caddy, time.Duration, error) {
	var options []string
	if s.redis == "" {
		// The keys were made under the bench's master secret, which the configuration may name and not show.
		file := b.path("master")
		if err := os.WriteFile(file, []byte(b.master), 0o600); err != nil {
			return nil, 0, err
		}
		options = append(options, "secret {file."+file+"}")
	}
	began := time.Now()
	c, err := b.startGateway(ctx, s.name, b.binaries.gateway, s.redis, options...)
	if err != nil || s.token == "" {
		return c, 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.sites[siteAuth]+"/"+s.request.deployment+"/api/v2/dags", nil)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	if err := c.waitFor(ctx, "it lets a request through", func() bool { return exchange(r, nil) == nil }); err != nil {
		return nil, 0, err
	}
	return c, time.Since(began), nil
}
