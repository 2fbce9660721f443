// Command bench measures what authorization costs: the gateway beside the same proxy without it, and beside what users
// would take instead. It starts everything itself, on loopback, and ends by itself.
//
//	make bench          all of it, in at most 15 minutes once it is compiled; writes docs/benchmarks.md
//	make bench-quick    the main variants in few rounds, in 2 minutes; writes nothing
//	make pgo            the profile of the gateway under the load of the bench: cmd/caddy/default.pgo
//
// It needs Linux with two cores, wrk, haproxy and redis-server. How it measures is in docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
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
	master    string // the master secret of gateways on Redis
	upstream  string // its address

	bare        *caddy
	onRedis     *caddy
	roomy       *caddy // remembers all tokens
	redis       string // URL of the Redis that these two are on
	gateways    map[*process]bool
	keys        []key
	tokens      []string
	byAlgorithm map[string]*caddy
	tokensBy    map[string][]string

	variants   []*variant
	primitives []primitives // of each round
	latencies  []latency
	growth     growth
	dropped    []string // samples, and why
	began      time.Time
}

// A plan is how much a run does. A round has one sample of each variant.
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
	primitivesOnly := flag.Bool("primitives", false, "measure the bare primitives once, and print them as JSON: what the bench starts itself for")
	flag.Parse()
	if *primitivesOnly {
		printPrimitives()
		return
	}
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
		plan: p, foreign: mostForeign, dir: dir, binaries: all, processes: &processes{dir: dir}, master: randomSecret(), began: time.Now(),
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

// warm has every variant answer for a second, and holds that what is to be remembered is.
func (b *bench) warm(ctx context.Context) error {
	for _, v := range b.variants {
		var disturbed errDisturbed
		if !b.plan.warm {
			break
		}
		if _, err := b.measure(ctx, v, b.plan.sample); err != nil && !errors.As(err, &disturbed) {
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

// round takes a sample of each variant, in an order of its own, so that none always follows the same one. What others
// have disturbed is tried once more.
func (b *bench) round(ctx context.Context, round int) error {
	for _, i := range rand.Perm(len(b.variants)) {
		v := b.variants[i]
		var s *sample
		for try := 0; try < b.plan.tries && (!v.rare || round%2 == 0); try++ {
			var err error
			var disturbed errDisturbed
			s, err = b.measure(ctx, v, b.plan.sample)
			if err == nil {
				break
			}
			if !errors.As(err, &disturbed) {
				return err
			}
			b.dropped = append(b.dropped, disturbed.Error())
		}
		v.samples = append(v.samples, s)
	}
	p, err := b.measurePrimitives(ctx)
	if err != nil {
		return err
	}
	b.primitives = append(b.primitives, p)
	fmt.Printf("round %d: %d samples dropped so far, %s\n", round+1, len(b.dropped), time.Since(b.began).Round(time.Second))
	return nil
}

// path is a file below the directory of the run.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
