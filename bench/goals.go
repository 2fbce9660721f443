package main

import (
	"fmt"
	"strings"
)

// A goal is what the gateway is meant to reach, held against what was measured.
type goal struct {
	what  string
	found spread
	limit float64
	least bool // the limit is the least that will do; else the most
	digit int  // digits behind the point
	unit  string
}

func (g goal) met() bool {
	if g.least {
		return g.found.median >= g.limit
	}
	return g.found.median <= g.limit
}

// row is the goal in a table.
func (g goal) row() string {
	if g.found.count == 0 {
		return fmt.Sprintf("| %s | %s | not measured | |\n", g.what, g.wanted())
	}
	verdict := "met"
	if !g.met() {
		verdict = "**not met**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", g.what, g.wanted(), g.found.text(g.digit)+g.unit, verdict)
}

func (g goal) wanted() string {
	word := "at most"
	if g.least {
		word = "at least"
	}
	return fmt.Sprintf("%s %.*f%s", word, g.digit, g.limit, g.unit)
}

// goals are those of this product. Medians decide.
func (b *bench) goals() []goal {
	all := []goal{
		{"remembered tokens: requests a second, to the same proxy without authorization", b.compare(rememberedFew, openProxy, ratioOfRates), 0.97, true, 3, ""},
		{"remembered tokens: CPU added to a request", b.compare(rememberedFew, openProxy, addedCost), 6, false, 1, " µs"},
		{"remembered tokens: requests a second, to stock Caddy", b.compare(rememberedFew, bareProxy, ratioOfRates), 1, true, 3, ""},
		{"remembered tokens: requests a second with " + thousands(b.plan.many) + ", to those with 1", b.compare(b.rememberedAll(), rememberedOne, ratioOfRates), 0.95, true, 3, ""},
		{"every token new, ES256: requests a second, to the same proxy without authorization", b.compare(newES256, openProxy, ratioOfRates), 0.55, true, 3, ""},
		{"tokens a second, to fosite", b.compare(issueES256, fositeES256, ratioOfRates), 9, true, 1, ""},
	}
	for _, algorithm := range algorithms {
		all = append(all, goal{
			"token issued, " + algorithm + ": CPU, to `respond`, one signature and one keyed hash", b.issueToFloor(algorithm), 1.25, false, 2, "",
		})
	}
	for _, v := range b.variants {
		if v.group == refused {
			all = append(all, goal{"refused, " + v.name + ": CPU, to what is accepted", b.compare(v.name, v.base, ratioOfCosts), 1, false, 2, ""})
		}
	}
	return append(all, b.growth.goals()...)
}

var algorithms = []string{"ES256", "EdDSA", "RS256"}

// compare pairs two variants by their names. What was not measured compares to nothing.
func (b *bench) compare(of, to string, how func(of, to *sample) float64) spread {
	one, other := b.find(of), b.find(to)
	if one == nil || other == nil {
		return spreadOf(nil)
	}
	return paired(one.samples, other.samples, how)
}

// issueToFloor is what a token costs, as a ratio to what it cannot do without: an answer to the same POST, a signature, and
// the keyed hash of the secret, each of the same round.
func (b *bench) issueToFloor(algorithm string) spread {
	issue, respond := b.find("token issued, "+algorithm), b.find(respondToPost)
	var ratios []float64
	for round, p := range b.primitives {
		if issue == nil || respond == nil || issue.samples[round] == nil || respond.samples[round] == nil {
			continue
		}
		floor := respond.samples[round].cost() + p.Signature[algorithm] + p.KeyedHash
		ratios = append(ratios, issue.samples[round].cost()/floor)
	}
	return spreadOf(ratios)
}

// thousands writes a number with commas.
func thousands(n int) string {
	text := fmt.Sprint(n)
	var parts []string
	for len(text) > 3 {
		parts = append([]string{text[len(text)-3:]}, parts...)
		text = text[:len(text)-3]
	}
	return strings.Join(append([]string{text}, parts...), ",")
}
