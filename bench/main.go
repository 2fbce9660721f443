// Command bench measures what authorization costs: the gateway beside the same proxy without it, and beside what users
// would take instead. It starts everything itself, on loopback, and ends by itself.
//
//	make bench          all of it, in at most 15 minutes once it is compiled; writes docs/benchmarks.md
//	make bench-quick    the main variants in few rounds, in 2 minutes; writes nothing
//	make pgo            the profile of the gateway under the load of the bench: cmd/caddy/gateway.pgo
//
// It needs Linux with two cores, wrk, haproxy and redis-server. How it measures is in docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A bench is a run: what it has started, and what it has found.
type bench struct {
	plan      plan
	foreign   float64 // part of a core that others may use during a sample
	dir       string  // everything that a run writes but the report
	binaries  binaries
	processes *processes
	script    func() (string, error) // that wrk runs: a file
	master    string                 // the master secret of gateways on Redis
	upstream  string                 // its address

	bare        *caddy
	same        *caddy // the gateway's binary, without a gateway
	profiled    *caddy // the same, compiled with its profile
	onRedis     *caddy
	roomy       *caddy // remembers all tokens
	redis       string // URL of the Redis that these two are on
	gateways    map[*process]bool
	keys        []key
	tokens      []string
	byAlgorithm map[string]*caddy
	tokensBy    map[string][]string

	variants  []*variant
	arranged  []*heat
	rounds    int // that were done
	latencies []latency
	growth    growth
	dropped   []string // samples, and why
	began     time.Time
}

// A plan is how much a run does.
type plan struct {
	longest       time.Duration // of the run, without compiling
	rest          time.Duration // of it, for what comes after the rounds, and the last of them
	whole         bool          // all variants, and what grows
	warm          bool          // every variant has a sample before the rounds that counts for nothing
	rounds        int
	sample        time.Duration
	tries         int // at a sample that is dropped
	latencyRounds int
	latency       time.Duration
	many          int            // tokens that are all remembered, and that are all new
	pools         map[string]int // tokens that are all new, for the other algorithms: RS256 takes long to make them
	growth        growthPlan     // of a whole run
}

var (
	wholePlan = plan{
		longest: 15 * time.Minute, rest: 4 * time.Minute, whole: true, warm: true, rounds: 20, sample: time.Second, tries: 2, latencyRounds: 4, latency: 2 * time.Second,
		many: 100_000, pools: map[string]int{"EdDSA": 30_000, "RS256": 10_000}, growth: wholeGrowth,
	}
	quickPlan = plan{longest: 2 * time.Minute, rest: 30 * time.Second, warm: true, rounds: 5, sample: time.Second, tries: 2, latencyRounds: 1, latency: time.Second, many: 20_000}
)

func main() {
	quick := flag.Bool("quick", false, "the main variants in few rounds, and no report")
	pgo := flag.String("profile", "", "instead of measuring, write a profile of the gateway under load to this `file`")
	report := flag.String("report", "docs/benchmarks.md", "the `file` whose figures are written anew")
	foreign := flag.Float64("foreign", mostForeign, "drop a sample when others used more than this `part` of a core; to try something on a busy machine, 9")
	flag.Parse()
	chosen := wholePlan
	if *quick {
		chosen = quickPlan
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, chosen, *foreign, *pgo, *report); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// start runs the bench from the module's directory.
func start(ctx context.Context, p plan, foreign float64, pgo, report string) error {
	if err := ready(); err != nil {
		return err
	}
	began := time.Now()
	all, err := build(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("compiled in %s\n", time.Since(began).Round(time.Second))
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := newBench(p, dir, all)
	b.foreign = foreign
	defer b.processes.endAll()
	ctx, cancel := context.WithTimeoutCause(ctx, p.longest, fmt.Errorf("not done within %s: the machine is too slow, or does other things", p.longest))
	defer cancel()
	// All that is started from here on inherits the core.
	if _, err := b.run(ctx, "taskset", "--all-tasks", "--pid", "--cpu-list", strconv.Itoa(loadCore), strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	if pgo != "" {
		err = b.profile(ctx, pgo)
	} else {
		err = b.measureAll(ctx)
	}
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	if pgo != "" {
		return nil
	}
	text := b.report(ctx)
	fmt.Print(text)
	if !p.whole {
		return nil
	}
	return b.write(report, text)
}

func newBench(p plan, dir string, all binaries) *bench {
	return &bench{
		script: sync.OnceValues(func() (string, error) { return writeScript(dir) }),
		plan:   p, foreign: mostForeign, dir: dir, binaries: all, processes: &processes{dir: dir}, master: randomSecret(), began: time.Now(),
		byAlgorithm: make(map[string]*caddy), tokensBy: make(map[string][]string), gateways: make(map[*process]bool),
	}
}

// ready holds that the machine has what the bench needs.
func ready() error {
	if runtime.GOOS != "linux" {
		return errors.New("needs Linux: it reads CPU times from /proc")
	}
	if runtime.NumCPU() < 2 {
		return errors.New("needs two cores: one for what is measured, and one for the load")
	}
	if _, err := os.Stat("cmd/caddy"); err != nil {
		return errors.New("run it in the directory of the module: make bench")
	}
	// There Debian has HAProxy, and only root looks there.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin"); err != nil {
		return err
	}
	for _, program := range []string{"wrk", "haproxy", "redis-server", "taskset", "go"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("needs %s: tools/install-needs installs it", program)
		}
	}
	return nil
}

// measureAll measures what is planned.
func (b *bench) measureAll(ctx context.Context) error {
	if err := b.setUp(ctx); err != nil {
		return err
	}
	if err := b.setHeats(); err != nil {
		return err
	}
	if err := b.warm(ctx); err != nil {
		return err
	}
	fmt.Printf("%d variants set up in %s\n", len(b.variants), time.Since(b.began).Round(time.Second))
	for round := range b.plan.rounds {
		// Fewer rounds are better than none, and the report tells how many there were.
		if time.Since(b.began) > b.plan.longest-b.plan.rest {
			fmt.Println("the machine is slow, or does other things: no time for more rounds")
			break
		}
		if err := b.round(ctx, round); err != nil {
			return err
		}
	}
	if err := b.measureLatencies(ctx); err != nil {
		return err
	}
	if !b.plan.whole {
		return nil
	}
	return b.measureGrowth(ctx)
}

// warm has every variant answer for a second, some at a time since nothing is measured, and holds that what is to be
// remembered is.
func (b *bench) warm(ctx context.Context) error {
	if b.plan.warm {
		failures := make([]error, len(b.variants))
		if err := inParallel(len(b.variants), func(i int) error {
			_, failures[i] = b.load(ctx, b.variants[i], b.plan.sample)
			return failures[i]
		}); err != nil {
			return err
		}
	}
	all := b.find(b.rememberedAll())
	for all.sent < len(b.tokens) {
		if _, err := b.load(ctx, all, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// path is a file below the directory of the run.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
