package main

import (
	"context"
	"errors"
)

// A pair is two loads that are measured alternately. Each turn gives one ratio.
type pair struct {
	of, to *load
	empty  bool                    // measured while the gateway's cache is empty
	plus   func() (float64, error) // more microseconds that count as the cost of to; nil: none

	costs, toCosts, ratios, added []float64 // of each turn
}

// pairs are what the report is about.
func (s *subject) pairs() []*pair {
	return []*pair{
		{of: s.cachedFew, to: s.proxy},
		{of: s.cachedFew, to: s.headers},
		{of: s.cachedMany, to: s.proxy},
		{of: s.forwardAuth, to: s.proxy},
		{of: s.newToken, to: s.proxy, empty: true},
		{of: s.issuedHere, to: s.proxy, empty: true},
		{of: s.issue, to: s.respond, empty: true, plus: signAndHash},
		{of: s.none, to: s.cachedFew},
		{of: s.forged, to: s.cachedFew},
	}
}

// pairsAgainst compare the same loads of two binaries. The first, in which neither authorizes anything, shows what two
// processes differ by at least.
func (s *subject) pairsAgainst(other *subject) []*pair {
	return []*pair{
		{of: s.proxy, to: other.proxy},
		{of: s.cachedOne, to: other.cachedOne},
		{of: s.cachedFew, to: other.cachedFew},
		{of: s.cachedMany, to: other.cachedMany},
		{of: s.newToken, to: other.newToken, empty: true},
		{of: s.issuedHere, to: other.issuedHere, empty: true},
		{of: s.issue, to: other.issue, empty: true},
	}
}

// round gives each pair a turn.
func round(ctx context.Context, subjects []*subject, pairs []*pair, backwards bool) error {
	for _, s := range subjects {
		if err := s.restart(ctx); err != nil {
			return err
		}
	}
	for _, empty := range []bool{true, false} {
		for _, p := range pairs {
			if p.empty != empty {
				continue
			}
			if err := errors.Join(ctx.Err(), p.turn(backwards)); err != nil {
				return err
			}
		}
		for _, s := range subjects {
			if err := s.fillCache(); err != nil {
				return err
			}
		}
	}
	return nil
}

// turn measures both loads, one right after the other.
func (p *pair) turn(backwards bool) error {
	loads, costs := [2]*load{p.of, p.to}, [2]float64{}
	for i := range loads {
		if backwards {
			i = 1 - i
		}
		var err error
		if costs[i], err = loads[i].cost(); err != nil {
			return err
		}
	}
	if p.plus != nil {
		more, err := p.plus()
		if err != nil {
			return err
		}
		costs[1] += more
	}
	p.costs, p.toCosts = append(p.costs, costs[0]), append(p.toCosts, costs[1])
	p.ratios, p.added = append(p.ratios, costs[0]/costs[1]), append(p.added, costs[0]-costs[1])
	return nil
}
