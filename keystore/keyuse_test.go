package keystore_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// countingStore counts changes.
type countingStore struct {
	keystore.Store
	changes atomic.Int64
}

// Apply implements [keystore.Store].
func (s *countingStore) Apply(ctx context.Context, change keystore.Change) error {
	s.changes.Add(1)
	return s.Store.Apply(ctx, change)
}

// taken are the changes made since the last call.
func (s *countingStore) taken() int { return int(s.changes.Swap(0)) }

// overtakenStore has something done between the reads and the first change of whoever uses it.
type overtakenStore struct {
	keystore.Store
	once sync.Once
	do   func()
}

// Apply implements [keystore.Store].
func (s *overtakenStore) Apply(ctx context.Context, change keystore.Change) error {
	s.once.Do(s.do)
	return s.Store.Apply(ctx, change)
}

var (
	oneAddress   = netip.MustParseAddr("192.0.2.1")
	otherAddress = netip.MustParseAddr("2001:db8::1")
)

// secondOf is a second of a day in the past.
func secondOf(s int) time.Time {
	return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(time.Duration(s) * time.Second)
}

// record records uses, all of which must be taken.
func (k *keystoreKit) record(uses ...keystore.KeyUse) {
	k.t.Helper()
	if rest, err := k.RecordKeyUses(k.ctx(), uses); err != nil || len(rest) != 0 {
		k.t.Fatalf("recording %d uses: %d are left, %v", len(uses), len(rest), err)
	}
}

// use is when a key was last used.
func (k *keystoreKit) use(id string) keystore.KeyUse {
	k.t.Helper()
	uses, altered, err := k.KeyUses(k.ctx(), id)
	fatalIf(k.t, err != nil || len(uses) != 1 || len(altered) != 0, "reading a use: %v, altered %q, %v", uses, altered, err)
	return uses[0]
}

// wantUse checks it, but for the previous secret.
func (k *keystoreKit) wantUse(want keystore.KeyUse) {
	k.t.Helper()
	got := k.use(want.ID)
	got.PreviousSecretAt, got.PreviousSecretHash = time.Time{}, nil
	failIf(k.t, fmt.Sprint(got) != fmt.Sprint(want), "it was used\n%v, want\n%v", got, want)
}

// wantNoUse checks that nothing of when a key was used is in the store, under whatever Deployment.
func (k *keystoreKit) wantNoUse(deployment string, ids ...string) {
	k.t.Helper()
	for _, id := range ids {
		records := must(k.store.Get(k.ctx(), "used/"+id))
		if records[0] != nil {
			k.t.Errorf("the store has when key %s was used: %q", id, records[0])
		}
	}
	members := must(k.store.Members(k.ctx(), "used/"+deployment, "", 10))
	failIf(k.t, len(members) != 0, "the index of used keys of %s has %q", deployment, members)
}

func requestAt(id string, s int, address netip.Addr) keystore.KeyUse {
	return keystore.KeyUse{ID: id, RequestAt: secondOf(s), RequestAddress: address}
}

// usedTests hold when keys were last used.
func usedTests() []keystoreTest {
	return []keystoreTest{
		{"the last use of a key goes only forward, each kind by itself", func(t *testing.T, k *keystoreKit) {
			key, _ := k.key("dep1")
			before := k.events()
			k.wantUse(keystore.KeyUse{ID: key.ID})
			k.record(requestAt(key.ID, 10, oneAddress))
			k.record(requestAt(key.ID, 9, otherAddress), keystore.KeyUse{ID: "no key"})
			k.wantUse(requestAt(key.ID, 10, oneAddress))
			k.record(keystore.KeyUse{ID: key.ID, TokenAt: secondOf(5).Add(time.Second / 2), TokenAddress: otherAddress})
			want := requestAt(key.ID, 10, oneAddress)
			want.TokenAt, want.TokenAddress = secondOf(5), otherAddress
			k.wantUse(want)
			// From an address that is not known: the one of before does not belong to this time.
			k.record(requestAt(key.ID, 11, netip.Addr{}))
			want.RequestAt, want.RequestAddress = secondOf(11), netip.Addr{}
			k.wantUse(want)
			if last := k.use(key.ID); last.LastAt() != secondOf(11) {
				t.Errorf("last used at %s, want %s", last.LastAt(), secondOf(11))
			}
			k.wantEvents(before...)
		}},
		{"a use that is known already is not written", func(t *testing.T, k *keystoreKit) {
			counted := &countingStore{Store: k.store}
			n := keystore.New(counted, master)
			key, _ := k.key("dep1")
			for _, s := range []int{10, 10, 9, 11, 11} {
				rest := must(n.RecordKeyUses(k.ctx(), []keystore.KeyUse{requestAt(key.ID, s, oneAddress)}))
				failIf(t, len(rest) != 0, "%d are left", len(rest))
			}
			if got := counted.taken(); got != 2 {
				t.Errorf("%d changes for two later uses", got)
			}
		}},
		{"the last uses of many keys are kept, some hundred at once", func(t *testing.T, k *keystoreKit) {
			const many = 230
			counted := &countingStore{Store: k.store}
			n := keystore.New(counted, master)
			k.deployment("dep1")
			var uses []keystore.KeyUse
			var ids []string
			for i := range many {
				key, _ := k.key("dep1")
				uses, ids = append(uses, requestAt(key.ID, i, oneAddress)), append(ids, key.ID)
			}
			gone := ids[150]
			k.want(k.DeleteKey(k.ctx(), alice, "dep1", gone), nil)
			rest := must(n.RecordKeyUses(k.ctx(), uses))
			failIf(t, len(rest) != 0, "%d are left", len(rest))
			if got := counted.taken(); got != 3 {
				t.Errorf("%d changes for %d keys", got, many)
			}
			read, _ := must2(k.KeyUses(k.ctx(), ids...))
			for i, use := range read {
				if want := uses[i].RequestAt; ids[i] != gone && use.RequestAt != want || ids[i] == gone && !use.RequestAt.IsZero() || use.ID != ids[i] {
					t.Errorf("key %d of %d: %v, want %s", i, many, use, want)
				}
			}
		}},
		{"of two nodes that record at once, the later use stays", func(t *testing.T, k *keystoreKit) {
			k.deployment("dep1")
			var ids []string
			for range 5 {
				key, _ := k.key("dep1")
				ids = append(ids, key.ID)
			}
			var done sync.WaitGroup
			for node := range 3 {
				n := keystore.New(k.store, master)
				done.Go(func() {
					for s := range 20 {
						var uses []keystore.KeyUse
						for _, id := range ids {
							uses = append(uses, requestAt(id, 3*s+node, oneAddress))
						}
						if rest, err := n.RecordKeyUses(k.ctx(), uses); err != nil || len(rest) != 0 {
							t.Errorf("node %d: %d are left, %v", node, len(rest), err)
						}
					}
				})
			}
			done.Wait()
			for _, id := range ids {
				k.wantUse(requestAt(id, 3*19+2, oneAddress))
			}
		}},
		{"what is deleted between the read and the write of a use leaves nothing behind", func(t *testing.T, k *keystoreKit) {
			for _, before := range []bool{false, true} {
				for what, remove := range map[string]func(key keystore.Key) error{
					"key":        func(key keystore.Key) error { return k.DeleteKey(k.ctx(), alice, "dep1", key.ID) },
					"Deployment": func(keystore.Key) error { return k.DeleteDeployment(k.ctx(), alice, "dep1") },
				} {
					key, _ := k.key("dep1")
					other, _ := k.key("dep1")
					if before {
						k.record(requestAt(key.ID, 1, oneAddress))
					}
					n := keystore.New(&overtakenStore{Store: k.store, do: func() { k.want(remove(key), nil) }}, master)
					rest := must(n.RecordKeyUses(k.ctx(), []keystore.KeyUse{requestAt(key.ID, 2, oneAddress), requestAt(other.ID, 2, oneAddress)}))
					failIf(t, len(rest) != 0, "%d are left", len(rest))
					if what == "key" {
						k.wantUse(requestAt(other.ID, 2, oneAddress)) // the rest goes on
						k.want(k.DeleteKey(k.ctx(), alice, "dep1", other.ID), nil)
					}
					k.wantNoUse("dep1", key.ID, other.ID)
				}
			}
		}},
		{"an altered record of use says nothing, and is written anew", func(t *testing.T, k *keystoreKit) {
			key, _ := k.key("dep1")
			other, _ := k.key("dep1")
			k.record(requestAt(key.ID, 10, oneAddress), requestAt(other.ID, 20, otherAddress))
			records := must(k.store.Get(k.ctx(), "used/"+other.ID))
			k.forge(put("used/"+key.ID, string(records[0])))

			uses, altered := must2(k.KeyUses(k.ctx(), key.ID, other.ID))
			failIf(t, !slices.Equal(altered, []string{"used/" + key.ID}) || !uses[0].LastAt().IsZero() || uses[1].LastAt() != secondOf(20), "uses %v, altered %q", uses, altered)
			k.record(requestAt(key.ID, 5, oneAddress))
			k.wantUse(requestAt(key.ID, 5, oneAddress))
		}},
		{"an altered key has no use to record", func(t *testing.T, k *keystoreKit) {
			key, _ := k.key("dep1")
			other, _ := k.key("dep1")
			k.forge(put("key/"+key.ID, "something else"))
			k.record(requestAt(key.ID, 1, oneAddress), requestAt(other.ID, 2, oneAddress))
			k.wantUse(requestAt(other.ID, 2, oneAddress))
			k.wantUse(keystore.KeyUse{ID: key.ID})
		}},
		{"the use of a previous secret is of that secret alone", func(t *testing.T, k *keystoreKit) {
			key, _ := k.key("dep1")
			previousAt := func(key keystore.Key, s int) keystore.KeyUse {
				return keystore.KeyUse{ID: key.ID, PreviousSecretAt: secondOf(s), PreviousSecretHash: key.PreviousSecretHash}
			}
			want := func(what string, key keystore.Key, want time.Time) {
				t.Helper()
				use := k.use(key.ID)
				if got := use.PreviousSecretOf(&key); got != want {
					t.Errorf("%s: the previous secret was used at %s, want %s", what, got, want)
				}
			}
			k.record(previousAt(key, 1)) // there is none yet
			want("before", key, time.Time{})
			first, _ := k.rotate(key.ID, keystore.KeyRotation{Overlap: time.Hour})
			want("not used", first, time.Time{})
			k.record(previousAt(first, 10))
			k.record(previousAt(first, 9))
			want("used", first, secondOf(10))
			second, _ := k.rotate(key.ID, keystore.KeyRotation{Overlap: time.Hour})
			want("after another rotation", second, time.Time{})
			// A node that has not heard of the rotation comes late, and its clock is ahead.
			k.record(previousAt(first, 100))
			want("after a late use of the one before", second, time.Time{})
			k.record(previousAt(second, 50))
			k.record(previousAt(first, 101))
			want("used again", second, secondOf(50))
			k.want(k.EndPreviousSecret(k.ctx(), alice, "dep1", key.ID), nil)
			ended := must(k.Key(k.ctx(), key.ID))
			want("ended", ended, time.Time{})
		}},
		{"uses that cannot be recorded come back", func(t *testing.T, k *keystoreKit) {
			key, _ := k.key("dep1")
			ctx, cancel := context.WithCancel(k.ctx())
			cancel()
			rest, err := k.RecordKeyUses(ctx, []keystore.KeyUse{requestAt(key.ID, 1, oneAddress)})
			k.want(err, keystore.ErrUnavailable)
			failIf(t, len(rest) != 1 || rest[0].ID != key.ID, "%v are left", rest)
		}},
	}
}
