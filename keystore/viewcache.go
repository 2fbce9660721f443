package keystore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// facts is what the store said about things of one kind, by their names. It is bounded, and safe
// for concurrent use. It knows nothing of ages: whether it may be asked is the view's to say.
type facts[K comparable, V any] struct {
	known  *otter.Cache[K, *fact[V]]
	inform func(context.Context, K) (V, error) // reads from the store

	// mu orders what is put into known with what is forgotten: a read of the store that began
	// before a change must not put in what the change has made untrue.
	mu       sync.Mutex
	underway map[K]*reading[V]
}

// A fact is a value, or that there is none, which is an error that wraps ErrNotFound. It does not
// change: a change of the thing is another fact.
type fact[V any] struct {
	value *V
	err   error
}

// A reading is a read of the store that is under way.
type reading[V any] struct {
	began    time.Time
	done     chan struct{}
	result   fact[V]
	overtook bool // a change came meanwhile: the result may be of before it
}

func newFacts[K comparable, V any](size int, inform func(context.Context, K) (V, error)) *facts[K, V] {
	return &facts[K, V]{
		inform:   inform,
		known:    otter.Must(&otter.Options[K, *fact[V]]{MaximumSize: size}),
		underway: make(map[K]*reading[V]),
	}
}

// get is what is known.
func (f *facts[K, V]) get(name K) (*fact[V], bool) { return f.known.GetIfPresent(name) }

// mostReadings bounds how often a question is put again because of changes meanwhile, and
// mostPatience how long an answer is waited for in all.
const (
	mostReadings = 3
	mostPatience = ReadTimeout + ReadTimeout/5
)

// ask reads from the store, and remembers the answer. Of questions that come together, one is
// put for all. An answer that a change has overtaken is not remembered, and asked for again.
func (f *facts[K, V]) ask(ctx context.Context, name K) (*V, error) {
	// The keystore bounds each read. That is not left to the last of it: where a disk stands still,
	// nothing else ends a read of the embedded store.
	patience := time.NewTimer(mostPatience)
	defer patience.Stop()
	for range mostReadings {
		r, first := f.begin(name)
		if first {
			// By itself, since it does not end with the request that happened to come first: others
			// wait for it.
			go f.read(context.WithoutCancel(ctx), name, r)
		} else if age := time.Since(r.began); age > mostPatience {
			// What it will say may be from long ago: of before the whole process stood still, where nobody has heard of
			// a change since. Another one is not begun in its place: where a disk stands still, there would be ever more.
			return nil, fmt.Errorf("%w: a read that began %s ago has not ended", ErrUnavailable, age.Round(time.Millisecond))
		}
		select {
		case <-r.done:
		case <-patience.C:
			return nil, fmt.Errorf("%w: it takes longer than %s", ErrUnavailable, mostPatience)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
		if !f.wasOvertaken(r) {
			return r.result.value, r.result.err
		}
	}
	return nil, fmt.Errorf("%w: it changes faster than it can be read", ErrUnavailable)
}

func (f *facts[K, V]) begin(name K) (r *reading[V], first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.underway[name]; ok {
		return r, false
	}
	r = &reading[V]{began: time.Now(), done: make(chan struct{})}
	f.underway[name] = r
	return r, true
}

func (f *facts[K, V]) read(ctx context.Context, name K, r *reading[V]) {
	value, err := contained(ctx, name, f.inform)
	r.result = fact[V]{&value, err}
	if err != nil {
		r.result.value = nil
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	defer close(r.done)
	if f.underway[name] == r {
		delete(f.underway, name)
	}
	if !r.overtook && (err == nil || errors.Is(err, ErrNotFound)) {
		f.known.Set(name, &r.result)
	}
}

// contained turns a panic of the store into an error: it happens in a goroutine of its own, where it
// would end the process, and whoever waits would never be answered.
func contained[K comparable, V any](ctx context.Context, name K, read func(context.Context, K) (V, error)) (value V, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: a fault in the store: %v", ErrUnavailable, fault)
		}
	}()
	return read(ctx, name)
}

func (f *facts[K, V]) wasOvertaken(r *reading[V]) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return r.overtook
}

// forget is to be called after a thing has changed in the store.
func (f *facts[K, V]) forget(name K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.underway[name]; ok {
		f.overtake(name, r)
	}
	f.known.Invalidate(name)
}

// forgetWhere forgets all that untrue holds for. Of what is being read nothing is known yet, so
// all of that is overtaken.
func (f *facts[K, V]) forgetWhere(untrue func(name K, value *V) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, r := range f.underway {
		f.overtake(name, r)
	}
	for name, known := range f.known.All() {
		if untrue(name, known.value) {
			f.known.Invalidate(name)
		}
	}
}

// forgetAll forgets everything.
func (f *facts[K, V]) forgetAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, r := range f.underway {
		f.overtake(name, r)
	}
	f.known.InvalidateAll()
}

// overtake marks a reading, and takes it out of the way of questions that come from now on. The
// caller holds mu.
func (f *facts[K, V]) overtake(name K, r *reading[V]) {
	r.overtook = true
	delete(f.underway, name)
}

func (f *facts[K, V]) size() int { return f.known.EstimatedSize() }

func (f *facts[K, V]) resize(size int) { f.known.SetMaximum(uint64(size)) }

func (f *facts[K, V]) close() { f.known.StopAllGoroutines() }
