package caddymodule

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// auditRefusals are the refusals of a node that are to be entered into the audit log. Those that are alike
// are one: the first is entered at once, and those that follow as a number, once in auditRepeat. So a job
// that goes on with a deleted key makes a few entries an hour, however often it tries.
type auditRefusals struct {
	mu    sync.Mutex
	alike map[refusalKind]*refusalSum
}

const (
	// auditRepeat is how often refusals that go on are entered.
	auditRepeat = 10 * time.Minute

	// mostRefusalKinds bounds how many kinds are told apart at a time. Of those beyond, the handler and
	// the error are kept; there are some sixty of these at most.
	mostRefusalKinds = 1_000
)

// A refusalKind is what refusals have in common that are counted together.
type refusalKind struct {
	handler    string
	code       errorCode
	address    string
	key, user  string // proven, or the key whose ID was used
	deployment string // that the request was for; only of somebody who has proven who they are
	home       string // the Deployment of a key that has proven to be that
}

// A refusalSum is how often a kind came since it was entered.
type refusalSum struct {
	count       uint64
	first, last time.Time
	entered     time.Time // when it was entered last; zero: never
}

func newAuditRefusals() auditRefusals {
	return auditRefusals{alike: make(map[refusalKind]*refusalSum)}
}

// of is the kind of a refusal. What a client only says is not kept: anybody could make up any number of
// kinds. A key ID that this store has made can be counted on.
func (*auditRefusals) of(handler string, refused *refusal, clientIP string, keys *keystore.Keystore) refusalKind {
	kind := refusalKind{
		handler: handler, code: refused.code, address: clientIP,
		key: refused.keyID, user: refused.user, deployment: refused.deploymentID, home: refused.keyDeploymentID,
	}
	if kind.key == "" && kind.user == "" {
		kind.deployment, kind.home = "", ""
		if keys.MadeKeyID(refused.claimedID) {
			kind.key = refused.claimedID
		}
	}
	return kind
}

// note counts a refusal; first is whether nothing like it was there.
func (a *auditRefusals) note(now time.Time, kind refusalKind) (first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.add(kind, 1, now, now)
}

func (a *auditRefusals) add(kind refusalKind, count uint64, from, to time.Time) (first bool) {
	sum, ok := a.alike[kind]
	if !ok && len(a.alike) >= mostRefusalKinds {
		kind = refusalKind{handler: kind.handler, code: kind.code}
		sum, ok = a.alike[kind]
	}
	if !ok {
		sum = new(refusalSum)
		a.alike[kind] = sum
	}
	if sum.count == 0 || from.Before(sum.first) {
		sum.first = from
	}
	if to.After(sum.last) {
		sum.last = to
	}
	sum.count += count
	return !ok
}

// take is what is to be entered now. The view says to which Deployments it belongs.
func (a *auditRefusals) take(ctx context.Context, now time.Time, view *keystore.View) []keystore.AuditEvent {
	taken := a.due(now)
	events := make([]keystore.AuditEvent, 0, len(taken))
	for kind, sum := range taken {
		events = append(events, keystore.AuditEvent{
			Time: sum.last, Since: sum.first, Count: sum.count,
			Handler: kind.handler, Error: string(kind.code), Address: kind.address,
			Key: kind.key, User: kind.user, Deployment: deploymentOf(ctx, kind, view),
		})
	}
	return events
}

// due takes out what is to be entered now, and forgets what has not come for a while.
func (a *auditRefusals) due(now time.Time) map[refusalKind]refusalSum {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := make(map[refusalKind]refusalSum)
	for kind, sum := range a.alike {
		switch {
		case now.Sub(sum.entered) < auditRepeat:
		case sum.count == 0:
			delete(a.alike, kind)
		default:
			taken[kind] = *sum
			sum.count, sum.entered = 0, now
		}
	}
	return taken
}

// giveBack is for what could not be entered.
func (a *auditRefusals) giveBack(events []keystore.AuditEvent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, event := range events {
		kind := refusalKind{
			handler: event.Handler, code: errorCode(event.Error), address: event.Address,
			key: event.Key, user: event.User, deployment: event.Deployment, home: event.Deployment,
		}
		a.add(kind, event.Count, event.Since, event.Time)
		if sum, ok := a.alike[kind]; ok {
			sum.entered = time.Time{}
		}
	}
}

// deploymentOf is in whose audit log a refusal belongs: of the Deployment that was asked for, if there is
// one, or that of the key. It does not matter how old the knowledge of that is.
func deploymentOf(ctx context.Context, kind refusalKind, view *keystore.View) string {
	if keystore.ValidateDeploymentID(kind.deployment) == nil {
		if _, err := view.Deployment(ctx, kind.deployment, keystoreAnyAge); !errors.Is(err, keystore.ErrNotFound) {
			return kind.deployment
		}
	}
	if kind.home != "" || kind.key == "" {
		return kind.home
	}
	if key, err := view.Key(ctx, kind.key, keystoreAnyAge); err == nil {
		return key.DeploymentID
	}
	return ""
}

// keystoreAnyAge asks a view for whatever it knows.
const keystoreAnyAge = time.Hour
