package main

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed wrk.lua
var wrkScript []byte

// writeScript writes the script into a directory. That is done once: loads may run at the same time, and each reads it twice.
func writeScript(dir string) (string, error) {
	file := filepath.Join(dir, "wrk.lua")
	return file, os.WriteFile(file, wrkScript, 0o600)
}

// connections is how many wrk has open, with one request at a time on each.
const connections = 32

// load sends a variant's requests with wrk, on the load's core, and goes on where the last load of it ended.
func (b *bench) load(ctx context.Context, v *variant, lasting time.Duration) (*wrkReport, error) {
	script, err := b.script()
	if err != nil {
		return nil, err
	}
	// wrk waits for its threads, and these for answers: it ends within its timeout after the time is over.
	ctx, cancel := context.WithTimeout(ctx, lasting+20*time.Second)
	defer cancel()
	out, err := b.run(ctx, "wrk", "--threads", "1", "--connections", strconv.Itoa(connections), "--timeout", "10s",
		"--duration", fmt.Sprintf("%ds", int(lasting.Seconds())), "--script", script, "http://"+v.address, "--",
		v.requests, strconv.Itoa(v.sent))
	if err != nil {
		return nil, err
	}
	report, err := parseWrk(out)
	if err != nil {
		return nil, err
	}
	v.sent += report.requests
	return report, nil
}

// A wrkReport is what the script says at the end.
type wrkReport struct {
	requests int
	lasted   time.Duration
	failed   int         // requests that had no answer
	statuses map[int]int // how many answers had which
}

func parseWrk(out string) (*wrkReport, error) {
	for line := range strings.Lines(out) {
		var r wrkReport
		var microseconds int64
		var statuses string
		if n, _ := fmt.Sscanf(line, "bench %d requests %d us %d failed statuses %s", &r.requests, &microseconds, &r.failed, &statuses); n < 3 {
			continue
		}
		r.lasted = time.Duration(microseconds) * time.Microsecond
		r.statuses = make(map[int]int)
		for one := range strings.SplitSeq(statuses, ",") {
			if one == "" {
				continue
			}
			status, count, found := strings.Cut(one, "=")
			s, errStatus := strconv.Atoi(status)
			c, errCount := strconv.Atoi(count)
			if !found || errStatus != nil || errCount != nil {
				return nil, fmt.Errorf("wrk: %q is not STATUS=COUNT, in %q", one, line)
			}
			r.statuses[s] += c
		}
		return &r, nil
	}
	return nil, fmt.Errorf("wrk: no line of the script in %q", out)
}

// check holds that there were answers, and none but the right one.
func (r *wrkReport) check(status int) error {
	if r.requests == 0 || r.lasted <= 0 {
		return fmt.Errorf("no answer within %s", r.lasted)
	}
	if r.failed > 0 {
		return fmt.Errorf("%d of %d requests had no answer", r.failed, r.requests)
	}
	for _, got := range slices.Sorted(maps.Keys(r.statuses)) {
		if got != status {
			return fmt.Errorf("%d of %d answers had status %d, want %d", r.statuses[got], r.requests, got, status)
		}
	}
	return nil
}
