package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Sizes of the plot, in pixels.
const (
	plotWidth  = 860
	labelWidth = 330
	barHeight  = 16
	rowHeight  = 24
	titleSpace = 40
)

// plot draws the CPU time of a request as bars, one panel for each group, with the quarters as a line on each bar. It is SVG
// with no script, and readable on white and on black.
func (b *bench) plot() string {
	var body strings.Builder
	y := 10
	for _, g := range []group{proxied, issued} {
		y = b.panel(&body, g, y)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="CPU time of a request">
<style>text { fill: #24292f } .bar { fill: #8c959f } .own { fill: #0969da } path { stroke: #24292f } @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } path { stroke: #e6edf3 } }</style>
%s</svg>
`, plotWidth, y+10, body.String())
}

// panel draws the bars of a group below y, and returns where it ends.
func (b *bench) panel(body *strings.Builder, g group, y int) int {
	longest := 0.0
	for _, v := range b.variants {
		if cost := spreadOf(values(v.samples, (*sample).cost)); v.group == g && cost.count > 0 {
			longest = math.Max(longest, cost.upper)
		}
	}
	if longest == 0 {
		return y
	}
	fmt.Fprintf(body, `<text x="0" y="%d" font-size="15" font-weight="600">%s: CPU time in µs</text>`+"\n", y+18, html.EscapeString(string(g)))
	y += titleSpace
	scale := float64(plotWidth-labelWidth-70) / longest
	for _, v := range b.variants {
		cost := spreadOf(values(v.samples, (*sample).cost))
		if v.group != g || cost.count == 0 {
			continue
		}
		class := "bar"
		if b.gateways[v.server] {
			class = "own"
		}
		middle := y + barHeight/2
		fmt.Fprintf(body, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-10, middle+4, html.EscapeString(v.name))
		fmt.Fprintf(body, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`, class, labelWidth, y, cost.median*scale, barHeight)
		fmt.Fprintf(body, `<path d="M%.1f %dH%.1f" stroke-width="2"/>`, labelWidth+cost.lower*scale, middle, labelWidth+cost.upper*scale)
		fmt.Fprintf(body, `<text x="%.1f" y="%d">%.0f</text>`+"\n", labelWidth+cost.upper*scale+6, middle+4, cost.median)
		y += rowHeight
	}
	return y + 10
}
