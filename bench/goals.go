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
		{"remembered tokens: requests a second, to `reverse_proxy` alone in the same build", b.compare(rememberedFew, sameBuild, ratioOfRates), 0.97, true, 3, ""},
		{"remembered tokens: CPU added to a request of `reverse_proxy` alone in the same build", b.compare(rememberedFew, sameBuild, addedCost), 6, false, 1, " µs"},
		{"the same, beside a proxy without authorization in the same process: requests a second", b.compare(rememberedFew, openProxy, ratioOfRates), 0.97, true, 3, ""},
		{"the same, beside a proxy without authorization in the same process: CPU added to a request", b.compare(rememberedFew, openProxy, addedCost), 6, false, 1, " µs"},
		{"remembered tokens, built with the profile: requests a second, to stock Caddy", b.compare(profiledFew, bareProxy, ratioOfRates), 1, true, 3, ""},
		{"the same without the profile", b.compare(rememberedFew, bareProxy, ratioOfRates), 1, true, 3, ""},
		{"remembered tokens: requests a second with " + thousands(b.plan.many) + ", to those with 1", b.compare(b.rememberedAll(), rememberedOne, ratioOfRates), 0.95, true, 3, ""},
		{"every token new, ES256: requests a second, to `reverse_proxy` alone in the same build", b.compare(newVariant("ES256"), sameBuild, ratioOfRates), 0.55, true, 3, ""},
		{"tokens a second, to fosite", b.compare(issueVariant("ES256"), fositeES256, ratioOfRates), 9, true, 1, ""},
	}
	for _, algorithm := range algorithms {
		all = append(all, goal{
			"token issued, " + algorithm + ": CPU, to `respond`, one signature and one keyed hash together", b.compare(issueVariant(algorithm), floorVariant(algorithm), ratioOfCosts), 1.25, false, 2, "",
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
