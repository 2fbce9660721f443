package keystore_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// writeAudit brings the audit log up to date.
func (k *keystoreKit) writeAudit(refusals ...keystore.Refusal) {
	k.t.Helper()
	if _, left, err := k.WriteAudit(k.ctx(), refusals); err != nil || len(left) != 0 {
		k.t.Fatalf("writing the audit log: %v, and %d refusals are left", err, len(left))
	}
}

// audit lists the audit log, or that of a Deployment, page by page, newest first.
func (k *keystoreKit) audit(deployment string, limit int) []keystore.AuditEntry {
	k.t.Helper()
	var all []keystore.AuditEntry
	for page := (keystore.Page{Limit: limit}); ; {
		var list keystore.List[keystore.AuditEntry]
		var err error
		if deployment == "" {
			list, err = k.Audit(k.ctx(), page)
		} else {
			list, err = k.DeploymentAudit(k.ctx(), deployment, page)
		}
		fatalIf(k.t, err != nil, "reading the audit log of %q: %v", deployment, err)
		fatalIf(k.t, len(list.Items) > limit, "a page of %d has %d entries", limit, len(list.Items))
		all = append(all, list.Items...)
		if page.After = list.Next; page.After == "" {
			return all
		}
	}
}

// told is what entries say, each as "kind deployment by address", oldest first.
func told(entries []keystore.AuditEntry) []string {
	var texts []string
	for _, e := range slices.Backward(entries) {
		texts = append(texts, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s", e.Kind, e.Deployment, e.By, e.Address)), " "))
	}
	return texts
}

// slots are all numbers of the audit log.
func (k *keystoreKit) slots() (keystore.AuditRange, []keystore.AuditSlot) {
	k.t.Helper()
	log := must(k.AuditRange(k.ctx()))
	var all []keystore.AuditSlot
	for next := log.First; ; next += uint64(len(all)) {
		slots := must(k.AuditSlots(k.ctx(), next, log.Last))
		if len(slots) == 0 {
			return log, all
		}
		all = append(all, slots...)
	}
}

var lineHash = regexp.MustCompile(`^\{"hash":"([0-9a-f]{64})",`)

// faults are what somebody without any key finds wrong with the chain.
func (k *keystoreKit) faults() []string {
	k.t.Helper()
	log, slots := k.slots()
	var faults []string
	previous, next := log.FirstPrevious, log.First
	for _, slot := range slots {
		if slot.Seq != next {
			faults = append(faults, fmt.Sprintf("%d is not %d", slot.Seq, next))
		}
		next++
		if slot.Fault != "" {
			faults = append(faults, fmt.Sprintf("%d is %s", slot.Seq, slot.Fault))
			previous = ""
			continue
		}
		line := string(slot.Entry.Line)
		var entry struct {
			Previous string `json:"previous_hash"`
			Seq      uint64 `json:"seq"`
		}
		ok(k.t, json.Unmarshal([]byte(line), &entry))
		hash := lineHash.FindStringSubmatch(line)
		sum := sha256.Sum256([]byte(lineHash.ReplaceAllString(line, "{")))
		switch {
		case hash == nil || hash[1] != hex.EncodeToString(sum[:]):
			faults = append(faults, fmt.Sprintf("%d has another hash", slot.Seq))
		case entry.Seq != slot.Seq:
			faults = append(faults, fmt.Sprintf("%d says it is %d", slot.Seq, entry.Seq))
		case previous != "" && entry.Previous != previous:
			faults = append(faults, fmt.Sprintf("%d does not follow the one before", slot.Seq))
		}
		previous = hash[1]
	}
	if next != log.Last+1 || (previous != "" && previous != log.Hash) {
		faults = append(faults, fmt.Sprintf("it ends at %d, and not at %d", next-1, log.Last))
	}
	return faults
}

func (k *keystoreKit) wantFaults(want ...string) {
	k.t.Helper()
	if got := k.faults(); !slices.Equal(got, want) {
		k.t.Errorf("the chain has the faults %q, want %q", got, want)
	}
}

// auditTests hold the audit log where nobody tampers with it.
func auditTests() []keystoreTest {
	return []keystoreTest{
		{"audit: who did what, on what, from where", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.deployment("dep2")
			key, _ := k.key("dep1")
			// The list of addresses is not cut off: what comes last counts as much.
			var texts []string
			for i := range keystore.MaxAllowedIPs {
				texts = append(texts, fmt.Sprintf("2001:db8:aaaa:bbbb:cccc:dddd:%04x:0/112", 0x1000+i))
			}
			addresses := must(keystore.ParseAllowedIPs(texts))
			k.want(errOf(k.UpdateKey(k.ctx(), keystore.Caller{Name: "bob", Address: "2001:db8::1", Via: keystore.ViaConsole}, "dep1", key.ID, func(key *keystore.Key) error {
				key.Scopes, key.Description = keystore.ScopeDeploy, strings.Repeat("ä", 300)
				key.AllowedIPs = addresses
				return nil
			})), nil)
			k.want(errOf(k.PutMember(k.ctx(), alice, "dep2", "carol", keystore.RoleAdmin)), nil)
			k.rotate(key.ID, keystore.KeyRotation{Overlap: time.Hour, RevokeTokens: true})
			k.want(k.RevokeAllTokens(k.ctx(), alice), nil)
			k.writeAudit()
			k.want(k.DeleteDeployment(k.ctx(), alice, "dep1"), nil)
			k.writeAudit()
			k.writeAudit()

			want := []string{
				"store.created gateway",
				"deployment.created dep1 alice 192.0.2.1",
				"deployment.created dep2 alice 192.0.2.1",
				"key.created dep1 alice 192.0.2.1",
				"key.updated dep1 bob 2001:db8::1",
				"member.put dep2 alice 192.0.2.1",
				"key.rotated dep1 alice 192.0.2.1",
				"tokens.revoked alice 192.0.2.1",
				"deployment.deleted dep1 alice 192.0.2.1",
			}
			for _, limit := range []int{1, 4, 9, 100} {
				all := k.audit("", limit)
				if got := told(all); !slices.Equal(got, want) {
					t.Errorf("in pages of %d the log has %q, want %q", limit, got, want)
				}
				for i, entry := range all {
					if entry.Seq != uint64(len(want)-i) || entry.Change != entry.Seq || entry.Outcome != keystore.OutcomeDone || entry.Time.IsZero() || (entry.Via == keystore.ViaConsole) != (entry.By == "bob") {
						t.Errorf("entry %d is %+v", i, entry)
					}
				}
				of := func(id string) (texts []string) {
					for _, text := range want {
						if strings.Contains(text, id) {
							texts = append(texts, text)
						}
					}
					return texts
				}
				for _, id := range []string{"dep1", "dep2"} {
					if got := told(k.audit(id, limit)); !slices.Equal(got, of(id)) {
						t.Errorf("in pages of %d %s has %q, want %q", limit, id, got, of(id))
					}
				}
			}
			sets := map[string]map[string]string{}
			for _, entry := range k.audit("", 100) {
				sets[string(entry.Kind)] = entry.Set
				failIf(t, strings.HasPrefix(string(entry.Kind), "key.") && entry.Key != key.ID, "%s is about key %q", entry.Kind, entry.Key)
			}
			for kind, want := range map[string]string{
				"key.created": "map[name:k scopes:deploy airflow:read airflow:write]",
				"key.updated": "map[allowed_ips:" + strings.Join(texts, " ") + " description:" + strings.Repeat("ä", 128) + "… scopes:deploy]",
				"member.put":  "map[role:admin]",
				"key.rotated": "map[overlap:1h0m0s revoke_tokens:true]",
			} {
				if got := fmt.Sprint(sets[kind]); got != want {
					t.Errorf("%s has set %s, want %s", kind, got, want)
				}
			}
			k.wantFaults()
		}},
		{"audit: no Deployment, no entries", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			for _, id := range []string{"dep2", "", "../dep1", "DEP1"} {
				k.want(errOf(k.DeploymentAudit(k.ctx(), id, keystore.Page{Limit: 1})), keystore.ErrNotFound)
			}
			if got := k.audit("dep1", 10); len(got) != 0 {
				t.Errorf("before anything is entered there is %v", told(got))
			}
			for _, limit := range []int{0, -1, keystore.MaxPage + 1} {
				k.writeAudit()
				k.want(errOf(k.DeploymentAudit(k.ctx(), "dep1", keystore.Page{Limit: limit})), keystore.ErrInvalid)
				k.want(errOf(k.Audit(k.ctx(), keystore.Page{Limit: limit})), keystore.ErrInvalid)
			}
			k.wantFaults()
		}},
		{"audit: made-up places do no harm", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			k.writeAudit()
			for _, after := range []string{keystore.AuditPlace(0), keystore.AuditPlace(1), keystore.AuditPlace(2), keystore.AuditPlace(1 << 63), "x"} {
				if _, err := k.Audit(k.ctx(), keystore.Page{After: after, Limit: 10}); err != nil {
					t.Errorf("after %s: %v", after, err)
				}
			}
			for _, text := range []string{"", "0", "000000000000000g", "000000000000000A", "+00000000000000a", "00000000000000000"} {
				failIf(t, keystore.IsAuditPlace(text), "%q is a place", text)
			}
		}},
		{"audit: many nodes enter every change once", func(t *testing.T, k *keystoreKit) {
			const nodes, each = 4, 30
			k.deployment("dep1")
			var group sync.WaitGroup
			for n := range nodes {
				node := keystore.New(k.store, master)
				group.Go(func() {
					for i := range each {
						name := fmt.Sprintf("%d-%d", n, i)
						if _, _, err := node.CreateKey(k.ctx(), alice, keystore.Key{DeploymentID: "dep1", Name: name}); err != nil {
							t.Error(err)
						}
						// An attempt that others overtook too often is made again.
						if _, _, err := node.WriteAudit(k.ctx(), nil); err != nil && !errors.Is(err, keystore.ErrUnavailable) {
							t.Error(err)
						}
					}
				})
			}
			group.Wait()
			k.writeAudit()
			seen := map[string]bool{}
			all := k.audit("dep1", 50)
			for _, entry := range all {
				seen[entry.Set["name"]] = true
			}
			failIf(t, len(all) != nodes*each+1 || len(seen) != len(all), "%d entries of %d changes, want %d", len(all), len(seen), nodes*each+1)
			k.wantFaults()
		}},
		{"audit: entries are removed when their time is over", func(t *testing.T, k *keystoreKit) {
			clock := storetest.NewClock(k.store, time.Now().Add(-100*24*time.Hour).Truncate(time.Second))
			k.Keystore = clock.Keystore(master)
			k.deployment("old")
			k.want(k.DeleteDeployment(k.ctx(), alice, "old"), nil)
			k.deployment("dep1")
			k.writeAudit()
			clock.Advance(50 * 24 * time.Hour)
			k.deployment("dep2")
			k.writeAudit()
			purge := func(retention time.Duration, want int) {
				t.Helper()
				if n, err := k.PurgeAudit(k.ctx(), retention); n != want || err != nil {
					t.Errorf("%d removed, %v, want %d", n, err, want)
				}
			}
			purge(50*24*time.Hour, 0)
			purge(49*24*time.Hour, 4)
			purge(49*24*time.Hour, 0)
			k.wantFaults()
			if got, want := told(k.audit("", 10)), []string{"deployment.created dep2 alice 192.0.2.1"}; !slices.Equal(got, want) {
				t.Errorf("the log has %q, want %q", got, want)
			}
			k.want(errOf(k.DeploymentAudit(k.ctx(), "old", keystore.Page{Limit: 10})), keystore.ErrNotFound)
			if got := k.audit("dep1", 10); len(got) != 0 {
				t.Errorf("dep1 still has %q", told(got))
			}
			clock.Advance(50 * 24 * time.Hour)
			purge(time.Hour, 1)
			if log, _ := k.slots(); log.First != 6 || log.Last != 5 {
				t.Errorf("the empty log is %+v", log)
			}
			k.deployment("dep3")
			k.writeAudit()
			k.wantFaults()
			if got := k.audit("", 10); len(got) != 1 || got[0].Seq != 6 {
				t.Errorf("after that the log has %q", told(got))
			}
		}},
		{"audit: refusals are bounded, and counted", func(t *testing.T, k *keystoreKit) {
			clock := storetest.NewClock(k.store, time.Now().UTC().Truncate(time.Hour))
			k.Keystore = clock.Keystore(master)
			k.deployment("dep1")
			const flood = 3 * keystore.MaxUnprovenRefusals
			var refusals []keystore.Refusal
			for i := range flood {
				refusals = append(refusals, keystore.Refusal{
					Time: clock.Now(), Since: clock.Now().Add(-time.Minute), Count: 2, Deployment: "dep1",
					Handler: "auth", Error: "invalid_token", Address: fmt.Sprintf("192.0.2.%d", i),
				})
			}
			k.writeAudit(refusals...)
			count := func() (entered, counted uint64) {
				for _, entry := range k.audit("", 100) {
					switch entry.Kind {
					case keystore.RequestRefused:
						if entry.Error == "insufficient_scope" {
							continue
						}
						entered += entry.Count
						fatalIf(t, entry.Outcome != keystore.OutcomeRefused || entry.Since.IsZero() || entry.Handler != "auth" || entry.Error != "invalid_token", "a refusal is %+v", entry)
					case keystore.RefusalsSummed:
						counted += entry.Count
						fatalIf(t, entry.Since.IsZero(), "the sum is %+v", entry)
					}
				}
				return entered, counted
			}
			const bound = 2 * keystore.MaxUnprovenRefusals
			if entered, counted := count(); entered != bound || counted != 0 {
				t.Errorf("in the hour %d are entered and %d counted", entered, counted)
			}
			// What was refused to a key that has proven to be that is entered all the same, and a change.
			k.writeAudit(keystore.Refusal{Time: clock.Now(), Count: 1, Handler: "auth", Error: "insufficient_scope", Deployment: "dep1", Key: "k", Proven: true})
			if newest := k.audit("dep1", 100)[0]; newest.Error != "insufficient_scope" {
				t.Errorf("the newest entry is %+v", newest)
			}
			k.deployment("dep2")
			k.writeAudit()
			if got := k.audit("dep2", 10); len(got) != 1 {
				t.Errorf("the change has %d entries", len(got))
			}
			clock.Advance(time.Hour)
			k.writeAudit()
			if entered, counted := count(); entered != bound || counted != 2*flood-bound {
				t.Errorf("after the hour %d are entered and %d counted, of %d", entered, counted, 2*flood)
			}
			k.writeAudit(keystore.Refusal{Time: clock.Now(), Handler: "auth", Error: "invalid_token", Since: clock.Now(), Count: 2})
			if entered, _ := count(); entered != bound+2 {
				t.Errorf("in the next hour %d are entered", entered)
			}
			// A clock that is set back, or another one, does not renew the bound.
			k.writeAudit(refusals...)
			entered, _ := count()
			for range 3 {
				clock.Advance(-time.Hour)
				k.writeAudit(refusals...)
				clock.Advance(time.Hour)
				k.writeAudit(refusals...)
			}
			if again, _ := count(); again != entered {
				t.Errorf("by clocks of two hours %d more are entered", again-entered)
			}
			k.wantFaults()
		}},
		{"audit: what could not be entered is given back", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			ctx, cancel := context.WithCancel(k.ctx())
			cancel()
			_, left, err := k.WriteAudit(ctx, []keystore.Refusal{{Handler: "auth", Count: 3}})
			k.want(err, keystore.ErrUnavailable)
			failIf(t, len(left) != 1 || left[0].Count != 3, "left are %+v", left)
		}},
	}
}
