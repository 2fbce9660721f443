package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

// An auditor brings the audit log of a node's store up to date: with changes, by whichever node they were
// made, and with this node's refusals. It has one goroutine, and belongs to the node, so that a new
// configuration loses nothing. No request waits for it.
type auditor struct {
	keys     *keystore.Keystore
	view     *keystore.View
	refusals auditRefusals

	wake   chan struct{}   // there may be something to enter
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	done   chan struct{}
}

const (
	// auditDelay is how long an auditor waits with what it has heard of, at least and at most. All nodes
	// hear of a change at once; they should not all try to enter it at once.
	auditDelayLeast = 100 * time.Millisecond
	auditDelayMost  = 600 * time.Millisecond

	// auditInterval is how often an auditor looks for what is due by the time.
	auditInterval = time.Minute

	// auditPatience bounds one attempt, of which the store's calls are bounded by themselves.
	auditPatience = 30 * time.Second

	// auditFarewell bounds the last attempt, when the process ends.
	auditFarewell = 3 * time.Second
)

// newAuditor makes an auditor that does nothing until run.
func newAuditor() *auditor {
	a := &auditor{refusals: newAuditRefusals(), wake: make(chan struct{}, 1), done: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// heard says that there may be something to enter.
func (a *auditor) heard() {
	select {
	case a.wake <- struct{}{}:
	default: // it has been told
	}
}

// refused enters a refusal, at the next opportunity.
func (a *auditor) refused(refused Refusal) {
	if first := a.refusals.note(time.Now(), kindOf(refused, a.keys)); first {
		a.heard()
	}
}

// run works until close.
func (a *auditor) run() {
	defer close(a.done)
	ticks := time.NewTicker(auditInterval)
	defer ticks.Stop()
	for {
		select {
		case <-a.ctx.Done():
			ctx, cancel := context.WithTimeout(context.Background(), auditFarewell)
			defer cancel()
			a.report(a.write(ctx))
			return
		case <-a.wake:
			delay := time.NewTimer(auditDelayLeast + rand.N(auditDelayMost-auditDelayLeast))
			select {
			case <-a.ctx.Done():
			case <-delay.C:
			}
			delay.Stop()
		case <-ticks.C:
		}
		ctx, cancel := context.WithTimeout(a.ctx, auditPatience)
		err := a.write(ctx)
		cancel()
		a.report(err)
	}
}

// write enters what there is. What it cannot enter is kept for the next time.
func (a *auditor) write(ctx context.Context) error {
	taken := a.refusals.take(ctx, time.Now(), a.view)
	kinds := make([]refusalKind, 0, len(taken))
	refusals := make([]keystore.Refusal, 0, len(taken))
	for kind, sum := range taken {
		kinds, refusals = append(kinds, kind), append(refusals, kind.refusal(sum))
	}
	written, left, err := a.keys.WriteAudit(ctx, refusals)
	for _, kind := range kinds[:len(kinds)-len(left)] {
		delete(taken, kind)
	}
	a.refusals.giveBack(taken)
	metrics.auditEntries.Add(float64(written))
	return err
}

// report logs to whatever is the logger of the process now; it comes once a minute at most, or with a
// change.
func (a *auditor) report(err error) {
	if err == nil {
		return
	}
	metrics.auditErrors.Inc()
	// The follower of the log says that the store cannot be reached.
	if !errors.Is(err, keystore.ErrUnavailable) {
		caddy.Log().Named(appName).Error("the audit log is not kept as it should be; it is tried again", zap.Error(err))
	}
}

// close ends the auditor: what it is at, and then with a last attempt to enter what there is.
func (a *auditor) close() {
	a.cancel()
	<-a.done
}
