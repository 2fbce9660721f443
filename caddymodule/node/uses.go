package node

import (
	"bytes"
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

// This file notes when keys are used. A request pays for one look into a map, without a lock; the first
// one of a key in a second leaves a note besides. The notes are written to the store by one goroutine of
// the node, many keys at once and each key once in useSpacing, so that what a request costs does not hang
// on the store, and what the store is asked does not hang on the requests.

const (
	// useSpacing is between two writes of the same key by a node, however often it is used. A key that
	// was not used for so long is written in the next round.
	useSpacing = time.Minute

	useRound = time.Second     // between two rounds of writes, at most
	useRetry = 5 * time.Second // after a round in which the store could not be asked

	// useFarewell is how long the end of a node, and so that of the process, waits for the last write.
	useFarewell = 3 * time.Second

	// mostKeysInUse bounds how many keys are noted, each at about 0.5 KB: those used within useSpacing,
	// and, while the store can't be asked, those used since. The uses of any others are dropped and counted.
	mostKeysInUse = 100_000

	usesAtOnce = 1_000 // handed to the keystore in one call
)

// A Use is for what a key was used. They can be combined.
type Use uint8

const (
	TokenUse          Use = 1 << iota // it got an access token
	RequestUse                        // a request with its token or its secret was accepted
	PreviousSecretUse                 // its previous secret was right
)

// keyUses are the notes of a node. They keep nothing of a configuration.
type keyUses struct {
	record  func(context.Context, []keystore.KeyUse) (rest []keystore.KeyUse, err error)
	now     func() time.Time
	most    int64 // of keys
	metrics *useMetrics

	known sync.Map     // key ID to *keyInUse
	count atomic.Int64 // of known

	mu    sync.Mutex
	fresh []*keyInUse // not written yet

	// Of the goroutine alone: which keys have to wait for their next write, in the order of its time; and
	// which have waited for the store.
	written  []*keyInUse
	late     []*keyInUse
	retryAt  time.Time
	reported time.Time // when the log was last told that the store can't be asked

	stop  context.CancelFunc
	ended chan struct{}
}

// A keyInUse is what is known of one key's use.
type keyInUse struct {
	// latest is replaced with each note, and never changed. nil is that the key is no longer known: whoever
	// still has it begins anew.
	latest atomic.Pointer[keystore.KeyUse]

	inStore *keystore.KeyUse // the latest of the last write; nil before the first
	due     time.Time        // of the next
}

// newKeyUses makes the notes of a node and begins to write them, until close.
func newKeyUses(keys *keystore.Keystore) *keyUses {
	ctx, stop := context.WithCancel(context.Background())
	u := &keyUses{
		record: keys.RecordKeyUses, now: time.Now, most: mostKeysInUse, metrics: &metrics.uses,
		stop: stop, ended: make(chan struct{}),
	}
	go func() {
		defer close(u.ended)
		u.run(ctx)
	}()
	return u
}

// Used reports whether a use of a key in a second of Unix time is recorded already.
func (n *Node) Used(key *keystore.Key, kind Use, second int64) bool {
	return n.uses.noted(key, kind, second)
}

// RecordUse records a use of a key in a second of Unix time, from the address of a client ("" if that has none). It
// does nothing where [Node.Used] is true, which is cheaper to ask first.
func (n *Node) RecordUse(key *keystore.Key, kind Use, second int64, client string) {
	n.uses.note(key, kind, second, client)
}

func (u *keyUses) noted(key *keystore.Key, kind Use, second int64) bool {
	known, ok := u.known.Load(key.ID)
	if !ok {
		return false
	}
	latest := known.(*keyInUse).latest.Load()
	return latest != nil && kind.noted(latest, key, second)
}

func (u *keyUses) note(key *keystore.Key, kind Use, second int64, client string) {
	at, address := time.Unix(second, 0).UTC(), addressOf(client)
	for {
		known, ok := u.known.Load(key.ID)
		if !ok {
			if u.count.Load() >= u.most {
				u.metrics.dropped.Inc()
				return
			}
			made := &keyInUse{}
			made.latest.Store(kind.add(&keystore.KeyUse{ID: key.ID}, key, at, address))
			if _, ok := u.known.LoadOrStore(key.ID, made); ok {
				continue
			}
			u.count.Add(1)
			u.mu.Lock()
			u.fresh = append(u.fresh, made)
			u.mu.Unlock()
			return
		}
		k := known.(*keyInUse)
		latest := k.latest.Load()
		switch {
		case latest == nil:
			u.known.CompareAndDelete(key.ID, k)
		case kind.noted(latest, key, second):
			return
		case k.latest.CompareAndSwap(latest, kind.add(latest, key, at, address)):
			return
		}
	}
}

// noted reports whether a note has these kinds of use in a second, or later.
func (kind Use) noted(use *keystore.KeyUse, key *keystore.Key, second int64) bool {
	return (kind&RequestUse == 0 || use.RequestAt.Unix() >= second) &&
		(kind&TokenUse == 0 || use.TokenAt.Unix() >= second) &&
		(kind&PreviousSecretUse == 0 || use.PreviousSecretAt.Unix() >= second && bytes.Equal(use.PreviousSecretHash, key.PreviousSecretHash))
}

// add is a note with these kinds of use besides.
func (kind Use) add(use *keystore.KeyUse, key *keystore.Key, at time.Time, address netip.Addr) *keystore.KeyUse {
	after := *use
	if kind&RequestUse != 0 && at.After(use.RequestAt) {
		after.RequestAt, after.RequestAddress = at, address
	}
	if kind&TokenUse != 0 && at.After(use.TokenAt) {
		after.TokenAt, after.TokenAddress = at, address
	}
	if kind&PreviousSecretUse != 0 {
		after.PreviousSecretAt, after.PreviousSecretHash = at, key.PreviousSecretHash
	}
	return &after
}

// addressOf is the client's; none for one on a socket. The zone that a proxy may give is left out: it has no
// bound.
func addressOf(client string) netip.Addr {
	address, err := netip.ParseAddr(client)
	if err != nil {
		return netip.Addr{}
	}
	return address.WithZone("").Unmap()
}

// run writes what is due until ctx ends, and then all there is.
func (u *keyUses) run(ctx context.Context) {
	timer := time.NewTimer(useRound)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			u.farewell()
			return
		case <-timer.C:
			u.write(ctx)
			timer.Reset(u.untilNext())
		}
	}
}

// untilNext is how long to wait for the next round: not longer than until the next key is due, whose
// last use is then useSpacing old at most.
func (u *keyUses) untilNext() time.Duration {
	wait := useRound
	if len(u.written) > 0 && len(u.late) == 0 {
		wait = min(wait, u.written[0].due.Sub(u.now()))
	}
	return max(wait, useRound/100)
}

// write is one round.
func (u *keyUses) write(ctx context.Context) {
	now := u.now()
	if len(u.late) > 0 && now.Before(u.retryAt) {
		return
	}
	if err := u.writeAll(ctx, u.due(now)); err != nil && ctx.Err() == nil {
		u.retryAt = u.now().Add(useRetry)
		u.metrics.failed.Add(float64(len(u.late)))
		u.report(err)
	}
}

// due takes the keys that are to be written at a moment, and forgets those that were not used since their
// last write.
func (u *keyUses) due(now time.Time) []*keyInUse {
	due := u.late
	u.late = nil
	u.mu.Lock()
	due = append(due, u.fresh...)
	u.fresh = nil
	u.mu.Unlock()
	for len(u.written) > 0 && !now.Before(u.written[0].due) {
		k := u.written[0]
		u.written[0], u.written = nil, u.written[1:]
		if !k.latest.CompareAndSwap(k.inStore, nil) {
			due = append(due, k)
			continue
		}
		u.known.CompareAndDelete(k.inStore.ID, k)
		u.count.Add(-1)
	}
	return due
}

// writeAll writes keys. Those that could not be written are late.
func (u *keyUses) writeAll(ctx context.Context, due []*keyInUse) error {
	for len(due) > 0 {
		part := due[:min(len(due), usesAtOnce)]
		began := u.now()
		uses, latest := make([]keystore.KeyUse, len(part)), make([]*keystore.KeyUse, len(part))
		for i, k := range part {
			latest[i] = k.latest.Load()
			uses[i] = *latest[i]
		}
		rest, err := u.record(ctx, uses)
		done := part[:len(part)-len(rest)]
		for i, k := range done {
			k.inStore, k.due = latest[i], began.Add(useSpacing)
		}
		u.written = append(u.written, done...)
		u.metrics.recorded.Add(float64(len(done)))
		due = due[len(done):]
		if err != nil {
			u.late = due
			return err
		}
	}
	return nil
}

// farewell writes all that is not in the store, in bounded time.
func (u *keyUses) farewell() {
	ctx, cancel := context.WithTimeout(context.Background(), useFarewell)
	defer cancel()
	due := u.due(u.now())
	for _, k := range u.written {
		if k.latest.Load() != k.inStore {
			due = append(due, k)
		}
	}
	u.written = nil
	if err := u.writeAll(ctx, due); err != nil {
		u.metrics.dropped.Add(float64(len(u.late)))
		caddy.Log().Named(appName).Warn("when keys were last used could not be written before the end, and is lost", zap.Int("keys", len(u.late)), zap.Error(err))
	}
}

// report logs that the store can't be asked, once in useSpacing.
func (u *keyUses) report(err error) {
	now := u.now()
	if !u.reported.IsZero() && now.Before(u.reported.Add(useSpacing)) {
		return
	}
	u.reported = now
	caddy.Log().Named(appName).Warn("when keys were last used cannot be written; it is kept and tried again",
		zap.Int("keys", len(u.late)), zap.Duration("in", useRetry), zap.Error(err))
}

// close writes what is not written, and ends. It may be called more than once.
func (u *keyUses) close() {
	u.stop()
	<-u.ended
}
