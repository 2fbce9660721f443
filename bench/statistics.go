package main

import (
	"fmt"
	"math"
	"slices"
)

// A spread is the middle of some values, and the quarters beside it.
type spread struct{ median, lower, upper float64 }

// spreadOf returns the spread of values; without any, it is NaN.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{quantile(sorted, 0.5), quantile(sorted, 0.25), quantile(sorted, 0.75)}
}

// quantile returns the value below which a part of sorted values lies, linear between two of them.
func quantile(sorted []float64, part float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := part * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// text writes a spread with so many digits behind the point: 0.98 (0.97 to 0.99).
func (s spread) text(digits int) string {
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, s.median, digits, s.lower, digits, s.upper)
}
