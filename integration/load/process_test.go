//go:build linux

package load

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// processorTime is what the gateway's threads have had of the processors, in nanoseconds as Linux counts it for each thread.
func (s *site) processorTime(t *testing.T) (total time.Duration) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.PID()))
	if err != nil || len(files) == 0 {
		t.Fatalf("the gateway has no threads: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread has ended
		}
		var used, waited, turns int64
		if _, errScan := fmt.Sscan(string(text), &used, &waited, &turns); err != nil || errScan != nil {
			t.Fatalf("%s: %v, %v", file, err, errScan)
		}
		total += time.Duration(used)
	}
	return total
}

// mostForeign is how much of one processor others than the test and its gateway may have while a figure is taken that
// counts. The clock ticks a hundred times a second, so less could not be told from nothing.
const mostForeign = 0.1

// undisturbed does something, and reports whether nobody else had the processors meanwhile.
func (s *site) undisturbed(t *testing.T, do func()) bool {
	t.Helper()
	foreign := func() time.Duration { return machineTime(t) - ownTime(t) - s.processorTime(t) }
	begin, before := time.Now(), foreign()
	do()
	return (foreign() - before).Seconds() < mostForeign*time.Since(begin).Seconds()
}

// machineTime is what everybody has had of all processors, with what the host took away: from the first line of /proc/stat, which
// counts hundredths of a second.
func machineTime(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	var user, nice, system, idle, iowait, irq, softirq, steal int64
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal); err != nil {
		t.Fatalf("/proc/stat: %v: %.80s", err, text)
	}
	return time.Duration(user+nice+system+irq+softirq+steal) * time.Second / 100
}

// ownTime is what this process and the children that it has waited for have had.
func ownTime(t *testing.T) (total time.Duration) {
	t.Helper()
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if err := syscall.Getrusage(who, &used); err != nil {
			t.Fatal(err)
		}
		total += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	return total
}

// bytesRead is what the gateway has read from its connections and its files.
func (s *site) bytesRead(t *testing.T) int64 { return s.procNumber(t, "io", "rchar:") }

// memory is what the gateway has of the machine's memory, in bytes.
func (s *site) memory(t *testing.T) int64 { return s.procNumber(t, "status", "VmRSS:") << 10 }

// procNumber is a number from a file of /proc that has one a line.
func (s *site) procNumber(t *testing.T, file, name string) int64 {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.PID()), file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			number, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	t.Fatalf("/proc/%d/%s has no %s", s.PID(), file, name)
	return 0
}

// goroutines is how many goroutines the gateway has.
func (s *site) goroutines(t *testing.T) int { return int(s.metric(t, "go_goroutines")) }

// metric is the sum of the gateway's metrics that begin with a text.
func (s *site) metric(t *testing.T, begin string) (sum float64) {
	t.Helper()
	answer := gatewaytest.Call(t, http.MethodGet, s.Admin("/metrics"), nil).Want(http.StatusOK)
	found := false
	for line := range strings.Lines(string(answer.Body)) {
		if !strings.HasPrefix(line, begin) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum, found = sum+value, true
	}
	if !found {
		t.Fatalf("no metric begins with %s", begin)
	}
	return sum
}

// storeReads is how often the gateway has asked its store for records.
func (s *site) storeReads(t *testing.T) int {
	t.Helper()
	return int(s.metric(t, `caddy_deployment_keys_store_calls_total{operation="get"`))
}

// redisCommands is how often Redis was asked each command.
func (s *site) redisCommands(t *testing.T) map[string]int {
	t.Helper()
	text, err := s.redis.Client().Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	commands := make(map[string]int)
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, rest, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, ",")
		if commands[name], err = strconv.Atoi(number); err != nil {
			t.Fatal(err)
		}
	}
	return commands
}
