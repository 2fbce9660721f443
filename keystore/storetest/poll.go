package storetest

import (
	"testing"
	"time"
)

// poll waits until something is so, or the test has waited long enough.
func poll(t testing.TB, what string, so func() bool) {
	t.Helper()
	Poll(t, startTimeout, what, so)
}

// Poll waits until something is so, and fails the test when it is not in time.
func Poll(t testing.TB, within time.Duration, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within %v", what, within)
		case <-tick.C:
		}
	}
}
