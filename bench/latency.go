package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A latency is how long answers took at half of the rate that the bare proxy had at its peak: the same number of requests a
// second for each variant, so that what is compared is the time of the answers alone.
type latency struct {
	variant  *variant
	rate     float64 // requests a second
	p50, p99 spread  // of each round, in microseconds
}

// measureLatencies has each variant answer at a steady rate. A variant that is slower than that rate is asked at half of
// its own.
func (b *bench) measureLatencies(ctx context.Context) error {
	all := make(map[*variant][2][]float64)
	var order []*variant
	rates := make(map[*variant]float64)
	for _, v := range b.variants {
		if !v.latency {
			continue
		}
		peak := spreadOf(values(v.samples, (*sample).rate)).median
		if bare := b.find(bareProxy); v.group == proxied && bare != nil {
			peak = min(peak, spreadOf(values(bare.samples, (*sample).rate)).median)
		}
		if !(peak > 0) { // all samples were dropped
			continue
		}
		order, rates[v] = append(order, v), peak/2
	}
	for range b.plan.latencyRounds {
		for _, v := range order {
			if err := v.prepare(ctx); err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			took, err := v.steadily(ctx, rates[v], b.plan.latency)
			for try := 1; onlyUnavailable(err) && try < b.plan.tries; try++ {
				b.dropped = append(b.dropped, v.name+": some answers at a steady rate were 503")
				took, err = v.steadily(ctx, rates[v], b.plan.latency)
			}
			if err != nil {
				return fmt.Errorf("%s, at a steady rate: %w", v.name, err)
			}
			found := all[v]
			found[0], found[1] = append(found[0], quantile(took, 0.5)), append(found[1], quantile(took, 0.99))
			all[v] = found
		}
	}
	for _, v := range order {
		b.latencies = append(b.latencies, latency{v, rates[v], spreadOf(all[v][0]), spreadOf(all[v][1])})
	}
	return nil
}

// steadily sends requests at a rate, whether answers come or not, and returns how long these took, in microseconds and
// sorted. The time of a request begins when it was due, not when a connection was free for it: a server that stalls does
// not slow the load down, and so its stall is seen by all requests that were due meanwhile.
func (v *variant) steadily(ctx context.Context, rate float64, lasting time.Duration) ([]float64, error) {
	text, err := os.ReadFile(v.requests)
	if err != nil {
		return nil, err
	}
	requests := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	count := int(rate * lasting.Seconds())
	took := make([]float64, count)
	var next atomic.Int64
	var workers sync.WaitGroup
	var mu sync.Mutex
	var failures []error
	begin := time.Now().Add(50 * time.Millisecond)
	for range connections {
		workers.Go(func() {
			c, err := dialSteady(ctx, v.address, lasting)
			for err == nil {
				i := int(next.Add(1) - 1)
				if i >= count {
					c.Close()
					return
				}
				due := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
				time.Sleep(time.Until(due))
				if err = c.exchange(requests[(v.sent+i)%len(requests)], v.status); err == nil {
					took[i] = float64(time.Since(due).Nanoseconds()) / 1000
				}
			}
			mu.Lock()
			failures = append(failures, err)
			mu.Unlock()
		})
	}
	workers.Wait()
	v.sent += count
	slices.Sort(took)
	return took, errors.Join(failures...)
}

// A steadyConn is a connection of the steady load.
type steadyConn struct {
	net.Conn
	answers *bufio.Reader
}

func dialSteady(ctx context.Context, address string, lasting time.Duration) (*steadyConn, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &steadyConn{c, bufio.NewReader(c)}, c.SetDeadline(time.Now().Add(lasting + 10*time.Second))
}

// exchange sends a request and reads its answer, which has to have a status.
func (c *steadyConn) exchange(request string, status int) error {
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != status {
		return fmt.Errorf("status %d, want %d", answer.StatusCode, status)
	}
	return nil
}
