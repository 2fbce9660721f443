package node

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
)

func TestRefusalsThatAreAlikeAreOneEntry(t *testing.T) {
	n := newTestNode(t)
	view := n.View
	a := newAuditRefusals()
	now := time.Now()
	kind := refusalKind{handler: "auth", code: "invalid_token", address: "192.0.2.1"}
	take := func(after time.Duration, want ...uint64) {
		t.Helper()
		var got []uint64
		for _, sum := range a.take(t.Context(), now.Add(after), view) {
			got = append(got, sum.count)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %s the counts are %v, want %v", after, got, want)
		}
	}
	if !a.note(now, kind) || a.note(now.Add(time.Second), kind) {
		t.Error("the first is not the first, or the second is")
	}
	take(time.Second, 2)
	for i := range 100 {
		a.note(now.Add(time.Duration(i)*time.Second), kind)
	}
	take(2 * time.Minute)
	take(auditRepeat+time.Second, 100)
	take(2*auditRepeat + time.Second)
	if len(a.alike) != 0 {
		t.Errorf("%d kinds are still told apart", len(a.alike))
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	n := newTestNode(t)
	view := n.View
	a := newAuditRefusals()
	now := time.Now()
	const flood = 5 * mostProvenKinds
	for i := range flood {
		address := fmt.Sprintf("192.0.%d.%d", i/256, i%256)
		a.note(now, refusalKind{handler: "auth", code: "invalid_token", address: address})
		a.note(now, refusalKind{handler: "token", code: "invalid_client", address: address})
	}
	if len(a.alike) > mostUnprovenKinds+2 {
		t.Errorf("%d kinds are told apart", len(a.alike))
	}
	// Strangers do not make a node forget whose other refusals are.
	proven := refusalKind{handler: "auth", code: "insufficient_scope", address: "192.0.2.66", key: n.key.ID, home: "dep1", proven: true}
	a.note(now, proven)
	for i := range flood {
		a.note(now, refusalKind{handler: "auth", code: "insufficient_scope", address: fmt.Sprintf("2001:db8::%x", i), key: n.key.ID, home: "dep1", proven: true})
	}
	if len(a.alike) > mostUnprovenKinds+mostProvenKinds+3 {
		t.Errorf("%d kinds are told apart", len(a.alike))
	}
	sum := func(kinds map[refusalKind]refusalSum) (all uint64) {
		for _, sum := range kinds {
			all += sum.count
		}
		return all
	}
	taken := a.take(t.Context(), now, view)
	if all := sum(taken); all != 3*flood+1 {
		t.Errorf("%d are counted, want %d", all, 3*flood+1)
	}
	if taken[proven].count != 1 {
		t.Error("what was refused to a proven key is not told apart")
	}
	// A store that cannot be asked loses none.
	a.giveBack(taken)
	if all := sum(a.take(t.Context(), now, view)); all != 3*flood+1 {
		t.Errorf("of what was given back %d are counted, want %d", all, 3*flood+1)
	}
	for after := time.Duration(0); after <= 2*auditRepeat; after += auditRepeat {
		a.take(t.Context(), now.Add(after+time.Second), view)
	}
	if len(a.alike) != 0 || len(a.spread) != 0 || a.proven != 0 {
		t.Errorf("in the end %d, %d and %d are left", len(a.alike), len(a.spread), a.proven)
	}
}

// Who has one token could name any number of Deployments, and any other text in their place.
func TestRefusalsOfOneTokenAreFew(t *testing.T) {
	n := newTestNode(t)
	for i := range 10 * mostSpread {
		for _, asked := range []string{fmt.Sprintf("x%d", i), strings.Repeat("A", 1000) + strconv.Itoa(i)} {
			n.Refused(Refusal{Handler: "auth", Code: "insufficient_scope", Key: n.key.ID, KeyDeployment: "dep1", Deployment: asked})
		}
	}
	refusals := &n.auditor.refusals
	refusals.mu.Lock()
	defer refusals.mu.Unlock()
	if len(refusals.alike) > mostSpread+1 {
		t.Errorf("%d kinds are told apart", len(refusals.alike))
	}
	for kind := range refusals.alike {
		if len(kind.deployment) > 63 {
			t.Errorf("%d bytes of a path are kept", len(kind.deployment))
		}
	}
}

func TestStrangersAddressesAreNetworks(t *testing.T) {
	n := newTestNode(t)
	keys := n.Keys
	for address, want := range map[string]string{
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"::ffff:192.0.2.1":     "::ffff:192.0.2.1",
		"192.0.2.1":            "192.0.2.1",
		"":                     "",
	} {
		if got := kindOf(Refusal{Handler: "auth", Code: "invalid_token", Address: address}, keys).address; got != want {
			t.Errorf("the address %q is kept as %q, want %q", address, got, want)
		}
	}
	refused := Refusal{Handler: "auth", Code: "insufficient_scope", Address: "2001:db8::1", Key: n.key.ID}
	if got := kindOf(refused, keys).address; got != "2001:db8::1" {
		t.Errorf("of a proven key the address is kept as %q", got)
	}
}

// An outage between the refusal and the entry must not make it another Deployment's, or nobody's.
func TestRefusalsGivenBackKeepTheirHome(t *testing.T) {
	n := newTestNode(t)
	view := n.View
	a := newAuditRefusals()
	now := time.Now()
	a.note(now, refusalKind{handler: "auth", code: "insufficient_scope", key: n.key.ID, deployment: "ghost", home: "dep1", proven: true})
	a.note(now, refusalKind{handler: "auth", code: "insufficient_scope", key: n.key.ID, deployment: "dep2", home: "dep1", proven: true})
	outage, cancel := context.WithCancel(t.Context())
	cancel()
	if taken := a.take(outage, now, view); len(taken) != 0 {
		t.Errorf("in the outage %v are taken", taken)
	}
	for range 2 {
		homes := map[string]bool{}
		taken := a.take(t.Context(), now, view)
		for kind := range taken {
			homes[kind.home] = true
		}
		if len(taken) != 2 || !homes["dep1"] || !homes["dep2"] {
			t.Errorf("they go into the logs of %v", homes)
		}
		a.giveBack(taken)
	}
}

// hangingLog is a store that does not say what has changed.
type hangingLog struct{ keystore.Store }

func (h hangingLog) Log(ctx context.Context, _ uint64, _ int) ([]keystore.LogEntry, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("%w: %w", keystore.ErrUnavailable, ctx.Err())
}

func TestEndOfANodeDoesNotWaitForItsAuditor(t *testing.T) {
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "keys.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := New(hangingLog{store}, make([]byte, 32), nil)
	n.auditor.heard()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- n.Destruct() }()
	select {
	case <-ended:
		t.Logf("it took %s", time.Since(began))
	case <-time.After(2 * auditFarewell):
		t.Errorf("it takes longer than %s", 2*auditFarewell)
	}
}

func TestReleasesUnderWayAreWaitedFor(t *testing.T) {
	var late releases
	began, ended := make(chan bool), make(chan bool)
	later := make(chan bool, 1)
	late.later(0, func() { close(began); <-later; close(ended) })
	late.later(time.Hour, func() { later <- true })
	<-began
	late.all()
	select {
	case <-ended:
	default:
		t.Error("the process ends while a node still has something to write")
	}
	late.all()
}

// A refused request must not become much dearer by being entered.
func BenchmarkRefusalNoted(b *testing.B) {
	n := newTestNode(b)
	refused := Refusal{Handler: "auth", Code: "invalid_token", Address: "192.0.2.1", Deployment: "dep1"}
	b.ReportAllocs()
	for b.Loop() {
		n.Refused(refused)
	}
}
