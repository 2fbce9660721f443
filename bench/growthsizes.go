package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sizeCosts are what requests cost with so many keys.
type sizeCosts struct {
	count int
	bytes int64 // of Redis
	kinds []kindCosts
	rate  spread // of remembered requests at full speed
	ratio spread // of that rate, to that with the fewest keys
}

// kindCosts are those of one kind of requests, in microseconds, at a steady rate that is far from what the gateway can do.
type kindCosts struct {
	name          string
	p50, p99, cpu spread
	ratio         spread // of p50, to that with the fewest keys in the same round
}

// How requests are timed. The rate is low, so that no request waits for another one.
const (
	steadyRate = 500 // a second
	hotTokens  = 20  // are used again and again
)

// newTokens is how many tokens are used once: as many as all samples of a kind take, with all that are tried again.
func (b *bench) newTokens() int {
	return b.plan.growth.rounds * b.plan.tries * b.plan.growth.count()
}

// count is how many requests a sample has.
func (p growthPlan) count() int { return int(steadyRate * p.steady.Seconds()) }

// Kinds of requests. A new token is one that was never used, of a key that the gateway knows nothing of: it costs a check of
// the signature, and a read of the store. So does a token for such a key, but for the signature that is made.
var sizeKinds = []struct {
	name string
	site string
	cold bool
}{
	{"a request, remembered", siteAuth, false},
	{"a request, new token of a new key", siteAuth, true},
	{"a token for a new key", siteToken, true},
}

// measureSizes has the gateways answer requests of each kind in turns.
func (b *bench) measureSizes(ctx context.Context, spaces []*keyspace) error {
	variants := make([][]*variant, len(spaces)) // by kind
	found := make([][]steadyFigures, len(spaces))
	for i, s := range spaces {
		var err error
		if variants[i], err = b.sizeVariants(s); err != nil {
			return err
		}
		found[i] = make([]steadyFigures, len(sizeKinds))
	}
	for range b.plan.growth.rounds {
		for kind := range sizeKinds {
			for i, s := range spaces {
				f, err := b.steadySample(ctx, s, variants[i][kind], sizeKinds[kind].cold)
				if err != nil {
					return fmt.Errorf("%s, %d keys: %w", sizeKinds[kind].name, s.count, err)
				}
				found[i][kind].add(f)
			}
		}
	}
	peaks := &heat{}
	for i := range spaces {
		peaks.variants = append(peaks.variants, variants[i][0])
	}
	for range b.plan.growth.peaks {
		if err := b.runHeat(ctx, peaks); err != nil {
			return err
		}
	}
	for i, s := range spaces {
		text, err := askRedis(ctx, s.address, "memory")
		if err != nil {
			return err
		}
		bytes, err := strconv.ParseInt(infoLine(text, "used_memory"), 10, 64)
		if err != nil {
			return fmt.Errorf("memory of Redis: %w", err)
		}
		costs := sizeCosts{count: s.count, bytes: bytes, rate: spreadOf(values(variants[i][0].samples, (*sample).rate)), ratio: spreadOf(peaks.paired(i, 0, ratioOfRates))}
		for kind := range sizeKinds {
			costs.kinds = append(costs.kinds, found[i][kind].costs(sizeKinds[kind].name, found[0][kind]))
		}
		b.growth.bySize = append(b.growth.bySize, costs)
	}
	return nil
}

// sizeVariants are the requests of each kind to the gateway of a keyspace.
func (b *bench) sizeVariants(s *keyspace) ([]*variant, error) {
	var hot, fresh, issue []string
	for i, token := range s.tokens {
		text := read(s.keys[i%keysOfRequests].deployment, token)
		if i < hotTokens {
			hot = append(hot, text)
		} else {
			fresh = append(fresh, text)
		}
	}
	issue = asks(withoutDeployments(s.keys[:keysOfRequests]))
	var variants []*variant
	for i, requests := range [][]string{hot, fresh, issue} {
		v := &variant{name: sizeKinds[i].name, server: s.gateway.process, address: s.gateway.sites[sizeKinds[i].site], status: http.StatusOK}
		var err error
		if v.requests, err = b.requestFile(fmt.Sprintf("with-%d-%d", s.count, i), requests); err != nil {
			return nil, err
		}
		variants = append(variants, v)
	}
	return variants, nil
}

// steadyFigures are those of each round; nil where others have disturbed it.
type steadyFigures struct{ rounds []*steadyFigure }

type steadyFigure struct{ p50, p99, cpu float64 }

func (f *steadyFigures) add(one *steadyFigure) { f.rounds = append(f.rounds, one) }

// costs sums the rounds up, and compares them with those of another gateway.
func (f steadyFigures) costs(name string, first steadyFigures) kindCosts {
	var p50, p99, cpu, ratio []float64
	for round, one := range f.rounds {
		if one == nil {
			continue
		}
		p50, p99, cpu = append(p50, one.p50), append(p99, one.p99), append(cpu, one.cpu)
		if to := first.rounds[round]; to != nil {
			ratio = append(ratio, one.p50/to.p50)
		}
	}
	return kindCosts{name, spreadOf(p50), spreadOf(p99), spreadOf(cpu), spreadOf(ratio)}
}

// steadySample has a gateway answer for a moment, cold or warm. A sample that others have disturbed is tried again, and then
// dropped.
func (b *bench) steadySample(ctx context.Context, s *keyspace, v *variant, cold bool) (*steadyFigure, error) {
	for range b.plan.tries {
		if cold {
			if err := s.forget(ctx, s.gateway); err != nil {
				return nil, err
			}
		} else if err := v.warmUp(ctx, 2*hotTokens); err != nil {
			return nil, err
		}
		before, err := b.usage(v.server)
		if err != nil {
			return nil, err
		}
		took, wrong := v.steadily(ctx, steadyRate, b.plan.growth.steady)
		after, err := b.usage(v.server)
		if err != nil {
			return nil, err
		}
		switch foreign := foreignPart(before, after); {
		case onlyUnavailable(wrong):
			b.dropped = append(b.dropped, fmt.Sprintf("%s, %d keys: some answers were 503", v.name, s.count))
		case wrong != nil:
			return nil, wrong
		case foreign > b.foreign:
			b.dropped = append(b.dropped, fmt.Sprintf("%s, %d keys: others used %.0f %% of a core meanwhile", v.name, s.count, 100*foreign))
		default:
			cpu := float64((after.server - before.server).Microseconds()) / float64(len(took))
			return &steadyFigure{quantile(took, 0.5), quantile(took, 0.99), cpu}, nil
		}
	}
	return nil, nil
}

// warmUp sends requests whose time does not count.
func (v *variant) warmUp(ctx context.Context, count int) error {
	_, err := v.steadily(ctx, steadyRate, time.Duration(count)*time.Second/steadyRate)
	if onlyUnavailable(err) {
		return nil
	}
	return err
}

// onlyUnavailable says whether answers were wrong because a busy machine kept a gateway from its store, and for no other reason.
func onlyUnavailable(wrong error) bool {
	if wrong == nil {
		return false
	}
	for line := range strings.Lines(wrong.Error()) {
		if !strings.HasPrefix(line, fmt.Sprintf("status %d,", http.StatusServiceUnavailable)) {
			return false
		}
	}
	return true
}
