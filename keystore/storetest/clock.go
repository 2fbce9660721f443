package storetest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// A Clock is a store whose clock a test sets, so that what takes days is tested in milliseconds. All
// nodes of a test share it, as they do the clock of a database.
type Clock struct {
	keystore.Store
	now   atomic.Int64 // nanoseconds of Unix time
	reads atomic.Int64
}

// NewClock gives a store a clock that stands still at a time.
func NewClock(store keystore.Store, at time.Time) *Clock {
	c := &Clock{Store: store}
	c.now.Store(at.UnixNano())
	return c
}

// Time implements [keystore.Store].
func (c *Clock) Time(ctx context.Context) (time.Time, error) {
	c.reads.Add(1)
	if _, err := c.Store.Time(ctx); err != nil {
		return time.Time{}, err
	}
	return c.Now(), nil
}

// Now is what the clock says.
func (c *Clock) Now() time.Time { return time.Unix(0, c.now.Load()).UTC() }

// Keystore is one on the store, of a node whose own clock says the same.
func (c *Clock) Keystore(master []byte) *keystore.Keystore {
	k := keystore.New(c, master)
	k.SetClock(c.Now)
	return k
}

// Advance moves the clock, back with a negative duration.
func (c *Clock) Advance(d time.Duration) { c.now.Add(int64(d)) }

// Reads is how often the clock was read.
func (c *Clock) Reads() int64 { return c.reads.Load() }
