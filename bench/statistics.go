package main

import (
	"fmt"
	"math"
	"slices"
)

// A spread is the middle of some values, and the quarters beside it.
type spread struct {
	median, lower, upper float64
	count                int // of values
}

// spreadOf is of at least one value; of none, everything is NaN, which no goal is met by.
func spreadOf(values []float64) spread {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return spread{quantile(sorted, 0.5), quantile(sorted, 0.25), quantile(sorted, 0.75), len(sorted)}
}

// quantile is the value below which a part of sorted values lies, linear between two of them.
func quantile(sorted []float64, part float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := part * float64(len(sorted)-1)
	below := int(math.Floor(at))
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}

// Of two samples of one run of a heat: how they compare.
func ratioOfRates(of, to *sample) float64 { return of.rate() / to.rate() }
func ratioOfCosts(of, to *sample) float64 { return of.cost() / to.cost() }
func addedCost(of, to *sample) float64    { return of.cost() - to.cost() }

// values are those of the samples.
func values(samples []*sample, value func(*sample) float64) []float64 {
	found := make([]float64, len(samples))
	for i, s := range samples {
		found[i] = value(s)
	}
	return found
}

// text writes a spread with so many digits behind the point: 0.98 (0.97 to 0.99).
func (s spread) text(digits int) string {
	if s.count == 0 {
		return "none"
	}
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, s.median, digits, s.lower, digits, s.upper)
}
