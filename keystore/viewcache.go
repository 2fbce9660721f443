package keystore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// A viewCache caches what the store said about things of one kind, by name. It is bounded and safe for
// concurrent use. It does not know how old an answer may be: the view decides whether to use it.
type viewCache[K comparable, V any] struct {
	known *otter.Cache[K, *cached[K, V]]
	load  func(context.Context, K) (V, error) // from the store

	// deploymentOf returns the Deployment with which an entry is deleted; "" is none. A nil deploymentOf
	// stands for none of all entries.
	deploymentOf func(K, *V) string

	// mu orders fills and changes: a load that began before a change must not put into known what the
	// change made untrue.
	mu      sync.Mutex
	loads   map[K][]*loading[K, V] // under way and not stale, oldest first
	deletes uint64                 // how many Deployments were deleted during loads
	deleted map[string]uint64      // those deleted during loads that are under way, by deletes

	// indexMu is locked last: known calls unlist.
	indexMu      sync.Mutex
	byDeployment map[string]map[*cached[K, V]]struct{}
}

// cached is a value, or that there is none: an error that wraps ErrNotFound. It does not change.
type cached[K comparable, V any] struct {
	name  K
	value *V
	err   error
}

// A loading is a read of the store under way.
type loading[K comparable, V any] struct {
	began   time.Time
	deletes uint64 // of the cache when it began
	done    chan struct{}
	result  *cached[K, V]
	stale   bool // a change of the thing came meanwhile: the result may be older
}

func newViewCache[K comparable, V any](size int, load func(context.Context, K) (V, error), deploymentOf func(K, *V) string) *viewCache[K, V] {
	c := &viewCache[K, V]{
		load:         load,
		deploymentOf: deploymentOf,
		loads:        make(map[K][]*loading[K, V]),
		deleted:      make(map[string]uint64),
		byDeployment: make(map[string]map[*cached[K, V]]struct{}),
	}
	opts := &otter.Options[K, *cached[K, V]]{MaximumSize: size}
	if deploymentOf != nil {
		opts.OnAtomicDeletion = func(e otter.DeletionEvent[K, *cached[K, V]]) { c.unlist(e.Value) }
	}
	c.known = otter.Must(opts)
	return c
}

// get returns what is cached.
func (c *viewCache[K, V]) get(name K) (*cached[K, V], bool) { return c.known.GetIfPresent(name) }

const (
	maxLoads = 3 // of one question, because of changes meanwhile

	// maxLoadTime bounds one question.
	maxLoadTime = ReadTimeout + ReadTimeout/5

	// maxDeleted bounds the Deployments deleted during loads. Beyond it, the loads under way are stale.
	maxDeleted = 10_000
)

// ask reads from the store and caches the answer. Questions that come together share one read. A stale answer
// is not cached, and is asked for again.
func (c *viewCache[K, V]) ask(ctx context.Context, name K) (*V, error) {
	// The keystore bounds each read, and this bounds what a store does that keeps no deadline.
	timeout := time.NewTimer(maxLoadTime)
	defer timeout.Stop()
	for range maxLoads {
		l, first := c.begin(name)
		if first {
			// In its own goroutine, since it must not end with the request that came first: others wait for it.
			go c.fill(context.WithoutCancel(ctx), name, l)
		} else if age := time.Since(l.began); age > maxLoadTime {
			// Its result may be from before the whole process stood still, and older than any change that was
			// received since. No second load begins: where a disk stands still, there would be ever more.
			return nil, fmt.Errorf("%w: a read that began %s ago has not ended", ErrUnavailable, age.Round(time.Millisecond))
		}
		select {
		case <-l.done:
		case <-timeout.C:
			return nil, fmt.Errorf("%w: it takes longer than %s", ErrUnavailable, maxLoadTime)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
		if !c.wasStale(l) {
			return l.result.value, l.result.err
		}
	}
	return nil, fmt.Errorf("%w: it changes faster than it can be read", ErrUnavailable)
}

// begin returns the load that a question may wait for, and whether the caller has to run it. The result of one
// that began before a Deployment was deleted may be of that Deployment.
func (c *viewCache[K, V]) begin(name K) (l *loading[K, V], first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	loads := c.loads[name]
	if n := len(loads); n > 0 && loads[n-1].deletes == c.deletes {
		return loads[n-1], false
	}
	l = &loading[K, V]{began: time.Now(), deletes: c.deletes, done: make(chan struct{})}
	c.loads[name] = append(loads, l)
	return l, true
}

func (c *viewCache[K, V]) fill(ctx context.Context, name K, l *loading[K, V]) {
	value, err := contained(ctx, name, c.load)
	l.result = &cached[K, V]{name, &value, err}
	if err != nil {
		l.result.value = nil
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(l.done)
	l.stale = l.stale || c.deleted[c.deployment(l.result)] > l.deletes
	if !l.stale && (err == nil || errors.Is(err, ErrNotFound)) {
		c.list(l.result)
		c.known.Set(name, l.result)
	}
	others := slices.DeleteFunc(c.loads[name], func(other *loading[K, V]) bool { return other == l })
	c.setLoads(name, others)
}

// contained turns a panic of the store into an error: it happens in a goroutine of its own, where it
// would end the process, and those who wait would never be answered.
func contained[K comparable, V any](ctx context.Context, name K, read func(context.Context, K) (V, error)) (value V, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: a fault in the store: %v", ErrUnavailable, fault)
		}
	}()
	return read(ctx, name)
}

func (c *viewCache[K, V]) wasStale(l *loading[K, V]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return l.stale
}

// forget drops one name, after a change in the store.
func (c *viewCache[K, V]) forget(name K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overtake(name)
	c.known.Invalidate(name)
}

// forgetDeployment drops the entries of a deleted Deployment, at the cost of their number. Of which Deployment a
// load is, only its result says.
func (c *viewCache[K, V]) forgetDeployment(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.deleted) >= maxDeleted {
		for name := range c.loads {
			c.overtake(name)
		}
	}
	if len(c.loads) > 0 {
		c.deletes++
		c.deleted[id] = c.deletes
	}
	c.indexMu.Lock()
	entries := c.byDeployment[id]
	delete(c.byDeployment, id)
	c.indexMu.Unlock()
	for entry := range entries {
		c.known.Invalidate(entry.name)
	}
}

// forgetAll drops everything.
func (c *viewCache[K, V]) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.loads {
		c.overtake(name)
	}
	c.known.InvalidateAll()
}

// overtake makes the loads of a name stale. Questions from now on begin another. The caller holds mu.
func (c *viewCache[K, V]) overtake(name K) {
	for _, l := range c.loads[name] {
		l.stale = true
	}
	c.setLoads(name, nil)
}

// setLoads sets the loads of a name that are under way and not stale. The caller holds mu.
func (c *viewCache[K, V]) setLoads(name K, loads []*loading[K, V]) {
	if len(loads) > 0 {
		c.loads[name] = loads
		return
	}
	if delete(c.loads, name); len(c.loads) == 0 {
		clear(c.deleted)
	}
}

// deployment returns the Deployment with which an entry is deleted, or "".
func (c *viewCache[K, V]) deployment(entry *cached[K, V]) string {
	if c.deploymentOf == nil {
		return ""
	}
	return c.deploymentOf(entry.name, entry.value)
}

// list adds an entry to those of its Deployment.
func (c *viewCache[K, V]) list(entry *cached[K, V]) {
	id := c.deployment(entry)
	if id == "" {
		return
	}
	c.indexMu.Lock()
	defer c.indexMu.Unlock()
	entries := c.byDeployment[id]
	if entries == nil {
		entries = make(map[*cached[K, V]]struct{})
		c.byDeployment[id] = entries
	}
	entries[entry] = struct{}{}
}

// unlist removes an entry that is no longer cached, for any reason.
func (c *viewCache[K, V]) unlist(entry *cached[K, V]) {
	id := c.deployment(entry)
	c.indexMu.Lock()
	defer c.indexMu.Unlock()
	if delete(c.byDeployment[id], entry); len(c.byDeployment[id]) == 0 {
		delete(c.byDeployment, id)
	}
}

func (c *viewCache[K, V]) size() int { return c.known.EstimatedSize() }

func (c *viewCache[K, V]) resize(size int) { c.known.SetMaximum(uint64(size)) }

func (c *viewCache[K, V]) close() { c.known.StopAllGoroutines() }
