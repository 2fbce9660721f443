//go:build linux

package timing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
)

// This file tells two samples apart. gonum has of all this the statistic of Kolmogorov and Smirnov and no p-value of any
// test, and would be a dependency of everybody who builds the plugin; these are some lines, which statistics_known_test.go
// holds against the values of others. All take samples of thousands, for which the limits of the distributions are good.

// A sample is times in nanoseconds, sorted.
type sample []float64

func newSample(times []float64) sample {
	s := slices.Clone(times)
	slices.Sort(s)
	return s
}

// quantile is the smallest value that a part of the sample, 0 to 1, is not above.
func (s sample) quantile(part float64) float64 {
	return s[min(len(s)-1, int(part*float64(len(s))))]
}

// upTo is how many values are not above a limit.
func (s sample) upTo(limit float64) int {
	return sort.Search(len(s), func(i int) bool { return s[i] > limit })
}

// shifted is the sample with each value later by so much.
func (s sample) shifted(by float64) sample {
	moved := make(sample, len(s))
	for i, value := range s {
		moved[i] = value + by
	}
	return moved
}

// A finding is what one test says of two samples.
type finding struct {
	test string
	p    float64 // how likely so great a difference is by chance, when there is none
}

// compare has all tests look at two samples.
func compare(a, b sample) []finding {
	both := newSample(append(slices.Clone(a), b...))
	findings := []finding{
		{"Mann-Whitney", mannWhitney(a, b)},
		{"Kolmogorov-Smirnov", kolmogorovSmirnov(a, b)},
	}
	// The mean is moved by what is slow for other reasons. So, as dudect does, it is also that of the faster part alone.
	for _, part := range []float64{1, 0.99, 0.95, 0.9, 0.75, 0.5} {
		limit := both.quantile(part)
		findings = append(findings, finding{fmt.Sprintf("Welch to p%g", 100*part), welch(a[:a.upTo(limit)], b[:b.upTo(limit)])})
	}
	for _, part := range []float64{0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99} {
		limit := both.quantile(part)
		p := proportions(a.upTo(limit), len(a), b.upTo(limit), len(b))
		findings = append(findings, finding{fmt.Sprintf("share to p%g", 100*part), p})
	}
	return findings
}

// mannWhitney tests whether the values of one sample tend to be greater: two-sided, with the correction for ties.
func mannWhitney(a, b sample) float64 {
	n, m := float64(len(a)), float64(len(b))
	var ranks, ties float64 // the sum of the ranks of a; of t³-t over all groups of t equal values
	for i, j := 0, 0; i < len(a) || j < len(b); {
		value := math.Inf(1)
		if i < len(a) {
			value = a[i]
		}
		if j < len(b) {
			value = min(value, b[j])
		}
		before, ofA := i+j, i
		for i < len(a) && a[i] == value {
			i++
		}
		for j < len(b) && b[j] == value {
			j++
		}
		equal := float64(i + j - before)
		ranks += float64(i-ofA) * (float64(before) + (equal+1)/2)
		ties += equal*equal*equal - equal
	}
	u := ranks - n*(n+1)/2
	variance := n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1)))
	return twoSided((u - n*m/2) / math.Sqrt(variance))
}

// kolmogorovSmirnov tests whether the distributions are the same, in whatever.
func kolmogorovSmirnov(a, b sample) float64 {
	n, m := float64(len(a)), float64(len(b))
	var widest float64
	for i, j := 0, 0; i < len(a) && j < len(b); {
		value := min(a[i], b[j])
		for i < len(a) && a[i] == value {
			i++
		}
		for j < len(b) && b[j] == value {
			j++
		}
		widest = max(widest, math.Abs(float64(i)/n-float64(j)/m))
	}
	return kolmogorov(math.Sqrt(n*m/(n+m)) * widest)
}

// kolmogorov is how likely Kolmogorov's statistic is greater than x.
func kolmogorov(x float64) float64 {
	if x < 0.2 {
		return 1 // to twelve digits, and the series below does not converge
	}
	var sum float64
	sign := 1.0
	for k := 1.0; k <= 100; k++ {
		sum += sign * math.Exp(-2*k*k*x*x)
		sign = -sign
	}
	return min(1, max(0, 2*sum))
}

// welch tests whether the means are the same, where the variances may differ.
func welch(a, b []float64) float64 {
	if len(a) < 2 || len(b) < 2 {
		return 1
	}
	meanA, varianceA := moments(a)
	meanB, varianceB := moments(b)
	if meanA == meanB {
		return 1
	}
	return twoSided((meanA - meanB) / math.Sqrt(varianceA/float64(len(a))+varianceB/float64(len(b))))
}

func moments(values []float64) (mean, variance float64) {
	for _, value := range values {
		mean += value
	}
	mean /= float64(len(values))
	for _, value := range values {
		variance += (value - mean) * (value - mean)
	}
	return mean, variance / float64(len(values)-1)
}

// proportions tests whether k of n and l of m are the same share.
func proportions(k, n, l, m int) float64 {
	share := float64(k+l) / float64(n+m)
	deviation := math.Sqrt(share * (1 - share) * (1/float64(n) + 1/float64(m)))
	if deviation == 0 {
		return 1
	}
	return twoSided((float64(k)/float64(n) - float64(l)/float64(m)) / deviation)
}

// twoSided is how likely a value of the normal distribution is so far from 0.
func twoSided(z float64) float64 { return math.Erfc(math.Abs(z) / math.Sqrt2) }

// medianError is the standard error of the median, from how far apart the values around it are (McKean and Schrader).
func (s sample) medianError() float64 {
	const z = 2.5758 // 99 %
	n := float64(len(s))
	around := int(math.Round((n+1)/2 - z*math.Sqrt(n/4)))
	return (s[len(s)-around] - s[around-1]) / (2 * z)
}

// medianDifference is by how much the median of a is greater, and half of the 95 % confidence interval of that.
func medianDifference(a, b sample) (difference, within float64) {
	return a.quantile(0.5) - b.quantile(0.5), 1.96 * math.Hypot(a.medianError(), b.medianError())
}

// holm makes p-values as great as they have to be when there are so many (Holm): to be told apart by chance is then as
// likely for all together as it says.
func holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	corrected := make([]float64, len(p))
	var least float64
	for rank, i := range order {
		least = max(least, min(1, p[i]*float64(len(p)-rank)))
		corrected[i] = least
	}
	return corrected
}
