package storetest

import (
	"testing"
	"time"
)

// timeTests hold the store's clock.
func timeTests() []test {
	return []test{
		{"the time is that of now, in UTC", func(t *testing.T, k *kit) {
			// The database of a test is on the same machine.
			const slack = 50 * time.Millisecond
			before := time.Now().Add(-slack)
			got := k.time()
			after := time.Now().Add(slack)
			FailIf(t, got.Before(before) || got.After(after), "the time is %s, want one from %s to %s", got, before, after)
			FailIf(t, got.Location() != time.UTC, "the time is of %s, want UTC", got.Location())
		}},
		{"time goes on, also where nothing was ever written", func(t *testing.T, k *kit) {
			first := k.time()
			poll(t, "a later time", func() bool { return k.time().After(first) })
			k.wantLog()
			k.steps(put("a", "value"))
			if later := k.time(); later.Before(first) {
				t.Errorf("the time is %s after %s", later, first)
			}
		}},
	}
}

// time reads the store's clock.
func (k *kit) time() time.Time {
	k.t.Helper()
	got, err := k.Time(k.t.Context())
	FatalIf(k.t, err != nil, "Time: %v", err)
	return got
}
