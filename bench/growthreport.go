package main

import (
	"fmt"
	"math"
	"strings"
)

// report is markdown; empty where nothing was measured.
func (g growth) report() string {
	if len(g.bySize) == 0 || len(g.nodes) == 0 {
		return ""
	}
	return "### Growth\n\n" + g.sizesText() + g.startsText() + g.memory.sentence() + g.nodesText() + g.limitsText()
}

// sizesText is what more keys cost.
func (g growth) sizesText() string {
	var text strings.Builder
	fmt.Fprintf(&text, "Each number of keys lies in a Redis of its own, with a gateway on each. %d requests a second, in samples that take turns. "+
		"A new token was never used, and of a new key the gateway knows nothing, so that it checks a signature or makes one, and reads the store.\n\n"+
		"| | keys | p50, µs | p50 to that with %s keys | p99, µs | CPU, µs |\n|---|---|---|---|---|---|\n",
		steadyRate, thousands(g.bySize[0].count))
	for kind := range g.bySize[0].kinds {
		for i, size := range g.bySize {
			c, ratio := size.kinds[kind], ""
			if i > 0 {
				ratio = c.ratio.text(2)
			}
			fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", c.name, thousands(size.count), c.p50.text(0), ratio, c.p99.text(0), c.cpu.text(0))
		}
	}
	text.WriteString("\n| keys | remembered requests a second, at full speed | to those with " + thousands(g.bySize[0].count) + " keys | bytes of Redis a key |\n|---|---|---|---|\n")
	for i, size := range g.bySize {
		ratio := ""
		if i > 0 {
			ratio = size.ratio.text(2)
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %d |\n", thousands(size.count), size.rate.text(0), ratio, size.bytes/int64(size.count))
	}
	return text.String() + "\n"
}

// startsText is how long a start takes.
func (g growth) startsText() string {
	var text strings.Builder
	text.WriteString("| store | keys | from the start to the first request let through, ms | bytes of the file a key |\n|---|---|---|---|\n")
	for _, s := range g.starts {
		file := ""
		if s.file > 0 {
			file = fmt.Sprint(s.file / int64(s.count))
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", s.store, thousands(s.count), s.took.text(0), file)
	}
	return text.String() + "\n"
}

// sentence is what it takes to remember a token.
func (m tokenMemory) sentence() string {
	return fmt.Sprintf("A remembered token takes %.0f bytes of memory: the heap with %s of them, less the heap of the same gateway without. "+
		"Its text, %.0f bytes, is not among them: what is kept is a digest of it and what it says.\n\n", m.perToken().median, thousands(int(m.tokens)), m.text)
}

// nodesText is what nodes cost a Redis.
func (g growth) nodesText() string {
	var text strings.Builder
	fmt.Fprintf(&text, "What one Redis with %s keys does for its nodes: commands, those of scripts included, and µs of its CPU. A key that is new to a node has also "+
		"the note of its use, once a minute and node; a change has its entry in the audit log.\n\n"+
		"| nodes | token, remembered key | token, new key | key made or deleted | all at rest, each second |\n|---|---|---|---|---|\n",
		thousands(g.bySize[len(g.bySize)-1].count))
	for _, n := range g.nodes {
		fmt.Fprintf(&text, "| %d | %s | %s | %s | %s |\n", n.nodes, n.rememberedToken, n.newToken, n.edit, n.rest)
	}
	return text.String() + "\n"
}

// String leaves out what is below nothing: of what costs nothing, half of the samples are.
func (c redisCost) String() string {
	return fmt.Sprintf("%.1f commands, %.0f µs", max(c.commands, 0), max(c.microseconds, 0))
}

// limitsText is what one shard of Redis carries on paper.
func (g growth) limitsText() string {
	l := g.limits()
	return fmt.Sprintf("On paper, one core of Redis carries %s tokens a second of keys that are new to their node, however many nodes there are; or %s changes a "+
		"second with one node and %s with ten, since each hears of all; and %s nodes that do nothing take a tenth of it. Remembered keys and tokens ask it for "+
		"nothing. Plan with half of that, and less on another machine.\n\n"+
		"There it ends: Redis runs commands on one thread, and all that is of one gateway has one hash tag, so that more shards of a Cluster carry no more. "+
		"Then a larger `cache_size` makes fewer keys new; and after that come several groups of gateways, each with a Redis and with Deployments of its own.\n\n",
		rounded(l.newTokens), rounded(l.editsOne), rounded(l.editsTen), rounded(l.nodes))
}

// shardLimits are what a Redis carries that uses one whole core, of one thing alone.
type shardLimits struct {
	newTokens          float64 // a second
	editsOne, editsTen float64 // a second, with one node and with ten
	nodes              float64 // at rest, in a tenth of the core
}

// limits computes them from the costs of a few nodes. What a change costs, and the rest, are lines over the number of nodes.
func (g growth) limits() shardLimits {
	const second = 1e6 // microseconds
	var nodes, tokens, edits, rest []float64
	for _, n := range g.nodes {
		nodes = append(nodes, float64(n.nodes))
		tokens = append(tokens, n.newToken.microseconds)
		edits = append(edits, n.edit.microseconds)
		rest = append(rest, n.rest.microseconds)
	}
	atNone, each := line(nodes, edits)
	_, restEach := line(nodes, rest)
	return shardLimits{
		newTokens: second / spreadOf(tokens).median,
		editsOne:  second / (atNone + each),
		editsTen:  second / (atNone + 10*each),
		nodes:     second / 10 / restEach,
	}
}

// line is the straight line that comes nearest to some points, by least squares.
func line(xs, ys []float64) (at0, slope float64) {
	var x, y float64
	for i := range xs {
		x, y = x+xs[i]/float64(len(xs)), y+ys[i]/float64(len(xs))
	}
	var over, under float64
	for i := range xs {
		over += (xs[i] - x) * (ys[i] - y)
		under += (xs[i] - x) * (xs[i] - x)
	}
	slope = over / under
	return y - slope*x, slope
}

// rounded writes a number with two digits that count; what came out as none or less is no limit.
func rounded(value float64) string {
	if !(value > 0) || math.IsInf(value, 0) {
		return "any number of"
	}
	unit := math.Pow(10, math.Floor(math.Log10(value))-1)
	return thousands(int(math.Round(value/unit) * unit))
}
