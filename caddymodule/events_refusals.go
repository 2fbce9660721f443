package caddymodule

import (
	"sync"
	"sync/atomic"
	"time"
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
	queue      chan refusalEvent
	suppressed atomic.Uint64

	mu     sync.Mutex
	second int64 // of the clock
	told   int   // events in that second
}

// A refusalEvent is what is told of a refusal. The description of the answer is not: it may repeat
// what the client sent, which is a secret when a client mixes up its variables.
type refusalEvent struct {
	handler  string // auth or token
	code     errorCode
	clientIP string
	keyID    string // "" unless proven
}

// A refusalEvents has a queue of a second's events.
func newRefusalEvents() refusalEvents {
	return refusalEvents{queue: make(chan refusalEvent, mostRefusalEvents)}
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

// refused tells subscribers of a refusal. That a request had no credentials is none, and neither
// is an outage.
func (a *announcer) refused(handler string, refused *refusal, clientIP string) {
	if refused.code == codeNone || refused.code == codeUnavailable || !a.observed(eventTokenRefused) {
		return
	}
	if !a.refusals.take(time.Now()) {
		a.refusals.suppress()
		return
	}
	select {
	case a.refusals.queue <- refusalEvent{handler, refused.code, clientIP, refused.keyID}:
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
				"handler":    event.handler,
				"error":      string(event.code),
				"client_ip":  event.clientIP,
				"suppressed": a.refusals.suppressed.Swap(0),
			}
			if event.keyID != "" {
				data["key"] = event.keyID
			}
			a.emit(eventTokenRefused, data)
		}
	}
}
