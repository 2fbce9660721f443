package caddymodule

import (
	"sync"
	"time"
)

// releaseDelay is how long a store stays open after the configuration that used it: requests
// that were under way at a reload still ask it. It is longer than a request takes from its
// header to its decision.
const releaseDelay = 30 * time.Second

// lateReleases are the stores that configurations which have ended have still to give back. When the
// process ends they are given back at once: the last one that has a node ends it, and a node has things
// to write before its end.
var lateReleases = struct {
	sync.Mutex
	pending map[*time.Timer]func()
}{pending: make(map[*time.Timer]func())}

// releaseLate calls release after releaseDelay, or in releaseAll.
func releaseLate(release func()) {
	lateReleases.Lock()
	defer lateReleases.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(releaseDelay, func() {
		if takeRelease(timer) {
			release()
		}
	})
	lateReleases.pending[timer] = release
}

// takeRelease reports whether a release is still to be done, and leaves it to the caller.
func takeRelease(timer *time.Timer) bool {
	lateReleases.Lock()
	defer lateReleases.Unlock()
	_, pending := lateReleases.pending[timer]
	delete(lateReleases.pending, timer)
	return pending
}

// releaseAll does now what releaseLate has put off.
func releaseAll() {
	lateReleases.Lock()
	pending := lateReleases.pending
	lateReleases.pending = make(map[*time.Timer]func())
	lateReleases.Unlock()
	for timer, release := range pending {
		timer.Stop()
		release()
	}
}
