// Package cputime asks Linux how much CPU time was used, and by whom. It is for what measures: bench, and tests that do.
package cputime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// OfProcess is the CPU time of a process so far, of all its threads. A thread that ends takes its part along; those of
// Go and HAProxy do not end while they serve. The files have nanoseconds, /proc/PID/stat only hundredths of a second.
func OfProcess(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var total time.Duration
	threads := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return 0, err
		}
		onCPU, err := parseSchedstat(string(text))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += onCPU
		threads++
	}
	if threads == 0 {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return total, nil
}

// parseSchedstat reads the time on a CPU: the first of three numbers, in nanoseconds.
func parseSchedstat(text string) (time.Duration, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return 0, fmt.Errorf("%d fields, want 3", len(fields))
	}
	nanoseconds, err := strconv.ParseInt(fields[0], 10, 64)
	return time.Duration(nanoseconds), err
}

// A tick is the unit of /proc/stat: USER_HZ, which is 100 on all architectures that Go has on Linux.
const tick = time.Second / 100

// OfMachine is the CPU time that was used on all cores so far, with what the host took away.
func OfMachine() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseStat(string(text))
}

// parseStat reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, in ticks. Guests
// are in user already.
func parseStat(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var total time.Duration
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if idle := i == 3 || i == 4; !idle {
			total += time.Duration(ticks) * tick
		}
	}
	return total, nil
}

// OfSelf is the CPU time of this process and of the children that have ended and were waited for.
func OfSelf() (time.Duration, error) {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if err := syscall.Getrusage(who, &used); err != nil {
			return 0, err
		}
		total += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	return total, nil
}
