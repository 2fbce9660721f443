package keystore_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// auditFaultTests are what somebody does to the audit log who can write the store and has no key of it.
func auditFaultTests() []keystoreTest {
	const entry3 = "audit/0000000000000003"
	entered := func(k *keystoreKit) {
		k.deployment("dep1")
		k.key("dep1")
		k.key("dep1")
		k.deployment("dep2")
		k.writeAudit() // 5 entries, with that of the store
	}
	raw := func(k *keystoreKit, name string) []byte {
		k.t.Helper()
		records, err := k.store.Get(k.ctx(), name)
		fatalIf(k.t, err != nil || records[0] == nil, "record %s: %q, %v", name, records, err)
		return records[0]
	}
	begunAnew := func(k *keystoreKit) {
		k.t.Helper()
		all := k.audit("", 100)
		failIf(k.t, len(all) != 6 || all[5].Kind != keystore.AuditAltered || all[5].Seq < 1e12, "after that the log has %q", told(all))
		k.wantFaults()
	}
	return []keystoreTest{
		{"audit: a changed entry is found", func(t *testing.T, k *keystoreKit) {
			entered(k)
			k.forge(put(entry3, string(bytes.Replace(raw(k, entry3), []byte("alice"), []byte("carol"), 1))))
			k.wantFaults("3 is altered")
			list := must(k.Audit(k.ctx(), keystore.Page{Limit: 10}))
			failIf(t, len(list.Items) != 4 || !slices.Equal(list.Altered, []string{entry3}), "the list has %d entries, and says that %q are altered", len(list.Items), list.Altered)
		}},
		{"audit: a removed entry is found", func(_ *testing.T, k *keystoreKit) {
			entered(k)
			k.forge(remove(entry3), remove("audit/0000000000000005"))
			k.wantFaults("3 is missing", "5 is missing")
		}},
		{"audit: entries that changed places are found", func(_ *testing.T, k *keystoreKit) {
			entered(k)
			const entry4 = "audit/0000000000000004"
			three, four := raw(k, entry3), raw(k, entry4)
			k.forge(put(entry3, string(four)), put(entry4, string(three)))
			k.wantFaults("3 is altered", "4 is altered")
		}},
		{"audit: an altered head is told, and the log begins anew", func(t *testing.T, k *keystoreKit) {
			entered(k)
			k.forge(put("audit", string(bytes.Replace(raw(k, "audit"), []byte(`"last":5`), []byte(`"last":4`), 1))))
			k.want(errOf(k.AuditRange(k.ctx())), keystore.ErrAltered)
			k.want(errOf(k.Audit(k.ctx(), keystore.Page{Limit: 10})), keystore.ErrAltered)
			k.writeAudit()
			begunAnew(k)
		}},
		{"audit: a head that is gone is told, and the log begins anew", func(t *testing.T, k *keystoreKit) {
			entered(k)
			k.forge(remove("audit"))
			k.want(errOf(k.AuditRange(k.ctx())), keystore.ErrAltered)
			k.writeAudit()
			begunAnew(k)
			raw(k, entry3) // what was entered before is still there, for whoever wants to look at it
			if got := k.audit("dep2", 100); len(got) != 1 {
				t.Errorf("dep2 has %q", told(got))
			}
		}},
		{"audit: a change log that begins anew is told, and nothing of it is left out", func(t *testing.T, k *keystoreKit) {
			entered(k)
			k.Keystore = keystore.New(&anotherLog{k.store, 5}, master)
			k.key("dep1")
			k.key("dep1")
			k.writeAudit()
			all := k.audit("", 100)
			want := []string{"audit.altered", "key.created dep1 alice 192.0.2.1", "key.created dep1 alice 192.0.2.1"}
			if got := told(all); len(got) != 8 || !slices.Equal(got[5:], want) {
				t.Errorf("the log has %q", got)
			}
			k.key("dep1")
			k.writeAudit()
			if got := told(k.audit("", 100)); len(got) != 9 {
				t.Errorf("after that the log has %q", got)
			}
			k.wantFaults()
		}},
		{"audit: an old change that is put into the change log again shows its time", func(t *testing.T, k *keystoreKit) {
			clock := storetest.NewClock(k.store, time.Now().UTC().Truncate(time.Second))
			k.Keystore = clock.Keystore(master)
			entered(k)
			entries := must(k.store.Log(k.ctx(), 4, 1))
			clock.Advance(time.Hour)
			ok(t, k.store.Apply(k.ctx(), keystore.Change{Event: entries[0].Event}))
			k.writeAudit()
			if newest := k.audit("", 10)[0]; newest.Entered.Sub(newest.Time) < time.Hour {
				t.Errorf("a copy of an old change is entered as %+v", newest)
			}
		}},
		{"audit: missing entries do not keep others from being removed", func(t *testing.T, k *keystoreKit) {
			clock := storetest.NewClock(k.store, time.Now().Add(-100*24*time.Hour).Truncate(time.Second))
			k.Keystore = clock.Keystore(master)
			k.deployment("dep1")
			for range 410 {
				k.want(k.RevokeAllTokens(k.ctx(), alice), nil)
			}
			k.writeAudit()
			clock.Advance(50 * 24 * time.Hour)
			k.want(k.RevokeAllTokens(k.ctx(), alice), nil)
			k.writeAudit()
			var steps []keystore.Step
			for seq := 1; seq <= 405; seq++ {
				steps = append(steps, remove(fmt.Sprintf("audit/%016x", seq)))
			}
			k.forge(steps...)
			clock.Advance(50 * 24 * time.Hour)
			if n, err := k.PurgeAudit(k.ctx(), 60*24*time.Hour); n != 412 || err != nil {
				t.Errorf("%d removed, %v, want 412", n, err)
			}
			k.wantFaults()
			k.want(k.RevokeAllTokens(k.ctx(), alice), nil)
			k.writeAudit()
			k.forge(remove(fmt.Sprintf("audit/%016x", 413)))
			if n, err := k.PurgeAudit(k.ctx(), 10*24*time.Hour); n != 0 || err != nil {
				t.Errorf("%d removed before one that is there and whose time is not over, %v", n, err)
			}
			k.wantFaults("413 is missing")
		}},
		{"audit: an entry of the future does not keep others from being removed", func(t *testing.T, k *keystoreKit) {
			clock := storetest.NewClock(k.store, time.Now().Add(-100*24*time.Hour).Truncate(time.Second))
			k.Keystore = clock.Keystore(master)
			ahead := keystore.New(k.store, master)
			ahead.SetClock(func() time.Time { return clock.Now().Add(50 * 365 * 24 * time.Hour) })
			k.deployment("dep1")
			k.want(errOf(ahead.CreateDeployment(k.ctx(), alice, keystore.Deployment{ID: "dep2", Name: "n"})), nil)
			k.key("dep1")
			k.writeAudit()
			clock.Advance(100 * 24 * time.Hour)
			if n, err := k.PurgeAudit(k.ctx(), time.Hour); n != 4 || err != nil {
				t.Errorf("%d removed, %v, want 4", n, err)
			}
		}},
		{"audit: nobody else's entries are shown", func(t *testing.T, k *keystoreKit) {
			entered(k)
			k.forge(add("audit/dep2", keystore.AuditPlace(3)), add("audit/dep2", "not a place"), add("audit/dep2", keystore.AuditPlace(77)))
			if got, want := told(k.audit("dep2", 100)), []string{"deployment.created dep2 alice 192.0.2.1"}; !slices.Equal(got, want) {
				t.Errorf("dep2 has %q, want %q", got, want)
			}
		}},
		{"audit: a forged change is told", func(t *testing.T, k *keystoreKit) {
			entered(k)
			const forged = `{"kind":"key.deleted","time":"2026-01-02T03:04:05Z","by":"carol","deployment":"dep1"}`
			for _, event := range []string{forged, "x", string(make([]byte, 32)) + forged} {
				ok(t, k.store.Apply(k.ctx(), keystore.Change{Event: []byte(event)}))
			}
			k.writeAudit()
			for i, entry := range k.audit("", 3)[:3] {
				failIf(t, entry.Kind != keystore.AuditAltered || entry.Outcome != keystore.OutcomeUnknown || entry.By != "" || entry.Change != uint64(8-i), "a forged change is entered as %+v", entry)
			}
			k.wantFaults()
		}},
		{"audit: a forged number is no gap", func(t *testing.T, k *keystoreKit) {
			entered(k)
			k.key("dep1")
			k.key("dep1")
			disordered := keystore.New(&disorderedLog{k.store}, master)
			if _, _, err := disordered.WriteAudit(k.ctx(), nil); err != nil {
				t.Fatal(err)
			}
			for _, entry := range k.audit("", 100) {
				failIf(t, entry.Count > 1, "there is an entry of %d changes: %+v", entry.Count, entry)
			}
			if newest := k.audit("", 1)[0]; newest.Kind != keystore.AuditAltered || newest.Change != 6 {
				t.Errorf("a number that goes back is entered as %+v", newest)
			}
			k.wantFaults()
		}},
		{"audit: changes that are gone from the change log are counted", func(t *testing.T, k *keystoreKit) {
			k.Keystore = keystore.New(&withoutOldEntries{k.store, 3}, master)
			entered(k)
			all := k.audit("", 100)
			if want := []string{"audit.gap", "key.created dep1 alice 192.0.2.1", "deployment.created dep2 alice 192.0.2.1"}; !slices.Equal(told(all), want) {
				t.Fatalf("the log has %q, want %q", told(all), want)
			}
			if all[2].Count != 3 || all[2].Outcome != keystore.OutcomeUnknown {
				t.Errorf("the gap is %+v", all[2])
			}
			k.wantFaults()
		}},
		{"audit: entries that are removed while they are read are no fault", func(t *testing.T, k *keystoreKit) {
			entered(k)
			log, _ := k.slots()
			if n, err := k.PurgeAudit(k.ctx(), -1); n != 5 || err != nil {
				t.Fatalf("%d removed, %v", n, err)
			}
			slots := must(k.AuditSlots(k.ctx(), log.First, log.Last))
			for _, slot := range slots {
				failIf(t, slot.Fault != keystore.AuditFaultExpired, "%d is %q", slot.Seq, slot.Fault)
			}
			failIf(t, len(slots) != 5, "%d slots", len(slots))
		}},
	}
}

// withoutOldEntries is a store whose change log was trimmed.
type withoutOldEntries struct {
	keystore.Store
	gone uint64
}

// Log implements [keystore.Store].
func (s *withoutOldEntries) Log(ctx context.Context, after uint64, limit int) ([]keystore.LogEntry, error) {
	entries, err := s.Store.Log(ctx, max(after, s.gone), limit)
	if err != nil {
		return nil, fmt.Errorf("the trimmed log: %w", err)
	}
	return entries, nil
}

// anotherLog is a store whose change log was lost and has begun anew: it has no entries up to a number, and
// counts from there.
type anotherLog struct {
	keystore.Store
	before uint64
}

// Log implements [keystore.Store].
func (s *anotherLog) Log(ctx context.Context, after uint64, limit int) ([]keystore.LogEntry, error) {
	entries, err := s.Store.Log(ctx, s.before+after, limit)
	for i := range entries {
		entries[i].Seq -= s.before
	}
	return entries, err
}

// disorderedLog is a store whose change log has its last two numbers in each other's place.
type disorderedLog struct{ keystore.Store }

// Log implements [keystore.Store].
func (s *disorderedLog) Log(ctx context.Context, after uint64, limit int) ([]keystore.LogEntry, error) {
	entries, err := s.Store.Log(ctx, after, limit)
	if last := len(entries) - 1; last > 1 {
		entries[last-1].Seq, entries[last].Seq = entries[last].Seq, entries[last-1].Seq
	}
	return entries, err
}
