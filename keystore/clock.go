package keystore

import (
	"context"
	"fmt"
	"time"
)

// This file is about time. What takes days goes by the store's clock, which all nodes share; but what
// is done by it cannot be undone, so the node's own has to agree.

// ClockTolerance is how far the clocks of the store and of a node may differ. Beyond it the node leaves
// signing keys as they are, and keeps what is revoked.
const ClockTolerance = 5 * time.Minute

// SetClock sets the node's own clock. It is for tests, and to be called before anything else.
// Default: [time.Now].
func (k *Keystore) SetClock(now func() time.Time) { k.now = now }

// CheckClock compares the clocks of the store and of this node. The error says that they differ by more
// than [ClockTolerance], or wraps [ErrUnavailable].
func (k *Keystore) CheckClock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	now, err := k.store.Time(ctx)
	if err != nil {
		return err
	}
	return k.agree(now)
}

// agree is the error of a store's clock that the node's own does not confirm.
func (k *Keystore) agree(now time.Time) error {
	own := k.now()
	if difference := now.Sub(own).Abs(); difference > ClockTolerance {
		return fmt.Errorf("%w: the clock of the store says %s and that of this gateway %s; set right the one that is wrong",
			ErrClock, now.UTC().Format(time.RFC3339), own.UTC().Format(time.RFC3339))
	}
	return nil
}

// earlierTime is the earlier of the two clocks: by it nothing is removed too early that one of them
// still counts as valid.
func (k *Keystore) earlierTime(ctx context.Context) (time.Time, error) {
	now, err := k.store.Time(ctx)
	if own := k.now(); own.Before(now) {
		now = own
	}
	return now, err
}

// nextEpoch is greater than the one before, and also than one that the store has lost: a restored or
// failed-over store must not hand out an epoch that tokens carry already. It is in milliseconds since
// 1970 where the clock went on, which fits the claim for as long as anybody cares.
func (k *Keystore) nextEpoch(before uint64) uint64 {
	return max(before+1, uint64(max(k.now().UnixMilli(), 0)))
}
