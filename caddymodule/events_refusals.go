package caddymodule

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/deploymentkeys/gateway/caddymodule/node"
)

const (
	// eventTokenRefused is the name of the event about a refusal, by either handler.
	eventTokenRefused = "deployment_token_refused"

	// mostRefusalEvents bounds the events about refusals, in each second. Anybody can cause them,
	// and subscribers run programs or call others.
	mostRefusalEvents = 100
)

// refusalEvents are the events about refusals that are to be emitted. The request that was
// refused does not wait for subscribers: one goroutine calls them, one event after the other. What
// comes faster than mostRefusalEvents, or than they can take it, is not emitted but counted: in
// the metric refusal_events_suppressed_total, and in the field "suppressed" of the next event.
type refusalEvents struct {
	queue      chan node.Refusal
	suppressed atomic.Uint64

	mu     sync.Mutex
	second int64 // of the clock
	told   int   // events in that second
}

// A refusalEvents has a queue of a second's events.
func newRefusalEvents() refusalEvents {
	return refusalEvents{queue: make(chan node.Refusal, mostRefusalEvents)}
}

// take reports whether there may be one more event at this moment.
func (e *refusalEvents) take(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if second := now.Unix(); second != e.second {
		e.second, e.told = second, 0
	}
	e.told++
	return e.told <= mostRefusalEvents
}

// suppress counts an event that is not emitted.
func (e *refusalEvents) suppress() {
	e.suppressed.Add(1)
	metrics.notEmitted.Inc()
}

// refused tells subscribers of a refusal.
func (a *announcer) refused(refused node.Refusal) {
	if !a.observed(eventTokenRefused) {
		return
	}
	if !a.refusals.take(time.Now()) {
		a.refusals.suppress()
		return
	}
	select {
	case a.refusals.queue <- refused:
	default:
		a.refusals.suppress()
	}
}

// tellRefusals emits what is in the queue until the configuration ends.
func (a *announcer) tellRefusals() {
	for {
		select {
		case <-a.ctx.Done():
			return
		case event := <-a.refusals.queue:
			data := map[string]any{
				"handler":    event.Handler,
				"error":      event.Code,
				"client_ip":  event.Address,
				"suppressed": a.refusals.suppressed.Swap(0),
			}
			if event.Key != "" {
				data["key"] = event.Key
			}
			a.emit(eventTokenRefused, data)
		}
	}
}
