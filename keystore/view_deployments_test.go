package keystore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// Each delete of a Deployment made all pending reads stale: at some hundred a second, first tokens got 503.
func TestDeletesOfOtherDeploymentsDoNotDelayReads(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, _ := k.key()
	ok(t, errOf(k.other.PutMember(k.ctx(), by, "dep1", "bob", keystore.RoleViewer)))
	const others = 50
	for i := range others {
		ok(t, errOf(k.other.CreateDeployment(k.ctx(), by, keystore.Deployment{ID: fmt.Sprintf("other%d", i), Name: "x"})))
	}
	k.caughtUp()
	ofKey, keyAnswered := k.holdRead(k.ctx(), key.ID)
	k.wantReads(1, func() { // of the question that comes after the deletes
		for i := range others {
			ok(t, k.other.DeleteDeployment(k.ctx(), by, fmt.Sprintf("other%d", i)))
		}
		k.caughtUp()
		k.wantKey(key.ID, nil)
		close(ofKey)
		if err := <-keyAnswered; err != nil {
			t.Errorf("the question from before the deletes: %v", err)
		}
	})
}

// A delete of a Deployment drops what is cached of it, and nothing else.
func TestDeleteDropsItsOwnEntries(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	ok(t, errOf(k.other.CreateDeployment(k.ctx(), by, keystore.Deployment{ID: "dep2", Name: "x"})))
	key, _ := k.key()
	member := func(want error) {
		t.Helper()
		if _, err := k.Member(k.ctx(), "dep1", "bob", maxAge); (want == nil) != (err == nil) || !errors.Is(err, want) {
			t.Errorf("member: %v, want %v", err, want)
		}
	}
	ok(t, errOf(k.other.PutMember(k.ctx(), by, "dep1", "bob", keystore.RoleViewer)))
	k.caughtUp()
	k.wantKey(key.ID, nil)
	member(nil)
	ok(t, k.other.DeleteDeployment(k.ctx(), by, "dep2"))
	k.caughtUp()
	k.wantReads(0, func() {
		k.wantKey(key.ID, nil)
		member(nil)
	})
	ok(t, k.other.DeleteDeployment(k.ctx(), by, "dep1"))
	k.caughtUp()
	k.wantReads(2, func() {
		k.wantKey(key.ID, keystore.ErrNotFound)
		member(keystore.ErrNotFound)
	})
}

// The holder of a user's token can name any Deployment: that cost a read of the store and an entry each.
func TestMadeUpDeploymentsOfAUserCostOneRead(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	role := func(deployment string, want error) {
		t.Helper()
		if _, err := k.Member(k.ctx(), deployment, "bob", maxAge); (want == nil) != (err == nil) || !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", deployment, err, want)
		}
	}
	madeUp := func() {
		for i := range 3_000 {
			role(fmt.Sprintf("dep%dx", i), keystore.ErrNotFound)
		}
		role("", keystore.ErrNotFound)
		role("dep1 dep2", keystore.ErrNotFound)
	}
	k.wantReads(1, madeUp)
	if members := k.Stats().Members; members != 0 {
		t.Errorf("%d members are cached", members)
	}

	// A membership counts at once, on the node that made it and on others, and the others are as cheap.
	ok(t, errOf(k.own.PutMember(k.ctx(), by, "dep1", "bob", keystore.RoleViewer)))
	role("dep1", nil)
	ok(t, errOf(k.other.CreateDeployment(k.ctx(), by, keystore.Deployment{ID: "dep2", Name: "x"})))
	if _, err := k.other.PutMember(k.ctx(), by, "dep2", "bob", keystore.RoleViewer); err != nil {
		t.Fatal(err)
	}
	k.caughtUp()
	role("dep1", nil)
	role("dep2", nil)
	k.wantReads(0, madeUp)
	if members := k.Stats().Members; members != 2 {
		t.Errorf("%d members are cached", members)
	}
}

// However many Deployments a user has, all of them count.
func TestUserOfManyDeployments(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	ok(t, errOf(k.other.CreateDeployment(k.ctx(), by, keystore.Deployment{ID: "zz", Name: "x"})))
	if _, err := k.other.PutMember(k.ctx(), by, "zz", "bob", keystore.RoleViewer); err != nil {
		t.Fatal(err)
	}
	// Memberships without a record are as good as deleted: what is tested is that the last one is found.
	var change keystore.Change
	for i := range 25_000 {
		change.Steps = append(change.Steps, keystore.Step{Kind: keystore.AddMember, Name: "memberships/Ym9i", Member: fmt.Sprintf("d%05d", i)})
	}
	ok(t, k.store.Apply(k.ctx(), change))
	k.wantReads(4, func() { // three pages, and the record
		member, err := k.Member(k.ctx(), "zz", "bob", maxAge)
		failIf(t, err != nil || member.Role != keystore.RoleViewer, "%+v, %v", member, err)
	})
	for _, deployment := range []string{"d00000", "d24999", "d25000", strings.Repeat("d", 63)} {
		if _, err := k.Member(k.ctx(), deployment, "bob", maxAge); !errors.Is(err, keystore.ErrNotFound) {
			t.Errorf("%s: %v", deployment, err)
		}
	}
}
