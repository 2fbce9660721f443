package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func took(requests int, cpu time.Duration) *sample {
	return &sample{requests: requests, lasted: time.Second, cpu: cpu}
}

// The machine is twice as slow in the second run, and one sample of the third was dropped: what is compared is runs.
func TestComparingTakesOutTheDrift(t *testing.T) {
	bare, ours := &variant{name: "bare"}, &variant{name: "ours", base: "bare"}
	b := &bench{variants: []*variant{bare, ours}, arranged: []*heat{{variants: []*variant{bare, ours}, runs: [][]*sample{
		{took(1000, 100*time.Millisecond), took(900, 99*time.Millisecond)},
		{took(500, 100*time.Millisecond), took(450, 99*time.Millisecond)},
		{took(1000, 100*time.Millisecond), nil},
	}}}}
	rates := b.compare("ours", "bare", ratioOfRates)
	if rates.count != 2 || math.Abs(rates.median-0.9) > 1e-9 || math.Abs(rates.upper-rates.lower) > 1e-9 {
		t.Errorf("ratio of rates %+v, want 0.9 twice", rates)
	}
	if costs := b.compare("ours", "bare", ratioOfCosts); math.Abs(costs.median-1.1) > 1e-9 {
		t.Errorf("ratio of costs %+v, want 1.1", costs)
	}
	if added := b.compare("ours", "bare", addedCost); math.Abs(added.lower-12.5) > 1e-9 || math.Abs(added.upper-17.5) > 1e-9 {
		t.Errorf("added %+v, want 10 and 20 µs", added)
	}
	if none := b.compare("ours", "none", ratioOfRates); none.count != 0 {
		t.Errorf("to what is not there: %+v", none)
	}
}

// Samples of two heats are minutes apart, and never compared.
func TestOnlyOneHeatIsCompared(t *testing.T) {
	bare, ours, other := &variant{name: "bare"}, &variant{name: "ours"}, &variant{name: "other"}
	b := &bench{arranged: []*heat{
		{variants: []*variant{bare, other}, runs: [][]*sample{{took(1000, time.Second), took(10, time.Second)}}},
		{variants: []*variant{other, ours}, runs: [][]*sample{{took(20, time.Second), took(500, time.Second)}}},
	}}
	if got := b.compare("ours", "bare", ratioOfRates); got.count != 0 {
		t.Errorf("ours to bare: %+v, want nothing", got)
	}
	if got := b.compare("ours", "other", ratioOfRates); got.count != 1 || got.median != 25 {
		t.Errorf("ours to other: %+v, want 25", got)
	}
}

func TestWhatIsComparedNeedsAHeat(t *testing.T) {
	b := &bench{variants: []*variant{{name: bareProxy}, {name: openProxy, base: bareProxy}, {name: rememberedFew, base: openProxy}}}
	if err := b.setHeats(); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(b.arranged, func(h *heat) bool { return len(h.variants) == 3 }) {
		t.Fatalf("%d heats, none of three", len(b.arranged))
	}
	b = &bench{variants: append(b.variants, &variant{name: "a new kind", base: bareProxy})}
	if err := b.setHeats(); err == nil || !strings.Contains(err.Error(), `no heat has "a new kind" and "bare Caddy"`) {
		t.Errorf("%v, want the variant that no heat has", err)
	}
}
