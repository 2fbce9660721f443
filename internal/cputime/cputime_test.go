package cputime

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParseSchedstat(t *testing.T) {
	if got, err := parseSchedstat("21775439 978000 12\n"); err != nil || got != 21775439*time.Nanosecond {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "1 2", "x 1 2"} {
		if got, err := parseSchedstat(bad); err == nil {
			t.Errorf("parseSchedstat(%q) = %v, want an error", bad, got)
		}
	}
}

func TestParseStat(t *testing.T) {
	const text = "cpu  100 20 30 4000 500 6 7 8 9 10\ncpu0 50 10 15 2000 250 3 3 4 4 5\n"
	if got, err := parseStat(text); err != nil || got != (100+20+30+6+7+8)*10*time.Millisecond {
		t.Errorf("%v, %v: idle, iowait and guests do not count", got, err)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8 9", "cpu a 2 3 4 5 6 7 8 9 10"} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q) = %v, want an error", bad, got)
		}
	}
}

// Of this process the system says the same in another way.
func TestProcessTimeIsThatOfAllThreads(t *testing.T) {
	look := func() (byThreads, whole time.Duration) {
		byThreads, err := OfProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if whole, err = OfSelf(); err != nil {
			t.Fatal(err)
		}
		return byThreads, whole
	}
	byThreadsBefore, wholeBefore := look()
	var end atomic.Bool
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for !end.Load() {
			}
		})
	}
	byThreads, whole := look()
	for whole-wholeBefore < 300*time.Millisecond {
		byThreads, whole = look()
	}
	end.Store(true)
	busy.Wait()
	if ratio := float64(byThreads-byThreadsBefore) / float64(whole-wholeBefore); ratio < 0.8 || ratio > 1.2 {
		t.Errorf("the threads have used %.2f of the time of the process", ratio)
	}
	if _, err := OfProcess(1 << 30); err == nil {
		t.Error("a process that is not there has a time")
	}
}
