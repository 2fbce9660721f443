package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// resultsBegin is the line of a document after which it is results to its end.
const resultsBegin = "<!-- make bench writes the rest -->\n"

// conditionsOf says when and on what is measured.
func conditionsOf(ctx context.Context, binary string) (string, error) {
	text, err := output(ctx, "sh", "-c", `git describe --always --dirty && nproc --all && sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1 &&
		uname -srm && "$0" version | cut -d ' ' -f 1 && cut -d ' ' -f 1 /proc/loadavg`, binary)
	facts := strings.Split(text, "\n")
	if err != nil || len(facts) != 7 {
		return "", fmt.Errorf("the machine is described by %q: %w", facts, err)
	}
	return fmt.Sprintf("Measured on %s at commit %s: %s cores of %s, %s, %s, Caddy %s; load average before that %s.",
		time.Now().UTC().Format("2 January 2006"), facts[0], facts[1], facts[2], facts[3], runtime.Version(), facts[4], facts[5]), nil
}

func report(conditions string, rounds int, pairs []*pair) string {
	text := fmt.Sprintf("%s %d rounds.\n\n| request | CPU, µs | compared with | CPU, µs | ratio | added, µs |\n|---|---|---|---|---|---|\n", conditions, rounds)
	for _, p := range pairs {
		text += fmt.Sprintf("| %s | %.1f | %s | %.1f | %s | %s |\n", p.of.name, spreadOf(p.costs).median, p.to.name, spreadOf(p.toCosts).median,
			spreadOf(p.ratios).text(2), spreadOf(p.added).text(1))
	}
	return text
}

// write puts results into a document, in the place of the previous ones.
func write(file, results string) error {
	document, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, _, found := strings.Cut(string(document), resultsBegin)
	if !found {
		return fmt.Errorf("%s has no line %q", file, resultsBegin)
	}
	return os.WriteFile(file, []byte(head+resultsBegin+"\n"+results), 0o644)
}
