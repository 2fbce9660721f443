package gatewaytest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Patience bounds each wait for a process: generous, because it is only ever used up by a failure, and a busy machine
// with the race detector is slow.
const Patience = 30 * time.Second

// Eventually calls condition until it is true. A condition that stays false ends the test with what was waited for.
func Eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %s in vain for: %s", Patience, what)
		}
	}
}

// Free ports are taken from below the range that systems give to outgoing connections, so that no connection of another
// test takes one between here and its use.
const (
	firstPort = 20000
	lastPort  = 32000
)

// ports are those that FreePort has returned in this process.
var ports = struct {
	sync.Mutex
	taken map[int]bool
}{taken: make(map[int]bool)}

// FreePort returns a TCP port of 127.0.0.1 on which nothing listens, a different one with each call.
func FreePort(t *testing.T) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if ports.taken[port] {
			continue
		}
		// All addresses, because that is what a site without a host listens on.
		listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		listener.Close()
		ports.taken[port] = true
		return port
	}
	t.Fatalf("no free port between %d and %d", firstPort, lastPort)
	return 0
}
