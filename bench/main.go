// Command bench measures what authorization costs: the CPU time of the gateway's process for a request, beside a plain
// reverse_proxy in the same process and beside what a user would write instead. What is compared is measured alternately, in
// short turns, because the speed of a machine drifts within seconds by more than what is to be found.
//
//	make bench                          measures for 5 minutes and writes the results into docs/benchmarks.md
//	go run ./bench -for 1m              prints results after a minute, and writes nothing
//	go run ./bench -against ./before    compares this tree's gateway with another binary, built before
//
// It needs Linux, two cores and taskset. Everything is on loopback, and ends with the program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// The gateways run on one core. The load, the upstream and this program run on the other.
const (
	gatewayCore = "0"
	loadCore    = "1"
)

func main() {
	lasting := flag.Duration("for", 5*time.Minute, "how long to measure, without compiling")
	against := flag.String("against", "", "compare with this gateway `binary`, and nothing else")
	document := flag.String("write", "", "write the results into this `file`, after its mark")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *lasting, *against, *document); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// run does all of it, from the directory of the module.
func run(ctx context.Context, lasting time.Duration, against, document string) error {
	if runtime.GOOS != "linux" || runtime.NumCPU() < 2 {
		return errors.New("needs Linux and two cores")
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := dir + "/gateway"
	if _, err := output(ctx, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", binary, "./cmd/caddy"); err != nil {
		return err
	}
	// All that starts from here on inherits the core.
	if _, err := output(ctx, "taskset", "--all-tasks", "--cpu-list", "--pid", loadCore, strconv.Itoa(os.Getpid())); err != nil {
		return err
	}

	end := time.Now().Add(lasting)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	conditions, err := conditionsOf(ctx, binary)
	if err != nil {
		return err
	}
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(upstream, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	subjects := []*subject{{gateway: &gateway{binary: binary, dir: dir + "/this"}}}
	if against != "" {
		subjects = append(subjects, &subject{gateway: &gateway{binary: against, dir: dir + "/other"}})
		conditions += " Compared with " + against + "."
	}
	for _, s := range subjects {
		defer func() { s.gateway.stop() }()
		if err := s.setUp(ctx, upstream.Addr().String()); err != nil {
			return err
		}
	}
	pairs := subjects[0].pairs()
	if against != "" {
		pairs = subjects[0].pairsAgainst(subjects[1])
	}
	rounds := 0
	for longest := time.Duration(0); rounds == 0 || time.Now().Add(longest+longest/4).Before(end); rounds++ {
		began := time.Now()
		if err := round(ctx, subjects, pairs, rounds%2 == 1); err != nil {
			return err
		}
		longest = max(longest, time.Since(began))
	}
	text := report(conditions, rounds, pairs)
	fmt.Print(text)
	if document != "" {
		return write(document, text)
	}
	return nil
}

// output runs a program and returns what it printed.
func output(ctx context.Context, program string, arguments ...string) (string, error) {
	text, err := exec.CommandContext(ctx, program, arguments...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, text)
	}
	return string(text), nil
}
