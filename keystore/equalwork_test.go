package keystore_test

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// A refusedCredential is a key ID, and the text of a secret that it is refused with.
type refusedCredential struct {
	id, secret string
	made       bool // whether the store has made the key ID
}

// refusedCredentials are one of each kind, by what is wrong with it. Each has a key ID of its own.
func (k *viewKit) refusedCredentials() map[string]refusedCredential {
	k.t.Helper()
	wrong := keystore.NewSecret().Reveal()
	must := func(err error) {
		k.t.Helper()
		if err != nil {
			k.t.Fatal(err)
		}
	}
	made := func(change func(id string) error) (id, secret string) {
		k.t.Helper()
		key, secret := k.key()
		must(change(key.ID))
		return key.ID, secret
	}
	remove := func(id string) error { return k.other.DeleteKey(k.ctx(), by, "dep1", id) }
	edit := func(edit func(*keystore.Key)) func(string) error {
		return func(id string) error {
			_, err := k.other.UpdateKey(k.ctx(), by, "dep1", id, func(key *keystore.Key) error { edit(key); return nil })
			return err
		}
	}
	rotate := func(overlap time.Duration) func(string) error {
		return func(id string) error {
			_, _, err := k.other.RotateKey(k.ctx(), by, "dep1", id, keystore.KeyRotation{Overlap: overlap})
			return err
		}
	}
	nothing := func(string) error { return nil }

	_, err := k.other.CreateDeployment(k.ctx(), by, keystore.Deployment{ID: "gone", Name: "x"})
	must(err)
	ofGone, itsSecret, err := k.other.CreateKey(k.ctx(), by, keystore.Key{DeploymentID: "gone", Name: "k"})
	must(err)
	must(k.other.DeleteDeployment(k.ctx(), by, "gone"))

	living, _ := made(nothing)
	deletedKey, deletedSecret := made(remove)
	deletedToo, _ := made(remove)
	expired, _ := made(edit(func(key *keystore.Key) { key.ExpiresAt = time.Unix(1_000_000_000, 0) }))
	limited, _ := made(edit(func(key *keystore.Key) { key.AllowedIPs, err = keystore.ParseAllowedIPs([]string{"192.0.2.0/24"}) }))
	must(err)
	before, secretOfBefore := made(rotate(0))
	overlapping, _ := made(rotate(time.Hour))
	k.caughtUp()
	return map[string]refusedCredential{
		"wrong secret":                  {living, wrong, true},
		"key ID never made":             {neverMade(), wrong, false},
		"no key ID at all":              {"somebody", wrong, false},
		"deleted key, its secret":       {deletedKey, deletedSecret, true},
		"deleted key, wrong secret":     {deletedToo, wrong, true},
		"key of a deleted Deployment":   {ofGone.ID, itsSecret.Reveal(), true},
		"expired key, wrong secret":     {expired, wrong, true},
		"other addresses, wrong secret": {limited, wrong, true},
		"secret of before a rotation":   {before, secretOfBefore, true},
		"two secrets, neither":          {overlapping, wrong, true},
	}
}

// neverMade is a key ID of the right form with the time of now and a code that is made up.
func neverMade() string {
	var raw [15]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(time.Now().UnixMilli())<<16)
	binary.BigEndian.PutUint64(raw[7:], rand.Uint64())
	return base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding).EncodeToString(raw[:])
}

// refuse wants credentials to be refused, in the words that are the same for all.
func (k *viewKit) refuse(c refusedCredential) {
	_, _, err := k.Authenticate(k.ctx(), c.id, c.secret, maxAge)
	failIf(k.t, !errors.Is(err, keystore.ErrCredentials) || err.Error() != keystore.ErrCredentials.Error(), "error %v, want %v", err, keystore.ErrCredentials)
}

// The time of a refusal must not tell what was wrong, so all take the same work: where the key is known, none asks the store,
// and each makes as many allocations, which is as many hashes, as any other. Where nothing is known yet, a living and a deleted
// key take one read, and what was never made none, so that a flood of made-up IDs does not reach the store.
//
// It does not run beside other tests: allocations are those of the whole process.
func TestRefusalsTakeTheSameWork(t *testing.T) {
	k := newViewKit(t)
	allocations := make(map[string]float64)
	for name, c := range k.refusedCredentials() {
		first := int64(0)
		if c.made {
			first = 1
		}
		t.Run(name, func(t *testing.T) {
			k.wantReads(first, func() { k.refuse(c) })
			before := k.Stats()
			k.wantReads(0, func() {
				allocations[name] = testing.AllocsPerRun(500, func() { k.refuse(c) })
			})
			after := k.Stats()
			if hits, misses := after.Hits-before.Hits, after.Misses-before.Misses; hits != 501 || misses != 0 {
				t.Errorf("501 questions were answered %d times from memory and %d times not", hits, misses)
			}
		})
	}
	for name, n := range allocations {
		if n != allocations["wrong secret"] && name != "no key ID at all" {
			t.Errorf("%s makes %.0f allocations, a wrong secret %.0f", name, n, allocations["wrong secret"])
		}
	}
}

// A Deployment that is deleted takes its own keys out of what is known, and no key of another that was deleted before: the
// next request with that would take a read of the store, by which it could be told from one that was never made, and from a
// living one.
func TestDeletedDeploymentLeavesWhatIsKnownOfOtherDeletedKeys(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	deleted, _ := k.key()
	ok(t, k.other.DeleteKey(k.ctx(), by, "dep1", deleted.ID))
	ok(t, errOf(k.other.CreateDeployment(k.ctx(), by, keystore.Deployment{ID: "gone", Name: "x"})))
	ofGone, _, err := k.other.CreateKey(k.ctx(), by, keystore.Key{DeploymentID: "gone", Name: "k"})
	if err != nil {
		t.Fatal(err)
	}
	k.caughtUp()
	k.wantKey(deleted.ID, keystore.ErrNotFound)
	k.wantKey(ofGone.ID, nil)
	ok(t, k.other.DeleteDeployment(k.ctx(), by, "gone"))
	k.caughtUp()
	k.wantReads(0, func() { k.wantKey(deleted.ID, keystore.ErrNotFound) })
	k.wantReads(1, func() { k.wantKey(ofGone.ID, keystore.ErrNotFound) })
}

// Where nothing is heard of changes, each question is put to the store; those about made-up IDs are not, and are refused
// also when there is no store to ask.
func TestMadeUpKeyIDsAreRefusedWithoutTheStore(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	unreachable := fmt.Errorf("%w: cut off", keystore.ErrUnavailable)
	k.store.nextErr.Store(&unreachable)
	k.store.getErr.Store(&unreachable)
	k.clock.ahead.Store(int64(time.Hour))
	k.wantReads(0, func() {
		for range 100 {
			k.refuse(refusedCredential{neverMade(), keystore.NewSecret().Reveal(), false})
		}
	})
}

// BenchmarkRefusal is what a refusal costs in the keystore when the key is known, by what is wrong: all about the same.
func BenchmarkRefusal(b *testing.B) {
	k := newViewKit(b)
	credentials := k.refusedCredentials()
	for _, name := range slices.Sorted(maps.Keys(credentials)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k.refuse(credentials[name])
			}
		})
	}
}
