package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/deploymentkeys/gateway/internal/cputime"
)

// A sample is what one variant did for a second or two.
type sample struct {
	requests int
	lasted   time.Duration // of the load
	cpu      time.Duration // that the server used for it, from the operating system
}

// rate is in answers a second.
func (s *sample) rate() float64 { return float64(s.requests) / s.lasted.Seconds() }

// cost is in microseconds of CPU time an answer.
func (s *sample) cost() float64 { return float64(s.cpu.Nanoseconds()) / 1000 / float64(s.requests) }

// busy is the part of its core that the server used. Where it is much below 1, the load was the limit, and the rate says
// little about the server.
func (s *sample) busy() float64 { return s.cpu.Seconds() / s.lasted.Seconds() }

// A sample is dropped when others than the processes of the bench had more than this part of one core meanwhile, or the
// host took it away. The clock of /proc/stat ticks a hundred times a second, so less could not be told from nothing.
const mostForeign = 0.08

// An errDisturbed says why a sample was dropped.
type errDisturbed string

func (e errDisturbed) Error() string { return string(e) }

// measure has a variant's server answer requests for a while, and holds that every answer was the right one. A gateway that
// was kept from its processor for so long that it could not ask its store answers 503, or nothing yet; that sample is dropped
// too.
func (b *bench) measure(ctx context.Context, v *variant, lasting time.Duration) (*sample, error) {
	if err := v.prepare(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	before, err := b.usage(v.server)
	if err != nil {
		return nil, err
	}
	report, err := b.load(ctx, v, lasting)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	after, err := b.usage(v.server)
	if err != nil {
		return nil, err
	}
	if report.requests == 0 && report.failed == 0 {
		return nil, errDisturbed(fmt.Sprintf("%s: no answer within %s", v.name, lasting))
	}
	if n := report.statuses[http.StatusServiceUnavailable]; n > 0 {
		return nil, errDisturbed(fmt.Sprintf("%s: %d of %d answers were 503", v.name, n, report.requests))
	}
	if err := report.check(v.status); err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	// The load has ended, so what it used is in the bench's own account of children.
	if foreign := foreignPart(before, after); foreign > b.foreign {
		return nil, errDisturbed(fmt.Sprintf("%s: others used %.0f %% of a core meanwhile", v.name, 100*foreign))
	}
	return &sample{requests: report.requests, lasted: report.lasted, cpu: after.server - before.server}, nil
}

func (v *variant) prepare(ctx context.Context) error {
	if v.before == nil {
		return nil
	}
	return v.before(ctx)
}

// A usage is how much CPU time has been used so far.
type usage struct {
	at      time.Time
	machine time.Duration // by all, on all cores, with what the host took away
	own     time.Duration // by the bench and what it has started
	server  time.Duration // by the server that is measured
}

func (b *bench) usage(s *process) (u usage, err error) {
	u.at = time.Now()
	if u.server, err = s.cpu(); err != nil {
		return u, err
	}
	if u.machine, err = cputime.OfMachine(); err != nil {
		return u, err
	}
	u.own, err = b.processes.cpu()
	return u, err
}

// foreignPart is what others used between two looks, as a part of one core.
func foreignPart(before, after usage) float64 {
	foreign := (after.machine - before.machine) - (after.own - before.own)
	return foreign.Seconds() / after.at.Sub(before.at).Seconds()
}
