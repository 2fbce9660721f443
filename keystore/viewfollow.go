package keystore

import (
	"context"
	"errors"
	"time"
)

// followWait is how long one read of the change log waits for an entry. It is also the age that
// a node's knowledge reaches where nothing changes: an answer without entries says only that
// there was none when the read began.
const followWait = time.Second

// The pauses between attempts to reach a store that cannot be asked.
const (
	shortestPause = 50 * time.Millisecond
	longestPause  = time.Second
)

// follow keeps the view to the change log for as long as ctx lives.
//
// That the store cannot be asked for a while is no reason to forget: the log goes on where it was,
// and until then the view's age says what its knowledge is worth. A gap is: whatever was in it may
// have changed.
func (v *View) follow(ctx context.Context) {
	var at Position
	following, pause := false, shortestPause
	for ctx.Err() == nil {
		var err error
		if following {
			at, err = v.readOn(ctx, at)
		} else {
			at, err = v.beginAnew(ctx)
		}
		switch {
		case err == nil:
			following, pause = true, shortestPause
			continue
		case ctx.Err() != nil:
			return // that is why it failed
		case errors.Is(err, ErrLogGap):
			following = false
			v.unknown()
			v.stats.gaps.Add(1)
		default:
			v.stats.followErrors.Add(1)
		}
		v.opts.Report(err)
		pauseOf(ctx, pause)
		pause = min(2*pause, longestPause)
	}
}

// beginAnew forgets everything and finds the end of the log. What is read from the store after
// that is as new as this position, or newer.
func (v *View) beginAnew(ctx context.Context) (Position, error) {
	began := v.opts.Now()
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	at, err := v.keystore.store.Head(ctx)
	if err != nil {
		return Position{}, err
	}
	v.forgetAll()
	v.freshAsOf(began, at.Seq)
	v.opts.Heard()
	return at, nil
}

// readOn reads the entries after a position, waiting for some, and applies them.
func (v *View) readOn(ctx context.Context, at Position) (Position, error) {
	began := v.opts.Now()
	// On a dead link nothing ends the wait but this.
	ctx, cancel := context.WithTimeout(ctx, followWait+ReadTimeout)
	defer cancel()
	entries, next, err := v.keystore.store.Next(ctx, at, followWait)
	if err != nil {
		return at, err
	}
	for _, entry := range entries {
		event, err := DecodeEvent(entry.Event)
		if err != nil {
			event.Kind = "" // one that this version cannot read may be about anything
		}
		v.stats.events.Add(1)
		v.apply(event)
	}
	// A full answer may not be all there is.
	if len(entries) < MaxNext {
		v.freshAsOf(began, next.Seq)
	}
	if len(entries) > 0 {
		v.opts.Heard()
	}
	return next, nil
}

// pauseOf sleeps, unless ctx ends first.
func pauseOf(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
