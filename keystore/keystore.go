package keystore

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// A Keystore is the Deployments, keys and members of one [Store]. It is safe for concurrent
// use. A read takes at most [ReadTimeout] and a change at most [ChangeTimeout]; then, and
// whenever the store can't be asked, the error wraps [ErrUnavailable].
type Keystore struct {
	store  Store
	master []byte
	now    func() time.Time
	hook   func(Event) // OnChange; nil: none

	opening singleflight.Group    // one call at a time opens the vault
	opened  atomic.Pointer[vault] // nil until then
	view    atomic.Pointer[View]  // hears of changes that are made here; nil: nobody does
}

// New makes a Keystore. It asks nothing of the store yet: the first call does, or [Keystore.Open].
// The master secret is 32 bytes or more, random; the Keystore keeps a copy.
func New(store Store, master []byte) *Keystore {
	return &Keystore{store: store, master: append([]byte(nil), master...), now: time.Now}
}

// OnChange sets what is called once after each change that k has made and that the log has, with what the
// log has of it: also what nodes do by themselves, such as deleting expired keys. It is not called for a
// change that failed, nor where [ErrUnavailable] leaves open whether it was made. A view of k has already
// forgotten what the change made untrue.
//
// The caller of the change waits for it, so it must return at once: what takes time is for a queue. Changes
// made at the same time come from several goroutines, in any order. The event is shared and must not be
// changed. OnChange is to be called before anything else. Default: nothing.
func (k *Keystore) OnChange(hook func(Event)) { k.hook = hook }

// Open opens the store with the master secret, and sets an empty store up for it. Every other
// method does so by itself when it is not done yet, so a store that was unreachable at first
// needs nothing special later. The error wraps [ErrWrongSecret] when the store was set up with
// another master secret.
func (k *Keystore) Open(ctx context.Context) error {
	_, err := k.open(ctx)
	return err
}

// Opens reports whether this is the master secret that opens the store of k. A Keystore that is
// already open may be asked to serve a configuration with another secret.
func (k *Keystore) Opens(ctx context.Context, master []byte) error {
	if err := k.Open(ctx); err != nil {
		return err
	}
	return New(k.store, master).Open(ctx)
}

// Initialized reports whether a store was set up, with whatever master secret. A new master
// secret is right for an empty store only.
func Initialized(ctx context.Context, store Store) (bool, error) {
	records, err := store.Get(ctx, rootRecord)
	return err == nil && records[0] != nil, err
}

// Close is [Store.Close].
func (k *Keystore) Close() error { return k.store.Close() }

func (k *Keystore) open(ctx context.Context) (*vault, error) {
	if v := k.opened.Load(); v != nil {
		return v, nil
	}
	// All callers wait for one attempt, each for as long as it wants to: when the store does
	// not answer, a queue of attempts would make the last caller wait for all of them.
	attempt := k.opening.DoChan(rootRecord, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ReadTimeout)
		defer cancel()
		return k.openOnce(ctx)
	})
	select {
	case result := <-attempt:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*vault), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

func (k *Keystore) openOnce(ctx context.Context) (*vault, error) {
	if v := k.opened.Load(); v != nil {
		return v, nil
	}
	v, err := k.openVault(ctx)
	if err != nil {
		return nil, err
	}
	k.opened.Store(v)
	return v, nil
}

// openVault reads the root record, or makes it. Two nodes may do so at once on an empty store:
// the record can be made only once, and the one that came second reads what the first made.
func (k *Keystore) openVault(ctx context.Context) (*vault, error) {
	for {
		records, err := k.store.Get(ctx, rootRecord)
		if err != nil {
			return nil, err
		}
		if records[0] != nil {
			dataKey, err := openRoot(k.master, records[0])
			if err != nil {
				return nil, err
			}
			return newVault(dataKey)
		}
		record, v, err := newRoot(k.master)
		if err != nil {
			return nil, err
		}
		change := Change{
			Conditions: []Condition{{Kind: RecordAbsent, Name: rootRecord}},
			Steps:      []Step{{Kind: PutRecord, Name: rootRecord, Value: record}},
		}
		err = k.apply(ctx, v, change, gatewayCaller, Event{Kind: StoreCreated})
		if failedCondition(err) < 0 {
			return v, err
		}
	}
}

// read gives a read its deadline and the open vault.
func (k *Keystore) read(ctx context.Context) (context.Context, context.CancelFunc, *vault, error) {
	return k.begin(ctx, ReadTimeout)
}

// change gives a change its deadline and the open vault.
func (k *Keystore) change(ctx context.Context) (context.Context, context.CancelFunc, *vault, error) {
	return k.begin(ctx, ChangeTimeout)
}

func (k *Keystore) begin(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc, *vault, error) {
	v, err := k.open(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, cancel, v, nil
}

// apply completes the event, appends it to the change and makes the change. Every change that anybody has to
// hear of passes here, whoever makes it.
func (k *Keystore) apply(ctx context.Context, v *vault, change Change, by Caller, event Event) error {
	event.Time, event.By, event.Address, event.Via = k.now().UTC().Truncate(time.Millisecond), by.Name, by.Address, by.Via
	encoded, err := encodeEvent(v, event)
	if err != nil {
		return err
	}
	change.Event = encoded
	err = k.store.Apply(ctx, change)
	// Also after an error: the store may have made the change and not been able to say so.
	if view := k.view.Load(); view != nil {
		view.apply(event)
	}
	if err == nil && k.hook != nil {
		k.hook(event)
	}
	return err
}
