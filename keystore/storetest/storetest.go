// Package storetest is the test kit of everything that stands on a [keystore.Store]: [Run] holds
// a store to the contract, [StartRedis], [StartSentinel] and [StartCluster] give a test a Redis of
// its own, [Benchmark] measures what every store is measured by. Only tests import it.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// Run holds a store to the contract of [keystore.Store]. It calls open once for each subtest, from
// many at once; open gives back a store that is empty, and Run closes it. Its timeout for a single
// call should be several seconds, so that a busy machine fails no test.
//
// What needs a store to be closed and opened again, or cut off from its database, is for the tests
// of the store itself.
func Run(t *testing.T, open func(t testing.TB) keystore.Store) {
	t.Helper()
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Conditions", conditionTests()},
		{"Steps", stepTests()},
		{"Records", recordTests()},
		{"Indexes", indexTests()},
		{"Log", logTests()},
		{"ChangeLog", changeLogTests()},
		{"Time", timeTests()},
		{"Races", raceTests()},
		{"Calls", callTests()},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range group.tests {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					store := open(t)
					t.Cleanup(func() {
						if err := store.Close(); err != nil {
							t.Errorf("Close: %v", err)
						}
					})
					tt.run(t, &kit{t: t, Store: store})
				})
			}
		})
	}
}

// A test is one row of a table.
type test struct {
	name string
	run  func(*testing.T, *kit)
}

// A kit is a store with calls that must not fail.
type kit struct {
	keystore.Store
	t testing.TB
}

// must makes a change that has to be made.
func (k *kit) must(change keystore.Change) {
	k.t.Helper()
	if err := k.Apply(k.t.Context(), change); err != nil {
		k.t.Fatalf("Apply: %v", err)
	}
}

// steps makes a change of steps alone.
func (k *kit) steps(steps ...keystore.Step) {
	k.t.Helper()
	k.must(keystore.Change{Steps: steps})
}

// mustFail makes a change whose condition at index must be the first that does not hold.
func (k *kit) mustFail(index int, change keystore.Change) {
	k.t.Helper()
	err := k.Apply(k.t.Context(), change)
	var failed *keystore.ConditionError
	switch {
	case !errors.As(err, &failed):
		k.t.Fatalf("Apply: %v, want a ConditionError", err)
	case failed.Index != index:
		k.t.Fatalf("condition %d failed, want %d", failed.Index, index)
	case errors.Is(err, keystore.ErrUnavailable):
		k.t.Fatalf("a failed condition is unavailable: %v", err)
	}
}

// wantRecord checks a record; nil wants none.
func (k *kit) wantRecord(name string, want []byte) {
	k.t.Helper()
	got, err := k.Get(k.t.Context(), name)
	switch {
	case err != nil:
		k.t.Fatalf("Get(%q): %v", name, err)
	case len(got) != 1:
		k.t.Fatalf("Get(%q) gave %d values", name, len(got))
	case (got[0] == nil) != (want == nil) || !bytes.Equal(got[0], want):
		k.t.Fatalf("record %q is %s, want %s", name, show(got[0]), show(want))
	}
}

// members reads a page.
func (k *kit) members(index, after string, limit int) []string {
	k.t.Helper()
	got, err := k.Members(k.t.Context(), index, after, limit)
	FatalIf(k.t, err != nil, "Members(%q, %q, %d): %v", index, after, limit, err)
	return got
}

// wantMembers checks a page.
func (k *kit) wantMembers(index, after string, limit int, want ...string) {
	k.t.Helper()
	if got := k.members(index, after, limit); !equal(got, want) {
		k.t.Fatalf("Members(%q, %q, %d) = %q, want %q", index, after, limit, got, want)
	}
}

// wantSize checks the kept size of an index.
func (k *kit) wantSize(index string, want int64) {
	k.t.Helper()
	got, err := k.Sizes(k.t.Context(), index)
	FatalIf(k.t, err != nil, "Sizes(%q): %v", index, err)
	FatalIf(k.t, len(got) != 1 || got[0] != want, "Sizes(%q) = %d, want %d", index, got, want)
}

// log reads a page of the log.
func (k *kit) log(after uint64, limit int) []keystore.LogEntry {
	k.t.Helper()
	got, err := k.Log(k.t.Context(), after, limit)
	FatalIf(k.t, err != nil, "Log(%d, %d): %v", after, limit, err)
	return got
}

// wantLog checks the whole log, which must be numbered from 1.
func (k *kit) wantLog(events ...string) {
	k.t.Helper()
	got := k.log(0, len(events)+10)
	FatalIf(k.t, len(got) != len(events), "the log has %d entries, want %d: %v", len(got), len(events), got)
	for i, entry := range got {
		if entry.Seq != uint64(i+1) || string(entry.Event) != events[i] {
			k.t.Fatalf("log entry %d is number %d %q, want %q", i+1, entry.Seq, entry.Event, events[i])
		}
	}
}

func put(name, value string) keystore.Step {
	return keystore.Step{Kind: keystore.PutRecord, Name: name, Value: []byte(value)}
}

func remove(name string) keystore.Step {
	return keystore.Step{Kind: keystore.DeleteRecord, Name: name}
}

func add(index, member string) keystore.Step {
	return keystore.Step{Kind: keystore.AddMember, Name: index, Member: member}
}

func take(index, member string) keystore.Step {
	return keystore.Step{Kind: keystore.RemoveMember, Name: index, Member: member}
}

func removeFromEach(index, prefix, member string) keystore.Step {
	return keystore.Step{Kind: keystore.RemoveFromEach, Name: index, Prefix: prefix, Member: member}
}

func drop(index, prefix string) keystore.Step {
	return keystore.Step{Kind: keystore.DropIndex, Name: index, Prefix: prefix}
}

// equal compares pages; an empty one may be nil.
func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// show prints a record that may be absent.
func show(value []byte) string {
	if value == nil {
		return "absent"
	}
	return fmt.Sprintf("%q", value)
}

// promptly is how soon a call must end that has nothing to wait for, on a busy machine.
const promptly = 2 * time.Second

// cancelled is a context that is over.
func cancelled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
