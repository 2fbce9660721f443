package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

func TestMain(m *testing.M) {
	gatewaytest.Main(m)
}

// A whole run in small, with servers that have the race detector: that every variant starts and gives the right answers,
// and that the report has them. The figures are worth nothing.
func TestBenchInSmall(t *testing.T) {
	t.Parallel()
	beNice(t)
	if err := ready(); err != nil && !strings.Contains(err.Error(), "directory of the module") {
		t.Fatal(err)
	}
	// With the race detector the cheapest bcrypt would take so long that fosite had no answer within a sample.
	caddy, dir := gatewaytest.CaddyBinary(t), t.TempDir()
	stock, fosite := filepath.Join(dir, "stock"), filepath.Join(dir, "fosite")
	for _, arguments := range [][]string{{"-o", stock, "./stock"}, {"-C", "fosite", "-race=false", "-o", fosite, "."}} {
		if arguments[0] == "-o" {
			arguments = append([]string{"-race"}, arguments...)
		}
		if out, err := exec.Command("go", append([]string{"build"}, arguments...)...).CombinedOutput(); err != nil {
			t.Fatalf("go build %q: %v: %s", arguments, err, out)
		}
	}
	b := newBench(plan{
		longest: 10 * time.Minute, whole: true, rounds: 1, sample: time.Second, tries: 20, latencyRounds: 1, latency: 500 * time.Millisecond,
		many: 2_000, pools: map[string]int{"EdDSA": 1_000, "RS256": 1_000},
		growth: growthPlan{keys: []int{1_000, 2_000}, rounds: 1, steady: 100 * time.Millisecond, peaks: 1, starts: 1, nodes: 2},
	}, t.TempDir(), binaries{stock: stock, gateway: caddy, profiled: caddy, fosite: fosite})
	b.foreign = 1e9
	defer b.processes.endAll()
	if err := b.measureAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	report := b.report(t.Context())
	for _, v := range b.variants {
		if len(v.samples) == 0 || v.samples[0].requests == 0 || v.samples[0].cpu <= 0 {
			t.Errorf("%s: %d samples", v.name, len(v.samples))
		}
		if !strings.Contains(report, "| "+v.name+" |") {
			t.Errorf("the report has no line for %s", v.name)
		}
	}
	if len(b.variants) < 25 || len(b.latencies) < 5 {
		t.Errorf("%d variants, %d latencies", len(b.variants), len(b.latencies))
	}
	for _, g := range b.goals() {
		if g.found.count == 0 {
			t.Errorf("nothing was measured for the goal %q", g.what)
		}
	}
	t.Log(report)
	document := filepath.Join(t.TempDir(), "benchmarks.md")
	if err := os.WriteFile(document, []byte(reportBegins+"\n"+reportEnds+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(filepath.Dir(document), "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.write(document, report); err != nil {
		t.Fatal(err)
	}
	plot, err := os.ReadFile(filepath.Join(filepath.Dir(document), "images", "benchmarks.svg"))
	if err != nil || !strings.Contains(string(plot), ">"+bareProxy+"<") {
		t.Errorf("the plot has no bar for %s: %v", bareProxy, err)
	}
}

// beNice lets the tests of other packages, some of which hold what happens against a clock, go before the load of this one
// and all that it starts.
func beNice(t *testing.T) {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of this process: %v, %v", threads, err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(filepath.Base(thread))
		if err != nil {
			t.Fatal(err)
		}
		// A thread may have ended since.
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, 5); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
	}
}
