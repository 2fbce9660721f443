//go:build linux

package load

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// leastShare is how much of its throughput good traffic has to keep.
const leastShare = 0.8

// hold checks that good traffic has kept enough. Only a full-size run measures times.
func hold(t *testing.T, share float64) {
	t.Helper()
	if share < leastShare {
		t.Errorf("good traffic keeps %.2f of its throughput, want %.2f", share, leastShare)
	}
}

// goodConnections is how many clients good traffic has. Each sends its next request when it has the answer, so together
// they take what the gateway and they themselves can get of the two processors.
const goodConnections = 4

// throughput is how many good requests a second are answered, each with 200: the middle of some goes.
func (s *site) throughput(t *testing.T, request []byte) float64 {
	t.Helper()
	goes := make([]float64, sized(1, 3))
	for i := range goes {
		goes[i] = s.throughputFor(t, request, sized(50*time.Millisecond, 700*time.Millisecond))
	}
	return median(goes)
}

func (s *site) throughputFor(t *testing.T, request []byte, duration time.Duration) float64 {
	t.Helper()
	var answered atomic.Int64
	var clients sync.WaitGroup
	failures := make(chan error, goodConnections)
	begin := time.Now()
	for range goodConnections {
		clients.Go(func() {
			c := connection{address: s.address(s.port)}
			defer c.close()
			for first := true; first || time.Since(begin) < duration; first = false {
				status, err := c.send(request)
				if err != nil || status != http.StatusOK {
					failures <- fmt.Errorf("a good request is answered %d: %w", status, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	clients.Wait()
	took := time.Since(begin)
	close(failures)
	for err := range failures {
		t.Fatal(err)
	}
	return float64(answered.Load()) / took.Seconds()
}

// A flood is requests at a rate that does not depend on how they are answered, from as many connections as good traffic
// has, until it is stopped.
type flood struct {
	stop func() (sent int64, err error)
}

// startFlood begins to send so many requests a second, each of which is to be answered with a status.
func (s *site) startFlood(t *testing.T, perSecond, status int, request func() []byte) flood {
	t.Helper()
	var sent atomic.Int64
	var clients sync.WaitGroup
	done := make(chan struct{})
	failures := make(chan error, goodConnections)
	for range goodConnections {
		clients.Go(func() {
			c := connection{address: s.address(s.port)}
			defer c.close()
			// Many a tick, since a ticker of less than a millisecond is none.
			const interval = 10 * time.Millisecond
			tick := time.NewTicker(interval)
			defer tick.Stop()
			due := 0.0
			for {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				for due += float64(perSecond) * interval.Seconds() / goodConnections; due >= 1; due-- {
					got, err := c.send(request())
					if err != nil || got != status {
						failures <- fmt.Errorf("a request of the flood is answered %d, want %d: %w", got, status, err)
						return
					}
					sent.Add(1)
				}
			}
		})
	}
	stop := sync.OnceValues(func() (int64, error) {
		close(done)
		clients.Wait()
		close(failures)
		var all []error
		for err := range failures {
			all = append(all, err)
		}
		return sent.Load(), errors.Join(all...)
	})
	t.Cleanup(func() { _, _ = stop() })
	return flood{stop}
}

// descriptors is how many connections a test can have that wants so many: this process and the gateway have one
// descriptor each for one, and Go raises the limit of both as far as it may. It is printed when it is fewer.
func descriptors(t *testing.T, wanted int) int {
	t.Helper()
	const besides = 500
	out, err := exec.Command("sh", "-c", "ulimit -Hn").Output()
	if err != nil {
		t.Fatal(err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil { // it is unlimited
		return wanted
	}
	if most := limit - besides; most < wanted {
		figure(t, "%d connections in the place of %d: a process may have %d descriptors", most, wanted, limit)
		return most
	}
	return wanted
}
