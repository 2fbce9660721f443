package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// calls are all calls of a store, each of which reads or changes a little.
var calls = map[string]func(context.Context, keystore.Store) error{
	"Get":     func(ctx context.Context, s keystore.Store) error { _, err := s.Get(ctx, "a"); return err },
	"Get two": func(ctx context.Context, s keystore.Store) error { _, err := s.Get(ctx, "a", "b"); return err },
	"Members": func(ctx context.Context, s keystore.Store) error { _, err := s.Members(ctx, "i", "", 10); return err },
	"Sizes":   func(ctx context.Context, s keystore.Store) error { _, err := s.Sizes(ctx, "i"); return err },
	"Log":     func(ctx context.Context, s keystore.Store) error { _, err := s.Log(ctx, 0, 10); return err },
	"Time":    func(ctx context.Context, s keystore.Store) error { _, err := s.Time(ctx); return err },
	"Head": func(ctx context.Context, s keystore.Store) error {
		_, err := any(s).(keystore.ChangeLog).Head(ctx)
		return err
	},
	"Next": func(ctx context.Context, s keystore.Store) error {
		_, _, err := any(s).(keystore.ChangeLog).Next(ctx, keystore.Position{}, time.Millisecond)
		return err
	},
	"Apply": func(ctx context.Context, s keystore.Store) error {
		return s.Apply(ctx, keystore.Change{Steps: []keystore.Step{put("a", "changed")}, Event: []byte("event")})
	},
}

// WantUnavailable makes each call of the store and checks that it ends within the time, with an
// error that wraps [keystore.ErrUnavailable] and is no answer: not a condition that does not hold.
// It gives back the errors by the name of the call, so that a test can look at their words.
func WantUnavailable(t testing.TB, ctx context.Context, store keystore.Store, within time.Duration) map[string]error {
	t.Helper()
	found := map[string]error{}
	for name, call := range calls {
		start := time.Now()
		err := call(ctx, store)
		took := time.Since(start)
		found[name] = err
		var failed *keystore.ConditionError
		FailIf(t, !errors.Is(err, keystore.ErrUnavailable) || errors.As(err, &failed), "%s: %v, want %v", name, err, keystore.ErrUnavailable)
		FailIf(t, took > within, "%s took %v, want at most %v", name, took, within)
	}
	return found
}

// callTests hold contexts and the end of a store.
func callTests() []test {
	return []test{
		{"a context that is over", func(t *testing.T, k *kit) {
			k.steps(put("a", "value"))
			for name, err := range WantUnavailable(t, cancelled(t), k.Store, promptly) {
				FailIf(t, !errors.Is(err, context.Canceled), "%s: %v, want %v in it", name, err, context.Canceled)
			}
			k.wantRecord("a", []byte("value"))
			k.wantLog()
		}},
		{"a deadline that has passed", func(t *testing.T, k *kit) {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
			defer cancel()
			for name, err := range WantUnavailable(t, ctx, k.Store, promptly) {
				FailIf(t, !errors.Is(err, context.DeadlineExceeded), "%s: %v, want %v in it", name, err, context.DeadlineExceeded)
			}
		}},
		{"after Close", func(t *testing.T, k *kit) {
			k.steps(put("a", "value"))
			OK(t, k.Close())
			WantUnavailable(t, t.Context(), k.Store, promptly)
			if err := k.Close(); err != nil {
				t.Fatalf("a second Close: %v", err)
			}
		}},
		{"Close while calls are under way", func(t *testing.T, k *kit) {
			var group sync.WaitGroup
			var done atomic.Int64
			for w := range 4 {
				group.Go(func() {
					for i := 0; ; i++ {
						err := k.Apply(t.Context(), keystore.Change{
							Steps: []keystore.Step{put(fmt.Sprintf("%d-%d", w, i), "1")}, Event: []byte("event"),
						})
						if err != nil {
							FailIf(t, !errors.Is(err, keystore.ErrUnavailable), "Apply: %v", err)
							return
						}
						done.Add(1)
					}
				})
			}
			poll(t, "some changes", func() bool { return done.Load() >= 20 })
			if err := k.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			group.Wait()
		}},
	}
}

// raceTests hold that of several changes with one condition exactly one is made.
func raceTests() []test {
	return []test{
		{"RecordAbsent has one winner", func(t *testing.T, k *kit) {
			k.race(8, func(int) keystore.Change {
				return keystore.Change{
					Conditions: list(keystore.Condition{Kind: keystore.RecordAbsent, Name: "a"}),
					Steps:      []keystore.Step{put("a", "1")},
					Event:      []byte("made"),
				}
			}, 1)
			k.wantLog("made")
		}},
		{"RecordEquals has one winner", func(t *testing.T, k *kit) {
			k.steps(put("a", "0"))
			for round := range 10 {
				k.race(8, func(w int) keystore.Change {
					return keystore.Change{
						Conditions: list(keystore.Condition{
							Kind: keystore.RecordEquals, Name: "a", Value: fmt.Append(nil, round),
						}),
						Steps: []keystore.Step{put("a", fmt.Sprint(round+1)), add("winners", fmt.Sprintf("%d-%d", round, w))},
					}
				}, 1)
			}
			k.wantRecord("a", []byte("10"))
			k.wantSize("winners", 10)
		}},
		{"SizeBelow lets in as many as fit", func(t *testing.T, k *kit) {
			k.race(8, func(w int) keystore.Change {
				return keystore.Change{
					Conditions: list(keystore.Condition{Kind: keystore.SizeBelow, Name: "index", Limit: 3}),
					Steps:      []keystore.Step{add("index", fmt.Sprint(w))},
				}
			}, 3)
			k.wantSize("index", 3)
		}},
		{"readers see all of a change or nothing", func(t *testing.T, k *kit) {
			k.steps(put("a", "0"), put("b", "0"))
			var group sync.WaitGroup
			var end atomic.Bool
			for range 3 {
				group.Go(func() {
					for !end.Load() {
						got, err := k.Get(t.Context(), "a", "b")
						if err != nil {
							t.Errorf("Get: %v", err)
							return
						}
						if string(got[0]) != string(got[1]) {
							t.Errorf("half a change: %q", got)
							return
						}
					}
				})
			}
			for i := range 50 {
				k.steps(put("a", fmt.Sprint(i)), put("b", fmt.Sprint(i)))
			}
			end.Store(true)
			group.Wait()
		}},
	}
}

// race applies n changes at once, of which so many must be made and the others fail at their
// condition.
func (k *kit) race(n int, change func(int) keystore.Change, wins int) {
	k.t.Helper()
	var group sync.WaitGroup
	var won atomic.Int64
	start := make(chan struct{})
	for w := range n {
		group.Go(func() {
			<-start
			err := k.Apply(k.t.Context(), change(w))
			var failed *keystore.ConditionError
			switch {
			case err == nil:
				won.Add(1)
			case !errors.As(err, &failed):
				k.t.Errorf("Apply: %v", err)
			}
		})
	}
	close(start)
	group.Wait()
	if int(won.Load()) != wins {
		k.t.Errorf("%d changes were made, want %d", won.Load(), wins)
	}
}
