package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
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
		if err != nil || records[0] == nil {
			k.t.Fatalf("record %s: %q, %v", name, records, err)
		}
		return records[0]
	}
	tamper := func(k *keystoreKit, steps ...keystore.Step) {
		k.t.Helper()
		if err := k.store.Apply(k.ctx(), keystore.Change{Steps: steps}); err != nil {
			k.t.Fatal(err)
		}
	}
	return []keystoreTest{
		{"audit: a changed entry is found", func(t *testing.T, k *keystoreKit) {
			entered(k)
			tamper(k, put(entry3, string(bytes.Replace(raw(k, entry3), []byte("alice"), []byte("carol"), 1))))
			k.wantFaults("3 is altered")
			list, err := k.Audit(k.ctx(), keystore.Page{Limit: 10})
			k.want(err, nil)
			if len(list.Items) != 4 || !slices.Equal(list.Altered, []string{entry3}) {
				t.Errorf("the list has %d entries, and says that %q are altered", len(list.Items), list.Altered)
			}
		}},
		{"audit: a removed entry is found", func(t *testing.T, k *keystoreKit) {
			entered(k)
			tamper(k, keystore.Step{Kind: keystore.DeleteRecord, Name: entry3})
			k.wantFaults("3 is missing")
		}},
		{"audit: entries that changed places are found", func(t *testing.T, k *keystoreKit) {
			entered(k)
			const entry4 = "audit/0000000000000004"
			three, four := raw(k, entry3), raw(k, entry4)
			tamper(k, put(entry3, string(four)), put(entry4, string(three)))
			k.wantFaults("3 is altered", "4 is altered")
		}},
		{"audit: removed last entries are found", func(t *testing.T, k *keystoreKit) {
			entered(k)
			tamper(k, keystore.Step{Kind: keystore.DeleteRecord, Name: "audit/0000000000000005"})
			k.wantFaults("5 is missing")
		}},
		{"audit: an altered head is told, and the log begins anew", func(t *testing.T, k *keystoreKit) {
			entered(k)
			tamper(k, put("audit", string(bytes.Replace(raw(k, "audit"), []byte(`"last":5`), []byte(`"last":4`), 1))))
			_, err := k.AuditRange(k.ctx())
			k.want(err, keystore.ErrAltered)
			_, err = k.Audit(k.ctx(), keystore.Page{Limit: 10})
			k.want(err, keystore.ErrAltered)
			k.writeAudit()
			all := k.audit("", 100)
			if len(all) != 6 || all[5].Kind != keystore.AuditAltered {
				t.Errorf("after that it has %q", told(all))
			}
			k.wantFaults()
		}},
		{"audit: nobody else's entries are shown", func(t *testing.T, k *keystoreKit) {
			entered(k)
			tamper(k, add("audit/dep2", keystore.AuditPlace(3)), add("audit/dep2", "not a place"), add("audit/dep2", keystore.AuditPlace(77)))
			if got, want := told(k.audit("dep2", 100)), []string{"deployment.created dep2 alice 192.0.2.1"}; !slices.Equal(got, want) {
				t.Errorf("dep2 has %q, want %q", got, want)
			}
		}},
		{"audit: a forged change is told", func(t *testing.T, k *keystoreKit) {
			entered(k)
			const forged = `{"kind":"key.deleted","time":"2026-01-02T03:04:05Z","by":"carol","deployment":"dep1"}`
			for _, event := range []string{forged, "x", string(make([]byte, 32)) + forged} {
				if err := k.store.Apply(k.ctx(), keystore.Change{Event: []byte(event)}); err != nil {
					t.Fatal(err)
				}
			}
			k.writeAudit()
			for i, entry := range k.audit("", 3)[:3] {
				if entry.Kind != keystore.AuditAltered || entry.Outcome != keystore.OutcomeUnknown || entry.By != "" || entry.Change != uint64(8-i) {
					t.Errorf("a forged change is entered as %+v", entry)
				}
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
			slots, err := k.AuditSlots(k.ctx(), log.First, log.Last)
			k.want(err, nil)
			for _, slot := range slots {
				if slot.Fault != keystore.AuditFaultExpired {
					t.Errorf("%d is %q", slot.Seq, slot.Fault)
				}
			}
			if len(slots) != 5 {
				t.Errorf("%d slots", len(slots))
			}
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
