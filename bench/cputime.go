package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// cpuTime returns the CPU time that all threads of a process have used. A thread that ends takes its part along, but those of
// Go do not end. These files have nanoseconds; /proc/PID/stat has hundredths of a second, too coarse for a turn.
func cpuTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	total := time.Duration(0)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		var used, waited, turns int64
		if _, err := fmt.Sscan(string(text), &used, &waited, &turns); err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += time.Duration(used)
	}
	if total == 0 {
		return 0, fmt.Errorf("process %d does not run", pid)
	}
	return total, nil
}
