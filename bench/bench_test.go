package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSpreadIsMedianAndQuartiles(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{[]float64{7}, "7.0 (7.0 to 7.0)"},
		{[]float64{2, 1}, "1.5 (1.2 to 1.8)"},
		{[]float64{5, 1, 4, 2, 3}, "3.0 (2.0 to 4.0)"},
	} {
		if got := spreadOf(test.values).text(1); got != test.want {
			t.Errorf("spread of %v: %s, want %s", test.values, got, test.want)
		}
	}
	if got := spreadOf(nil).median; !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v, want NaN", got)
	}
}

func TestReportHasARowForEachPair(t *testing.T) {
	text := report("On a Tuesday.", 3, []*pair{{
		of: &load{name: "that"}, to: &load{name: "this"},
		costs: []float64{2, 4, 30}, toCosts: []float64{1, 2, 2}, ratios: []float64{2, 2, 15}, added: []float64{1, 2, 28},
	}})
	for _, want := range []string{"On a Tuesday. 3 rounds.\n", "| that | 4.0 | this | 2.0 | 2.00 (2.00 to 8.50) | 2.0 (1.5 to 15.0) |\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no %q:\n%s", want, text)
		}
	}
}

func TestResultsReplaceThePreviousOnes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.md")
	if err := os.WriteFile(file, []byte("# Title\n"+resultsBegin), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, results := range []string{"first\n", "second\n"} {
		if err := write(file, results); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if want := "# Title\n" + resultsBegin + "\n" + results; err != nil || string(text) != want {
			t.Fatalf("the document is %q, want %q: %v", text, want, err)
		}
	}
	if err := os.WriteFile(file, []byte("# Title\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(file, "third"); err == nil {
		t.Error("results were written into a document without the mark")
	}
}

func TestDocumentHasTheMark(t *testing.T) {
	text, err := os.ReadFile("../docs/benchmarks.md")
	if err != nil || !strings.Contains(string(text), resultsBegin) {
		t.Errorf("docs/benchmarks.md has no line %q: %v", resultsBegin, err)
	}
}

func TestForgedTokensHaveSignaturesOfOthers(t *testing.T) {
	if got := strings.Join(forged([]string{"a.b.c", "d.e.f"}), " "); got != "a.b.f d.e.c" {
		t.Errorf("forged: %s", got)
	}
}
