package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The report is markdown: in full it goes into a document, between two lines that say so.
const (
	reportBegins = "<!-- make bench writes what is from here -->"
	reportEnds   = "<!-- to here -->"
)

func (b *bench) report(ctx context.Context) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n\n", b.conditions(ctx))
	for _, g := range []group{proxied, issued, refused} {
		text.WriteString(b.table(g))
	}
	text.WriteString(b.latencyTable())
	text.WriteString(b.growth.report())
	text.WriteString("### Goals\n\n| goal | wanted | measured | |\n|---|---|---|---|\n")
	for _, g := range b.goals() {
		text.WriteString(g.row())
	}
	return text.String()
}

// conditions says what it was measured on and with.
func (b *bench) conditions(ctx context.Context) string {
	first := func(program string, arguments ...string) string {
		out, err := b.run(ctx, program, arguments...)
		line, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
		if err != nil || line == "" {
			return "unknown"
		}
		return line
	}
	commit := first("git", "rev-parse", "--short", "HEAD")
	if first("git", "status", "--porcelain", "--untracked-files=no") != "unknown" {
		commit += " and what was changed since"
	}
	total := 0
	for _, v := range b.variants {
		total += len(values(v.samples, (*sample).rate))
	}
	return fmt.Sprintf("Measured on %s, at commit %s, %s, on %d cores of %s, %s %s; Caddy %s, %s, Redis %s. "+
		"%d rounds, %d samples of %s; %d more were dropped, since others had more than %.0f %% of a core.",
		time.Now().UTC().Format("2 January 2006"), commit, runtime.Version(), runtime.NumCPU(), processorName(), first("uname", "-sr"), runtime.GOARCH,
		word(first(b.binaries.stock, "version"), 0), first("haproxy", "-v"), word(first("redis-server", "--version"), 2),
		b.rounds, total, b.plan.sample, len(b.dropped), 100*b.foreign)
}

// word is one of the words of a line.
func word(line string, i int) string {
	words := strings.Fields(line)
	if i >= len(words) {
		return line
	}
	return words[i]
}

// table is what was measured of a group.
func (b *bench) table(g group) string {
	var rows strings.Builder
	for _, v := range b.variants {
		if v.group == g {
			rows.WriteString(b.row(v))
		}
	}
	if rows.Len() == 0 {
		return ""
	}
	return fmt.Sprintf("### %s\n\n| | requests a second | to | ratio | CPU a request, µs | added, µs | core used |\n|---|---|---|---|---|---|---|\n%s\n", g, rows.String())
}

func (b *bench) row(v *variant) string {
	to, ratio, added := "", "", ""
	if b.find(v.base) != nil {
		to = v.base
		ratio = b.compare(v.name, v.base, ratioOfRates).text(2)
		added = b.compare(v.name, v.base, addedCost).text(1)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %.0f %% |\n", v.name, spreadOf(values(v.samples, (*sample).rate)).text(0), to, ratio,
		spreadOf(values(v.samples, (*sample).cost)).text(1), added, 100*spreadOf(values(v.samples, (*sample).busy)).median)
}

func (b *bench) latencyTable() string {
	if len(b.latencies) == 0 {
		return ""
	}
	var text strings.Builder
	text.WriteString("### How long an answer takes at half of the peak\n\n| | requests a second | p50, µs | p99, µs |\n|---|---|---|---|\n")
	for _, l := range b.latencies {
		fmt.Fprintf(&text, "| %s | %.0f | %s | %s |\n", l.variant.name, l.rate, l.p50.text(0), l.p99.text(0))
	}
	text.WriteString("\n")
	return text.String()
}

// write puts a report into a document, in place of the one before, and its plot beside it.
func (b *bench) write(file, report string) error {
	document, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	written, err := between(string(document), report)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "images", "benchmarks.svg"), []byte(b.plot()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(written), 0o644)
}

// between puts a report between the two lines of a document.
func between(document, report string) (string, error) {
	before, rest, found := strings.Cut(document, reportBegins)
	_, after, foundEnd := strings.Cut(rest, reportEnds)
	if !found || !foundEnd {
		return "", fmt.Errorf("no line %q with %q after it", reportBegins, reportEnds)
	}
	return before + reportBegins + "\n\n" + strings.TrimSpace(report) + "\n\n" + reportEnds + after, nil
}

// processorName is what /proc/cpuinfo calls the processor.
func processorName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if name, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
