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
var lateReleases releases

type releases struct {
	mu       sync.Mutex
	pending  map[*lateRelease]struct{}
	underway sync.WaitGroup
}

type lateRelease struct {
	release func()
	timer   *time.Timer
}

// later calls release after a delay, or in all.
func (r *releases) later(delay time.Duration, release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		r.pending = make(map[*lateRelease]struct{})
	}
	late := &lateRelease{release: release}
	r.pending[late] = struct{}{}
	r.underway.Add(1)
	late.timer = time.AfterFunc(delay, func() { r.do(late) })
}

// do calls one release, unless it was called.
func (r *releases) do(late *lateRelease) {
	r.mu.Lock()
	_, pending := r.pending[late]
	delete(r.pending, late)
	r.mu.Unlock()
	if pending {
		defer r.underway.Done()
		late.release()
	}
}

// all calls now what was put off, and waits for what is under way.
func (r *releases) all() {
	r.mu.Lock()
	var pending []*lateRelease
	for late := range r.pending {
		late.timer.Stop()
		pending = append(pending, late)
	}
	r.mu.Unlock()
	for _, late := range pending {
		r.do(late)
	}
	r.underway.Wait()
}
