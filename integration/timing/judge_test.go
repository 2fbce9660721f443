//go:build linux

package timing

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// alpha is how likely the verdict is wrong where there is no difference: for all classes and all tests together.
const alpha = 0.001

// A judgement is what the tests say of the classes. The first one is the reference, with which all others are compared.
type judgement struct {
	classes []class
	samples []sample
	worst   []finding // of each class, the test that sees the most, with p corrected for all tests of all classes
	first   [][2]finding
	tests   int // of all classes
}

// judge compares the times of each class with those of the reference.
func judge(classes []class, times [][]float64) judgement {
	j := judgement{
		classes: classes, samples: make([]sample, len(classes)),
		worst: make([]finding, len(classes)), first: make([][2]finding, len(classes)),
	}
	var all []float64
	findings := make([][]finding, len(classes))
	for i := range classes {
		j.samples[i] = newSample(times[i])
		if i == 0 {
			continue
		}
		findings[i] = compare(j.samples[i], j.samples[0])
		j.first[i] = [2]finding(findings[i])
		for _, f := range findings[i] {
			all = append(all, f.p)
		}
	}
	j.tests = len(all)
	corrected := holm(all)
	for i := 1; i < len(classes); i++ {
		j.worst[i] = finding{p: 2}
		for n, f := range findings[i] {
			if corrected[n] < j.worst[i].p {
				j.worst[i] = finding{f.test, corrected[n]}
			}
		}
		corrected = corrected[len(findings[i]):]
	}
	return j
}

// table shows all classes. Mann-Whitney and Kolmogorov-Smirnov are as they are, the last p is corrected.
func (j judgement) table() string {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "class\tn\tmedian µs\tp90 µs\tmedian differs by ns (95 %)\tMann-Whitney\tKolmogorov-S.\tleast p corrected\tby")
	for i, s := range j.samples {
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%.2f", j.classes[i].name, len(s), s.quantile(0.5)/1e3, s.quantile(0.9)/1e3)
		if i > 0 {
			difference, within := medianDifference(s, j.samples[0])
			fmt.Fprintf(w, "\t%+.0f ± %.0f\t%.3g\t%.3g", difference, within, j.first[i][0].p, j.first[i][1].p)
			fmt.Fprintf(w, "\t%.3g\t%s", j.worst[i].p, j.worst[i].test)
		}
		fmt.Fprintln(w)
	}
	w.Flush() // to a strings.Builder, which takes all
	return table.String()
}

// smallestSeen is by how much the reference has to be later than its twin, and earlier, to be told apart from it.
func (j judgement) smallestSeen() time.Duration {
	var other sample
	for i, c := range j.classes {
		if c.name == twin {
			other = j.samples[i]
		}
	}
	seen := func(by float64) bool {
		for _, f := range compare(other, j.samples[0].shifted(by)) {
			if f.p*float64(j.tests) < alpha {
				return true
			}
		}
		return false
	}
	low, high := time.Duration(0), time.Millisecond
	for high-low > time.Nanosecond {
		middle := (low + high) / 2
		if seen(float64(middle)) && seen(-float64(middle)) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// verdict fails the test where a class is told apart from the reference, or the one that has to be is not: a test that
// cannot see that sees nothing.
func (j judgement) verdict(t *testing.T) {
	t.Helper()
	for i, c := range j.classes[1:] {
		f := j.worst[i+1]
		switch told := f.p < alpha; {
		case c.name == malformed && !told:
			t.Errorf("%s is not told apart (p = %.3g): there is too much noise, use a quiet machine", c.name, f.p)
		case c.name == twin && told:
			t.Errorf("%s is told apart by %s (p = %.3g), and is the same: the measurement is wrong", c.name, f.test, f.p)
		case c.name != malformed && told:
			t.Errorf("%s is told apart from %s by %s (p = %.3g)", c.name, reference, f.test, f.p)
		}
	}
}
