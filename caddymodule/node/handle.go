package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// A Handle is the use that one configuration makes of a node. Caddy starts apps in any order, at a reload too, so
// requests may come before the store is open: they wait for that, as they would for the store.
type Handle struct {
	// Remembered is how many tokens the configuration has in memory, for the metrics.
	Remembered func() int

	node    atomic.Pointer[Node] // nil until Open
	open    chan struct{}        // closed when node is there
	release func()               // gives the node back; nil until Open
}

// NewHandle makes a handle on no node yet.
func NewHandle() *Handle {
	return &Handle{open: make(chan struct{}), Remembered: func() int { return 0 }}
}

var errNotStarted = fmt.Errorf("%w: the gateway is starting", keystore.ErrUnavailable)

// Open opens the store, or takes over the node that has it open. It is to be called once. onChange is called after
// each change of the store that this process makes, and must return at once; that of the first handle counts.
func (h *Handle) Open(ctx context.Context, place Place, onChange func(keystore.Event)) (*Node, error) {
	n, release, err := place.open(ctx, onChange)
	if err != nil {
		return nil, err
	}
	h.Use(n, release)
	return n, nil
}

// Use makes this a handle on a node that is open, which release gives back. It is to be called once, unless Open is.
func (h *Handle) Use(n *Node, release func()) {
	h.release = release
	h.node.Store(n)
	close(h.open)
	metrics.nodes.started(h)
}

// Now returns the node. Its error wraps [keystore.ErrUnavailable]. A nil handle, of an app that was not provisioned, has
// none.
func (h *Handle) Now() (*Node, error) {
	if h == nil {
		return nil, errNotStarted
	}
	if n := h.node.Load(); n != nil {
		return n, nil
	}
	return nil, errNotStarted
}

// Node returns the node, and waits for it if it has to, at most [keystore.ReadTimeout]. Its error wraps
// [keystore.ErrUnavailable].
func (h *Handle) Node(ctx context.Context) (*Node, error) {
	if n := h.node.Load(); n != nil {
		return n, nil
	}
	timeout := time.NewTimer(keystore.ReadTimeout)
	defer timeout.Stop()
	select {
	case <-h.open:
		return h.node.Load(), nil
	case <-ctx.Done():
	case <-timeout.C:
	}
	return nil, errNotStarted
}

// Close gives the node back: when the process exits at once, and otherwise later, for requests that are under way.
// A handle that was never opened has nothing to give back.
func (h *Handle) Close(exiting bool) {
	metrics.nodes.stopped(h)
	switch {
	case h.release == nil:
	case exiting:
		h.release()
		lateReleases.all()
	default:
		lateReleases.later(releaseDelay, h.release)
	}
}

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
