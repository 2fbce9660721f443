package main

import (
	"math"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values               []float64
		lower, median, upper float64
	}{
		{[]float64{7}, 7, 7, 7},
		{[]float64{4, 1}, 1.75, 2.5, 3.25},
		{[]float64{5, 1, 3}, 2, 3, 4},
		{[]float64{9, 1, 2, 8, 3}, 2, 3, 8},
		{[]float64{2, 2, 2, 1000}, 2, 2, 251.5},
	} {
		got := spreadOf(c.values)
		if got.lower != c.lower || got.median != c.median || got.upper != c.upper || got.count != len(c.values) {
			t.Errorf("spreadOf(%v) = %+v, want %v, %v, %v", c.values, got, c.lower, c.median, c.upper)
		}
	}
	if none := spreadOf(nil); none.count != 0 || !math.IsNaN(none.median) || none.text(2) != "none" {
		t.Errorf("spreadOf(nil) = %+v, as text %s", none, none.text(2))
	}
}

func TestSpreadLeavesTheValuesInTheirOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	spreadOf(values)
	if values[0] != 3 || values[1] != 1 || values[2] != 2 {
		t.Errorf("the values are %v afterwards", values)
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 101)
	for i := range hundred {
		hundred[i] = float64(i)
	}
	for _, part := range []float64{0, 0.25, 0.5, 0.99, 1} {
		if got := quantile(hundred, part); math.Abs(got-100*part) > 1e-9 {
			t.Errorf("quantile %v = %v, want %v", part, got, 100*part)
		}
	}
}

func TestSample(t *testing.T) {
	s := &sample{requests: 4000, lasted: 2 * time.Second, cpu: time.Second}
	if s.rate() != 2000 || s.cost() != 250 || s.busy() != 0.5 {
		t.Errorf("rate %v, cost %v, busy %v", s.rate(), s.cost(), s.busy())
	}
}

func TestForeignPart(t *testing.T) {
	at := time.Now()
	before := usage{at: at, machine: 10 * time.Second, own: 4 * time.Second}
	after := usage{at: at.Add(2 * time.Second), machine: 13 * time.Second, own: 6 * time.Second}
	if got := foreignPart(before, after); got != 0.5 {
		t.Errorf("foreignPart = %v, want 0.5: of 3 s on all cores in 2 s, 2 s were the bench's own", got)
	}
}
