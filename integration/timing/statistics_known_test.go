//go:build linux

package timing

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// The values are those of scipy 1.17: mannwhitneyu (asymptotic, without continuity), special.kolmogorov of the statistic of
// ks_2samp, the normal limit of ttest_ind (unequal variances), and chi2_contingency without correction.
func TestStatisticsOfKnownSamples(t *testing.T) {
	t.Parallel()
	var a, b, tiedA, tiedB []float64
	for i := range 500 {
		a = append(a, float64((i*7919)%1009))
		tiedA = append(tiedA, math.Floor(a[i]/50))
	}
	for i := range 400 {
		b = append(b, float64((i*104729+13)%997)*1.1)
		tiedB = append(tiedB, math.Floor(b[i]/50))
	}
	for name, test := range map[string]struct{ got, want float64 }{
		"Mann-Whitney":                   {mannWhitney(newSample(a), newSample(b)), 0.11638274931236434},
		"Mann-Whitney with ties":         {mannWhitney(newSample(tiedA), newSample(tiedB)), 0.12181076694412313},
		"Kolmogorov-Smirnov":             {kolmogorovSmirnov(newSample(a), newSample(b)), 0.1205040736545573},
		"Kolmogorov-Smirnov with ties":   {kolmogorovSmirnov(newSample(tiedA), newSample(tiedB)), 0.1696119954327061},
		"Kolmogorov's distribution at 1": {kolmogorov(1), 0.26999967167735456},
		"Kolmogorov's distribution at 2": {kolmogorov(2), 0.0006709252557796953},
		"Welch":                          {welch(a, b), 0.09836541367766559},
		"proportions":                    {proportions(120, 500, 70, 400), 0.017580164878433443},
	} {
		if math.Abs(test.got-test.want) > 1e-9*test.want {
			t.Errorf("%s: p = %.15g, want %.15g", name, test.got, test.want)
		}
	}
}

// Holm's own example: of four, with p sorted, times 4, 3, 2 and 1, never less than the one before.
func TestHolm(t *testing.T) {
	t.Parallel()
	got, want := holm([]float64{0.03, 0.005, 0.04, 0.01}), []float64{0.06, 0.02, 0.06, 0.03}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-12 {
			t.Errorf("%v, want %v", got, want)
			break
		}
	}
}

// On samples of the shape that times have, the median's interval is right, what is of one distribution is not told apart,
// and what is later by a tenth of the spread is, by each kind of test.
func TestStatisticsOfTimes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	times := func(n int, later float64) sample {
		s := make([]float64, n)
		for i := range s {
			s[i] = 40_000 + later + 3_000*math.Exp(random.NormFloat64())
		}
		return newSample(s)
	}
	missed, least := 0, 1.0
	const repeats = 200
	for range repeats {
		a, b := times(2_000, 0), times(2_000, 0)
		if difference, within := medianDifference(a, b); math.Abs(difference) > within {
			missed++
		}
		p := make([]float64, 0, 20)
		for _, f := range compare(a, b) {
			p = append(p, f.p)
		}
		least = min(least, holm(p)[0])
	}
	if missed < repeats/50 || missed > repeats/10 {
		t.Errorf("the 95 %% interval has missed %d of %d times", missed, repeats)
	}
	if least < 0.01/repeats {
		t.Errorf("one distribution is told apart from itself: p = %g, the least of %d", least, repeats)
	}
	for _, f := range compare(times(100_000, 0), times(100_000, 400)) {
		// The mean of all, and the share of the slowest, drown in what is slow by itself.
		if f.p > 1e-6 && f.test != "Welch to p100" && f.test != "share to p99" {
			t.Errorf("%s does not see 400 ns: p = %g", f.test, f.p)
		}
	}
}

// Of made times, a class that is later by a tenth of the spread is told apart, as is one that is much earlier, and no other;
// and what would have been seen is less than that.
func TestJudge(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	classes := []class{{name: reference}, {name: twin}, {name: "later"}, {name: "same"}, {name: malformed}}
	times := make([][]float64, len(classes))
	for i, later := range []float64{0, 0, 400, 0, -4_000} {
		for range 20_000 {
			times[i] = append(times[i], 40_000+later+3_000*math.Exp(random.NormFloat64()))
		}
	}
	judged := judge(classes, times)
	for i, told := range []bool{false, false, true, false, true} {
		if i > 0 && (judged.worst[i].p < alpha) != told {
			t.Errorf("%s: p = %g, want it told apart: %v", classes[i].name, judged.worst[i].p, told)
		}
	}
	if seen := judged.smallestSeen(); seen < 20*time.Nanosecond || seen > 400*time.Nanosecond {
		t.Errorf("%s would have been seen, want 20 ns to 400 ns", seen)
	}
	if lines := strings.Count(judged.table(), "\n"); lines != len(classes)+1 {
		t.Errorf("the table has %d lines\n%s", lines, judged.table())
	}
}
