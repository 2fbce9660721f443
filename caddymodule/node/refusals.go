package node

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// A Refusal is a request that was refused, for the audit log and for events.
type Refusal struct {
	Handler string // that refused it
	Code    string // the "error" of the answer
	Address string // the client's

	// Who was refused, if they have proven to be that; the Deployment that a key is of; and, of those who
	// have proven nothing, the key ID that they sent.
	Key, User     string
	KeyDeployment string
	ClaimedKey    string

	Deployment string // that the request was for
}

// auditRefusals are the refusals of a node that are to be entered into the audit log. Those that are alike
// are one: the first is entered at once, and those that follow as a number, once in auditRepeat. So a job
// that goes on with a deleted key makes a few entries an hour, however often it tries.
//
// Those who have proven who they are and the others, who can be anybody, have bounds of their own, so that
// strangers cannot make a node forget who else was refused.
type auditRefusals struct {
	mu     sync.Mutex
	alike  map[refusalKind]*refusalSum
	proven int                 // kinds in alike that are
	spread map[refusalKind]int // kinds in alike that are this one but for the Deployment
}

const (
	// auditRepeat is how often refusals that go on are entered.
	auditRepeat = 10 * time.Minute

	// mostProvenKinds and mostUnprovenKinds bound how many kinds are told apart at a time. Of those
	// beyond, the handler and the error are kept; there are some seventy of these at most.
	mostProvenKinds   = 700
	mostUnprovenKinds = 300

	// mostSpread bounds how many Deployments are told apart that somebody was refused at.
	mostSpread = 8
)

// A refusalKind is what refusals have in common that are counted together.
type refusalKind struct {
	handler    string
	code       string
	address    string
	key, user  string // proven, or the key whose ID was used
	deployment string // that the request was for; only of somebody who has proven who they are
	home       string // the Deployment of a key that has proven to be that
	proven     bool
}

// A refusalSum is how often a kind came since it was entered.
type refusalSum struct {
	count       uint64
	first, last time.Time
	entered     time.Time // when it was entered last; zero: never
}

func newAuditRefusals() auditRefusals {
	return auditRefusals{alike: make(map[refusalKind]*refusalSum), spread: make(map[refusalKind]int)}
}

// kindOf is the kind of a refusal. What a client only says is not kept: anybody could make up any number of
// kinds, of any length. A key ID that this store has made can be counted on.
func kindOf(refused Refusal, keys *keystore.Keystore) refusalKind {
	kind := refusalKind{
		handler: refused.Handler, code: refused.Code, address: refused.Address, key: refused.Key, user: refused.User,
		home: refused.KeyDeployment, proven: refused.Key != "" || refused.User != "",
	}
	if kind.proven {
		if keystore.ValidateDeploymentID(refused.Deployment) == nil {
			kind.deployment = refused.Deployment
		}
		return kind
	}
	kind.home = ""
	// Who has one address of IPv6 has 2^64 of them.
	if address, err := netip.ParseAddr(refused.Address); err == nil && address.Is6() && !address.Is4In6() {
		if network, err := address.WithZone("").Prefix(64); err == nil {
			kind.address = network.String()
		}
	}
	if keys.MadeKeyID(refused.ClaimedKey) {
		kind.key = refused.ClaimedKey
	}
	return kind
}

// note counts a refusal; first is whether nothing like it was there.
func (a *auditRefusals) note(now time.Time, kind refusalKind) (first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.add(kind, refusalSum{count: 1, first: now, last: now})
}

// add counts refusals. The caller holds mu.
func (a *auditRefusals) add(kind refusalKind, more refusalSum) (first bool) {
	sum, ok := a.alike[kind]
	if !ok {
		if kind.deployment != kind.home && a.spread[kind.everywhere()] >= mostSpread {
			kind.deployment = ""
		}
		unproven := len(a.alike) - a.proven
		if (kind.proven && a.proven >= mostProvenKinds) || (!kind.proven && unproven >= mostUnprovenKinds) {
			kind = refusalKind{handler: kind.handler, code: kind.code, proven: kind.proven}
		}
		sum, ok = a.alike[kind]
	}
	if !ok {
		sum = new(refusalSum)
		a.alike[kind] = sum
		a.spread[kind.everywhere()]++
		if kind.proven {
			a.proven++
		}
	}
	if sum.count == 0 || more.first.Before(sum.first) {
		sum.first = more.first
	}
	if more.last.After(sum.last) {
		sum.last = more.last
	}
	sum.count += more.count
	return !ok
}

// forget takes a kind out. The caller holds mu.
func (a *auditRefusals) forget(kind refusalKind) {
	delete(a.alike, kind)
	if kind.proven {
		a.proven--
	}
	everywhere := kind.everywhere()
	if a.spread[everywhere]--; a.spread[everywhere] <= 0 {
		delete(a.spread, everywhere)
	}
}

// everywhere is the kind but for the Deployment.
func (k refusalKind) everywhere() refusalKind {
	k.deployment = ""
	return k
}

// take is what is to be entered now, by what it is to be entered as. The view says to which Deployments it
// belongs; when it cannot say so, nothing is taken.
func (a *auditRefusals) take(ctx context.Context, now time.Time, view *keystore.View) map[refusalKind]refusalSum {
	due := a.due(now)
	taken := make(map[refusalKind]refusalSum, len(due))
	for kind, sum := range due {
		home, err := homeOf(ctx, kind, view)
		if err != nil {
			a.giveBack(due)
			return nil
		}
		// Of this home whatever was asked for, so that it is also when it is given back.
		kind.home, kind.deployment = home, ""
		if before, ok := taken[kind]; ok {
			sum.count += before.count
			if before.first.Before(sum.first) {
				sum.first = before.first
			}
			if before.last.After(sum.last) {
				sum.last = before.last
			}
		}
		taken[kind] = sum
	}
	return taken
}

// refusal is how a kind is entered.
func (k refusalKind) refusal(sum refusalSum) keystore.Refusal {
	return keystore.Refusal{
		Time: sum.last, Since: sum.first, Count: sum.count, Handler: k.handler, Error: k.code,
		Address: k.address, Key: k.key, User: k.user, Deployment: k.home, Proven: k.proven,
	}
}

// due takes out what is to be entered now, and forgets what has not come for a while.
func (a *auditRefusals) due(now time.Time) map[refusalKind]refusalSum {
	a.mu.Lock()
	defer a.mu.Unlock()
	due := make(map[refusalKind]refusalSum)
	for kind, sum := range a.alike {
		switch {
		case now.Sub(sum.entered) < auditRepeat:
		case sum.count == 0:
			a.forget(kind)
		default:
			due[kind] = *sum
			sum.count, sum.entered = 0, now
		}
	}
	return due
}

// giveBack is for what could not be entered.
func (a *auditRefusals) giveBack(kinds map[refusalKind]refusalSum) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for kind, sum := range kinds {
		a.add(kind, sum)
		if again, ok := a.alike[kind]; ok {
			again.entered = time.Time{}
		}
	}
}

// homeOf is in whose audit log a refusal belongs: of the Deployment that was asked for, if there is one, or
// of that of the key. It does not matter how old the knowledge of that is.
func homeOf(ctx context.Context, kind refusalKind, view *keystore.View) (string, error) {
	if kind.deployment != "" && kind.deployment != kind.home {
		_, err := view.Deployment(ctx, kind.deployment, anyAge)
		switch {
		case err == nil, errors.Is(err, keystore.ErrAltered):
			return kind.deployment, nil
		case !errors.Is(err, keystore.ErrNotFound):
			return "", err
		}
	}
	if kind.home != "" || kind.key == "" {
		return kind.home, nil
	}
	key, err := view.Key(ctx, kind.key, anyAge)
	switch {
	case err == nil:
		return key.DeploymentID, nil
	case errors.Is(err, keystore.ErrNotFound), errors.Is(err, keystore.ErrAltered):
		return "", nil
	}
	return "", err
}

// anyAge asks a view for whatever it knows.
const anyAge = time.Hour
