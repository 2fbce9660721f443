package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A heat is variants that are measured one right after the other, since they are compared with each other. The speed of a
// machine drifts within seconds by more than what is to be found, so what is compared must not lie further apart.
type heat struct {
	every    int // 2: it is run in every second round
	variants []*variant
	runs     [][]*sample // of each run, a sample of each variant, in their order; nil where it was dropped
}

// heats are who is measured beside whom, by name, and how often. What few care about or what has much room comes less often.
func (b *bench) heats() []heatPlan {
	return []heatPlan{
		{1, []string{openProxy, rememberedFew, sameBuild, sameHeaders, bareProxy, profiledProxy, profiledFew}},
		{2, []string{rememberedOne, b.rememberedAll(), sameBuild, onRedis}},
		{2, []string{bareProxy, checkVariant("ES256"), newVariant("ES256"), sameBuild, newVariant("EdDSA"), newVariant("RS256")}},
		{2, []string{bareProxy, forwardAuth}},
		{4, []string{bareHAProxy, haproxyVariant("ES256"), haproxyVariant("RS256")}},
		{1, []string{respondToPost, floorVariant("ES256"), issueVariant("ES256")}},
		{2, []string{respondToPost, floorVariant("EdDSA"), issueVariant("EdDSA")}},
		{2, []string{respondToPost, floorVariant("RS256"), issueVariant("RS256")}},
		{2, []string{fositeES256, issueVariant("ES256"), "token endpoint, a wrong secret", "token endpoint, a deleted key"}},
		{4, []string{
			onRedis, "no credentials", "no token at all", "a revoked token", "the token of a deleted key", "another Deployment", "without the scope",
		}},
		{4, []string{newVariant("ES256"), "a bad signature", "an expired token"}},
	}
}

type heatPlan struct {
	every int
	names []string
}

// setHeats arranges the variants that there are. It is an error of this program when one is in no heat, or in none with what
// it is compared with.
func (b *bench) setHeats() error {
	for _, p := range b.heats() {
		h := &heat{every: p.every}
		for _, name := range p.names {
			if v := b.find(name); v != nil {
				h.variants = append(h.variants, v)
			}
		}
		if len(h.variants) > 1 {
			b.arranged = append(b.arranged, h)
		}
	}
	for _, v := range b.variants {
		both := func(h *heat) bool {
			return slices.Contains(h.variants, v) && (v.base == "" || slices.Contains(h.variants, b.find(v.base)))
		}
		if !slices.ContainsFunc(b.arranged, both) {
			return fmt.Errorf("no heat has %q and %q", v.name, v.base)
		}
	}
	return nil
}

// round runs the heats whose turn it is, in an order of its own; the first round has all.
func (b *bench) round(ctx context.Context, round int) error {
	for _, i := range rand.Perm(len(b.arranged)) {
		h := b.arranged[i]
		if round > 0 && (round+i)%h.every != 0 {
			continue
		}
		if err := b.runHeat(ctx, h); err != nil {
			return err
		}
	}
	b.rounds++
	fmt.Printf("round %d: %d samples dropped so far, %s\n", round+1, len(b.dropped), time.Since(b.began).Round(time.Second))
	return nil
}

// runHeat takes a sample of each variant. Every second run goes backwards, so that a machine that becomes slower meanwhile
// does not always put the same one behind.
func (b *bench) runHeat(ctx context.Context, h *heat) error {
	samples := make([]*sample, len(h.variants))
	for place := range h.variants {
		if len(h.runs)%2 == 1 {
			place = len(h.variants) - 1 - place
		}
		var err error
		if samples[place], err = b.sampleOf(ctx, h.variants[place]); err != nil {
			return err
		}
	}
	h.runs = append(h.runs, samples)
	return nil
}

// paired compares two variants of a heat, by their places, in each run that has both.
func (h *heat) paired(of, to int, how func(of, to *sample) float64) []float64 {
	var found []float64
	for _, run := range h.runs {
		if run[of] != nil && run[to] != nil {
			found = append(found, how(run[of], run[to]))
		}
	}
	return found
}

// sampleOf takes a sample of a variant. What others have disturbed is tried once more; then there is none.
func (b *bench) sampleOf(ctx context.Context, v *variant) (*sample, error) {
	for range b.plan.tries {
		s, err := b.measure(ctx, v, b.plan.sample)
		if err == nil {
			v.samples = append(v.samples, s)
			return s, nil
		}
		var disturbed errDisturbed
		if !errors.As(err, &disturbed) {
			return nil, err
		}
		b.dropped = append(b.dropped, disturbed.Error())
	}
	return nil, nil
}

// compare pairs two variants by their names, in all runs of all heats that have both. What was not measured compares to
// nothing.
func (b *bench) compare(of, to string, how func(of, to *sample) float64) spread {
	var found []float64
	for _, h := range b.arranged {
		i := slices.IndexFunc(h.variants, func(v *variant) bool { return v.name == of })
		j := slices.IndexFunc(h.variants, func(v *variant) bool { return v.name == to })
		if i >= 0 && j >= 0 {
			found = append(found, h.paired(i, j, how)...)
		}
	}
	return spreadOf(found)
}
