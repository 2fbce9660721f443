package storetest

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// logTests hold the change log.
func logTests() []test {
	return []test{
		{"numbers and order", func(_ *testing.T, k *kit) {
			k.wantLog()
			k.must(keystore.Change{Event: []byte("one")})
			k.must(keystore.Change{Steps: []keystore.Step{put("a", "1")}, Event: []byte("two")})
			k.must(keystore.Change{Event: []byte("three\x00\r\n\xff")})
			k.wantLog("one", "two", "three\x00\r\n\xff")
		}},
		{"no event, no entry", func(_ *testing.T, k *kit) {
			k.must(keystore.Change{Event: []byte("one")})
			k.steps(put("a", "1"))
			k.must(keystore.Change{Steps: []keystore.Step{put("a", "2")}, Event: []byte{}})
			k.must(keystore.Change{Event: []byte("two")})
			k.wantLog("one", "two")
		}},
		{"a failed change takes no number", func(_ *testing.T, k *kit) {
			k.must(keystore.Change{Event: []byte("one")})
			k.mustFail(0, keystore.Change{
				Conditions: list(keystore.Condition{Kind: keystore.RecordExists, Name: "none"}),
				Event:      []byte("never"),
			})
			k.must(keystore.Change{Event: []byte("two")})
			k.wantLog("one", "two")
		}},
		{"pages", func(_ *testing.T, k *kit) {
			const n = 120
			for i := 1; i <= n; i++ {
				k.must(keystore.Change{Event: fmt.Appendf(nil, "event %d", i)})
			}
			for _, tt := range []struct {
				after uint64
				limit int
				first uint64
				count int
			}{
				{0, 10, 1, 10},
				{0, 1, 1, 1},
				{0, 1000, 1, n},
				{1, 10, 2, 10},
				{57, 10, 58, 10},
				{110, 10, 111, 10},
				{111, 10, 112, 9},
				{119, 10, 120, 1},
				{120, 10, 0, 0},
				{121, 10, 0, 0},
				{math.MaxUint64, 10, 0, 0},
				{math.MaxInt64, 10, 0, 0},
				{0, 0, 0, 0},
				{0, -1, 0, 0},
			} {
				got := k.log(tt.after, tt.limit)
				FatalIf(k.t, len(got) != tt.count, "Log(%d, %d) has %d entries, want %d", tt.after, tt.limit, len(got), tt.count)
				for i, entry := range got {
					want := tt.first + uint64(i)
					FatalIf(k.t, entry.Seq != want || string(entry.Event) != fmt.Sprintf("event %d", want), "Log(%d, %d)[%d] is number %d %q", tt.after, tt.limit, i, entry.Seq, entry.Event)
				}
			}
		}},
		{"no gaps under 8 writers", func(t *testing.T, k *kit) {
			const writers, each = 8, 25
			var group sync.WaitGroup
			for w := range writers {
				group.Go(func() {
					for i := range each {
						err := k.Apply(t.Context(), keystore.Change{
							Steps: []keystore.Step{add("index", fmt.Sprintf("%d-%d", w, i))},
							Event: fmt.Appendf(nil, "%d-%d", w, i),
						})
						FailIf(t, err != nil, "Apply: %v", err)
					}
				})
			}
			group.Wait()
			seen, next := map[string]bool{}, map[int]int{}
			entries := k.log(0, 10*writers*each)
			for i, entry := range entries {
				FatalIf(t, entry.Seq != uint64(i+1), "entry %d has number %d", i+1, entry.Seq)
				seen[string(entry.Event)] = true
				var w, n int
				if _, err := fmt.Sscanf(string(entry.Event), "%d-%d", &w, &n); err != nil || next[w] != n {
					t.Fatalf("event %q is out of its writer's order", entry.Event)
				}
				next[w]++
			}
			FatalIf(t, len(entries) != writers*each || len(seen) != writers*each, "%d entries, %d different, want %d", len(entries), len(seen), writers*each)
			k.wantSize("index", writers*each)
		}},
	}
}
