package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// tokenMemory is what it takes to remember tokens.
type tokenMemory struct {
	tokens float64 // remembered
	heap   float64 // bytes more than without them
	text   float64 // bytes of a token as the client has it
}

// perToken is bytes of heap; none where it was not measured.
func (m tokenMemory) perToken() spread {
	if m.tokens == 0 {
		return spreadOf(nil)
	}
	return spreadOf([]float64{m.heap / m.tokens})
}

// measureTokenMemory compares the gateway that remembers all tokens with one of the same configuration that has seen none.
func (b *bench) measureTokenMemory(ctx context.Context) error {
	fresh, err := b.startGateway(ctx, "roomy-fresh", b.binaries.gateway, b.redis, fmt.Sprintf("cache_size %d", max(1_000, 2*b.plan.many)))
	if err != nil {
		return err
	}
	defer b.processes.end(fresh.process)
	// Both have their connections, and what the first requests make. No request has a token: with the first one the room
	// for all is taken.
	refused := &variant{address: fresh.sites[siteAuth], status: http.StatusUnauthorized}
	if refused.requests, err = b.requestFile("roomy-fresh", []string{read(deployment, "")}); err != nil {
		return err
	}
	if err := refused.warmUp(ctx, 2*hotTokens); err != nil {
		return err
	}
	var heap, tokens [2]float64
	for i, c := range []*caddy{b.roomy, fresh} {
		if heap[i], err = c.heap(ctx); err != nil {
			return err
		}
		if tokens[i], err = c.metric(ctx, rememberedMetric("tokens")); err != nil {
			return err
		}
	}
	text := 0
	for _, token := range b.tokens {
		text += len(token)
	}
	b.growth.memory = tokenMemory{tokens: tokens[0] - tokens[1], heap: heap[0] - heap[1], text: float64(text) / float64(len(b.tokens))}
	if b.growth.memory.tokens < float64(len(b.tokens))*9/10 {
		return fmt.Errorf("%s remembers %.0f tokens of %d", b.roomy.name, tokens[0], len(b.tokens))
	}
	return nil
}

// heap is how many bytes of a gateway's heap are in use, after two collections: the first leaves what is pooled.
func (c *caddy) heap(ctx context.Context) (float64, error) {
	for range 2 {
		if _, err := c.page(ctx, "/debug/pprof/heap?gc=1"); err != nil {
			return 0, err
		}
	}
	return c.metric(ctx, "go_memstats_heap_alloc_bytes")
}

// rememberedMetric counts what a gateway remembers of a kind.
func rememberedMetric(kind string) string {
	return fmt.Sprintf("caddy_deployment_keys_remembered{kind=%q}", kind)
}

// metric asks a gateway for one of its figures.
func (c *caddy) metric(ctx context.Context, name string) (float64, error) {
	text, err := c.page(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", c.name, name)
}

// page reads a page of Caddy's admin endpoint.
func (c *caddy) page(ctx context.Context, path string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, answer.Status)
	}
	return string(text), err
}
