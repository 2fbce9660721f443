package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// asleep is how long a call that has nothing to do is given to begin its wait.
const asleep = 50 * time.Millisecond

// A follower reads the change log of a store from a position on.
type follower struct {
	keystore.ChangeLog
	t  testing.TB
	at keystore.Position
}

func (k *kit) follower() *follower {
	return &follower{ChangeLog: any(k.Store).(keystore.ChangeLog), t: k.t}
}

// next reads on, without an error.
func (f *follower) next(wait time.Duration) []keystore.LogEntry {
	f.t.Helper()
	entries, at, err := f.Next(f.t.Context(), f.at, wait)
	FatalIf(f.t, err != nil, "Next(%v): %v", f.at, err)
	for i, entry := range entries {
		if want := f.at.Seq + 1 + uint64(i); entry.Seq != want {
			f.t.Fatalf("Next(%v)[%d] is number %d", f.at, i, entry.Seq)
		}
	}
	if want := f.at.Seq + uint64(len(entries)); at.Seq != want || len(entries) == 0 && at != f.at {
		f.t.Fatalf("Next(%v) with %d entries leads to %v", f.at, len(entries), at)
	}
	f.at = at
	return entries
}

// want reads on and checks the events.
func (f *follower) want(wait time.Duration, events ...string) {
	f.t.Helper()
	var got []string
	for _, entry := range f.next(wait) {
		got = append(got, string(entry.Event))
	}
	FatalIf(f.t, !equal(got, events), "Next = %q, want %q", got, events)
}

// wantHead checks that the log ends where the follower is.
func (f *follower) wantHead() {
	f.t.Helper()
	head, err := f.Head(f.t.Context())
	FatalIf(f.t, err != nil || head != f.at, "Head = %v, %v, want %v", head, err, f.at)
}

// wait calls Next in the background, and gives back its error and when it ended.
func (f *follower) wait(ctx context.Context, wait time.Duration) <-chan ended {
	done := make(chan ended, 1)
	go func() {
		entries, _, err := f.Next(ctx, f.at, wait)
		done <- ended{entries, err, time.Now()}
	}()
	return done
}

type ended struct {
	entries []keystore.LogEntry
	err     error
	at      time.Time
}

// changeLogTests hold Head and Next.
func changeLogTests() []test {
	event := func(format string, args ...any) keystore.Change {
		return keystore.Change{Event: fmt.Appendf(nil, format, args...)}
	}
	return []test{
		{"an empty log", func(_ *testing.T, k *kit) {
			f := k.follower()
			f.wantHead()
			f.want(0)
			k.steps(put("a", "1"))
			f.want(0)
			f.wantHead()
		}},
		{"order and positions", func(_ *testing.T, k *kit) {
			f := k.follower()
			k.must(event("one"))
			k.must(event("two\x00\r\n\xff"))
			f.want(0, "one", "two\x00\r\n\xff")
			f.wantHead()
			k.must(event("three"))
			f.want(time.Minute, "three")
			f.want(0)
			f.wantHead()
			again := k.follower()
			again.want(0, "one", "two\x00\r\n\xff", "three")
			FailIf(k.t, again.at != f.at, "two ways to %v and %v", f.at, again.at)
		}},
		{"a wait in which nothing comes", func(t *testing.T, k *kit) {
			k.must(event("one"))
			f := k.follower()
			f.want(time.Second, "one")
			start := time.Now()
			f.want(2 * asleep)
			if took := time.Since(start); took < 2*asleep || took > promptly {
				t.Errorf("it waited for %v", took)
			}
		}},
		{"a change without an event ends no wait", func(t *testing.T, k *kit) {
			f := k.follower()
			done := f.wait(t.Context(), 4*asleep)
			k.steps(put("a", "1"))
			if end := <-done; end.err != nil || len(end.entries) > 0 {
				t.Errorf("Next = %v", end)
			}
		}},
		{"an entry ends the wait", func(t *testing.T, k *kit) {
			f := k.follower()
			f.next(0) // has connected
			const rounds = 40
			var late []time.Duration
			for range rounds {
				done := f.wait(t.Context(), promptly)
				k.must(event("event"))
				applied := time.Now()
				end := <-done
				FatalIf(t, end.err != nil || len(end.entries) != 1, "Next = %v", end)
				late = append(late, max(end.at.Sub(applied), 0))
				f.want(0, "event")
			}
			slices.Sort(late)
			t.Logf("Next ended after Apply by %v at p50, %v at most", late[rounds/2], late[rounds-1])
			if late[rounds/2] > promptly/10 {
				t.Errorf("Next ended %v after Apply at p50", late[rounds/2])
			}
		}},
		{"several followers, several writers", func(t *testing.T, k *kit) {
			const followers, writers, each = 6, 4, 15
			var group sync.WaitGroup
			seen := make([][]string, followers)
			for i := range followers {
				group.Go(func() {
					f := k.follower()
					for len(seen[i]) < writers*each {
						entries, at, err := f.Next(t.Context(), f.at, time.Second)
						if err != nil {
							t.Errorf("Next: %v", err)
							return
						}
						for _, entry := range entries {
							seen[i] = append(seen[i], fmt.Sprintf("%d %s", entry.Seq, entry.Event))
						}
						f.at = at
					}
				})
			}
			for w := range writers {
				group.Go(func() {
					for i := range each {
						if err := k.Apply(t.Context(), event("%d-%d", w, i)); err != nil {
							t.Errorf("Apply: %v", err)
						}
					}
				})
			}
			group.Wait()
			for i := range seen {
				if !equal(seen[i], seen[0]) || len(seen[i]) != writers*each {
					t.Errorf("follower %d saw %q, follower 0 %q", i, seen[i], seen[0])
				}
			}
		}},
		{"no more than MaxNext at once", func(t *testing.T, k *kit) {
			const n = keystore.MaxNext + 20
			var group sync.WaitGroup
			for w := range 4 {
				group.Go(func() {
					for range n / 4 {
						if err := k.Apply(t.Context(), event("from %d", w)); err != nil {
							t.Errorf("Apply: %v", err)
						}
					}
				})
			}
			group.Wait()
			f := k.follower()
			for _, want := range []int{keystore.MaxNext, n - keystore.MaxNext, 0} {
				if got := len(f.next(0)); got != want {
					t.Fatalf("Next has %d entries, want %d", got, want)
				}
			}
			f.wantHead()
		}},
		{"a position that never was", func(t *testing.T, k *kit) {
			k.must(event("one"))
			f := k.follower()
			f.want(0, "one")
			for _, at := range []keystore.Position{
				{Seq: 2, ID: f.at.ID},
				{Seq: math.MaxInt64, ID: f.at.ID},
				{Seq: math.MaxUint64, ID: f.at.ID},
				{Seq: 1, ID: "x"},
				{Seq: 0, ID: "x"},
				{Seq: 1, ID: f.at.ID + "0"},
			} {
				entries, to, err := f.Next(t.Context(), at, 0)
				FailIf(t, !errors.Is(err, keystore.ErrLogGap) || errors.Is(err, keystore.ErrUnavailable) || len(entries) > 0 || to != at, "Next(%v) = %v, %v, %v, want %v", at, entries, to, err, keystore.ErrLogGap)
			}
		}},
		{"a context that ends ends the wait", func(t *testing.T, k *kit) {
			f := k.follower()
			f.next(0)
			ctx, cancel := context.WithCancel(t.Context())
			done := f.wait(ctx, time.Minute)
			time.AfterFunc(asleep, cancel)
			start := time.Now()
			if end := <-done; !errors.Is(end.err, keystore.ErrUnavailable) || !errors.Is(end.err, context.Canceled) {
				t.Errorf("Next: %v", end.err)
			}
			if took := time.Since(start); took > promptly {
				t.Errorf("Next took %v", took)
			}
			ctx, cancel = context.WithTimeout(t.Context(), asleep)
			defer cancel()
			if end := <-f.wait(ctx, time.Minute); !errors.Is(end.err, keystore.ErrUnavailable) || !errors.Is(end.err, context.DeadlineExceeded) {
				t.Errorf("Next: %v", end.err)
			}
			k.must(event("one"))
			f.want(promptly, "one")
		}},
		{"Close ends the wait", func(t *testing.T, k *kit) {
			var waits []<-chan ended
			for range 3 {
				f := k.follower()
				f.next(0)
				waits = append(waits, f.wait(t.Context(), time.Minute))
			}
			closed := make(chan error, 1)
			start := time.Now()
			time.AfterFunc(asleep, func() { closed <- k.Close() })
			for _, done := range waits {
				if end := <-done; !errors.Is(end.err, keystore.ErrUnavailable) {
					t.Errorf("Next: %v", end.err)
				}
			}
			if err := <-closed; err != nil {
				t.Errorf("Close: %v", err)
			}
			if took := time.Since(start); took > promptly {
				t.Errorf("it took %v", took)
			}
		}},
		{"waiting followers are in nobody's way", func(t *testing.T, k *kit) {
			ctx, cancel := context.WithCancel(t.Context())
			var waits []<-chan ended
			for range 12 {
				waits = append(waits, k.follower().wait(ctx, time.Minute))
			}
			start := time.Now()
			for i := range 20 {
				k.steps(put("a", fmt.Sprint(i)))
				k.wantRecord("a", fmt.Append(nil, i))
			}
			if took := time.Since(start); took > promptly {
				t.Errorf("20 changes and reads took %v", took)
			}
			cancel()
			for _, done := range waits {
				<-done
			}
		}},
	}
}
