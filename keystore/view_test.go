package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func TestViewAnswersFromMemory(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, secret := k.key()
	k.wantReads(1, func() { k.wantKey(key.ID, nil) })
	k.wantReads(0, func() {
		for range 100 {
			k.wantKey(key.ID, nil)
			if _, _, err := k.Authenticate(k.ctx(), key.ID, secret, maxAge); err != nil {
				t.Fatal(err)
			}
			if _, _, err := k.Authenticate(k.ctx(), key.ID, keystore.NewSecret().Reveal(), maxAge); !errors.Is(err, keystore.ErrCredentials) {
				t.Fatal(err)
			}
		}
	})
	if stats := k.Stats(); stats.Hits != 300 || stats.Misses != 1 || stats.Keys != 1 {
		t.Errorf("stats %+v", stats)
	}
}

func TestViewForgetsWhatAnotherNodeHasChanged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(k *viewKit, id string) error
		want   error
	}{
		"key deleted":        {func(k *viewKit, id string) error { return k.other.DeleteKey(k.ctx(), by, "dep1", id) }, keystore.ErrNotFound},
		"Deployment deleted": {func(k *viewKit, _ string) error { return k.other.DeleteDeployment(k.ctx(), by, "dep1") }, keystore.ErrNotFound},
		"key changed": {func(k *viewKit, id string) error {
			_, err := k.other.UpdateKey(k.ctx(), by, "dep1", id, func(key *keystore.Key) error { key.Scopes = keystore.ScopeDeploy; return nil })
			return err
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newViewKit(t)
			key, _ := k.key()
			k.wantKey(key.ID, nil)
			ok(t, test.change(k, key.ID))
			k.caughtUp()
			k.wantReads(1, func() { k.wantKey(key.ID, test.want) })
			k.wantReads(0, func() { k.wantKey(key.ID, test.want) })
			if test.want == nil {
				if now, _ := k.Key(k.ctx(), key.ID, maxAge); now.Scopes != keystore.ScopeDeploy {
					t.Errorf("scopes %v", now.Scopes)
				}
			}
		})
	}
}

func TestViewForgetsMembers(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	role := func() keystore.Role {
		member, err := k.Member(k.ctx(), "dep1", "bob", maxAge)
		if errors.Is(err, keystore.ErrNotFound) {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		return member.Role
	}
	want := func(want keystore.Role, reads int64) {
		t.Helper()
		k.caughtUp()
		k.wantReads(reads, func() {
			for range 3 {
				if got := role(); got != want {
					t.Errorf("role %q, want %q", got, want)
				}
			}
		})
	}
	put := func(role keystore.Role) {
		ok(t, errOf(k.other.PutMember(k.ctx(), by, "dep1", "bob", role)))
	}
	want("", 1)
	put(keystore.RoleViewer)
	want(keystore.RoleViewer, 2) // that they are a member, and their role
	put(keystore.RoleAdmin)
	want(keystore.RoleAdmin, 2)
	ok(t, k.other.DeleteMember(k.ctx(), by, "dep1", "bob"))
	want("", 1)
	put(keystore.RoleViewer)
	want(keystore.RoleViewer, 2)
	ok(t, k.other.DeleteDeployment(k.ctx(), by, "dep1"))
	want("", 1)
}

// What a node changes itself it knows at once, whether or not the log has come round.
func TestViewKnowsOwnChangesBeforeTheyReturn(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	for range 20 {
		key, _ := k.key()
		k.wantKey(key.ID, nil)
		ok(t, k.own.DeleteKey(k.ctx(), by, "dep1", key.ID))
		k.wantKey(key.ID, keystore.ErrNotFound)
	}
}

// A read of a key that began before the key was deleted, and ends after the node has heard of it.
func TestStaleFillDoesNotSurvive(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(k *viewKit, id string) error{
		"key":        func(k *viewKit, id string) error { return k.other.DeleteKey(k.ctx(), by, "dep1", id) },
		"Deployment": func(k *viewKit, _ string) error { return k.other.DeleteDeployment(k.ctx(), by, "dep1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newViewKit(t)
			key, _ := k.key()
			goOn, answered := k.holdRead(k.ctx(), key.ID)
			ok(t, end(k, key.ID))
			k.caughtUp()
			// Whoever asks now must not be given what that read will say.
			k.wantKey(key.ID, keystore.ErrNotFound)
			close(goOn)
			if err := <-answered; !errors.Is(err, keystore.ErrNotFound) {
				t.Errorf("the question that was overtaken is answered with error %v, want %v", err, keystore.ErrNotFound)
			}
			k.wantKey(key.ID, keystore.ErrNotFound)
		})
	}
}

// The same, when nobody waits for the read any more who would put the question again.
func TestAbandonedStaleFillDoesNotSurvive(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	// Often, because one who has gone away may still put it again.
	for range 20 {
		key, _ := k.key()
		ctx, cancel := context.WithCancel(k.ctx())
		goOn, answered := k.holdRead(ctx, key.ID)
		ok(t, k.other.DeleteKey(k.ctx(), by, "dep1", key.ID))
		k.caughtUp()
		cancel()
		close(goOn)
		<-answered
		k.wantKey(key.ID, keystore.ErrNotFound)
	}
}

func TestConcurrentMissesCostOneRead(t *testing.T) {
	t.Parallel()
	// In a bubble, since nobody waits for an answer longer than a busy machine may need to have all ask.
	synctest.Test(t, func(t *testing.T) {
		k := newViewKit(t)
		key, _ := k.key()
		goOn := make(chan struct{})
		hook := func(string) { <-goOn }
		k.store.onGet.Store(&hook)
		k.wantReads(1, func() {
			var wait sync.WaitGroup
			for range 50 {
				wait.Go(func() { k.wantKey(key.ID, nil) })
			}
			synctest.Wait()
			if misses := k.Stats().Misses; misses != 50 {
				t.Errorf("%d asked, want 50", misses)
			}
			close(goOn)
			wait.Wait()
		})
	})
}

// The one that asks first may go away: the others still get their answer.
func TestAbandonedReadStillAnswersOthers(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, _ := k.key()
	read, goOn := make(chan struct{}), make(chan struct{})
	hook := func(string) { close(read); <-goOn }
	k.store.onGet.Store(&hook)
	ctx, cancel := context.WithCancel(k.ctx())
	first := make(chan struct{})
	go func() {
		defer close(first)
		_, _ = k.Key(ctx, key.ID, maxAge)
	}()
	<-read
	cancel()
	second := make(chan error)
	go func() {
		_, err := k.Key(k.ctx(), key.ID, maxAge)
		second <- err
	}()
	storetest.Poll(t, 30*time.Second, "the second to ask", func() bool { return k.Stats().Misses == 2 })
	close(goOn)
	if err := <-second; err != nil {
		t.Error(err)
	}
	<-first
}

// A disk that stands still, and a database that panics, are outages like any other.
func TestReadThatNeverEndsIsAnOutage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(k *viewKit, goOn chan struct{}){
		"stands still": func(_ *viewKit, goOn chan struct{}) { <-goOn },
		"panics":       func(*viewKit, chan struct{}) { panic("page 7 is not there") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newViewKit(t)
			key, _ := k.key()
			goOn := make(chan struct{})
			hook := func(string) { fault(k, goOn) }
			k.store.onGet.Store(&hook)
			var wait sync.WaitGroup
			for range 5 {
				wait.Go(func() { k.wantKey(key.ID, keystore.ErrUnavailable) })
			}
			wait.Wait()
			k.store.onGet.Store(nil)
			close(goOn)
			storetest.Poll(t, 30*time.Second, "the key to be read", func() bool {
				_, err := k.Key(k.ctx(), key.ID, maxAge)
				return err == nil
			})
		})
	}
}

func TestMadeUpKeyIDsDoNotReachTheStore(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, secret := k.key()
	k.wantReads(0, func() {
		for i := range 1000 {
			last := "0123456789abcdefghijklmnopqrstuv"[i%31]
			if last == key.ID[23] {
				last = 'v'
			}
			id := fmt.Sprintf("%s%03x%c", key.ID[:20], i, last)
			if id == key.ID {
				continue
			}
			k.wantKey(id, keystore.ErrNotFound)
			if _, _, err := k.Authenticate(k.ctx(), id, secret, maxAge); !errors.Is(err, keystore.ErrCredentials) {
				t.Fatal(err)
			}
		}
	})
	// What is remembered is that the name of no key, which stands for all of them, is of none.
	if stats := k.Stats(); stats.Keys > 1 {
		t.Errorf("%d keys are remembered", stats.Keys)
	}
}

func TestBeyondMaxAgeTheStoreIsAsked(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, _ := k.key()
	k.wantKey(key.ID, nil)
	unreachable := fmt.Errorf("%w: cut off", keystore.ErrUnavailable)
	k.store.nextErr.Store(&unreachable)
	storetest.Poll(t, 30*time.Second, "the follower to fail", func() bool { return k.Stats().FollowErrors > 0 })

	k.wantReads(0, func() { k.wantKey(key.ID, nil) }) // still young enough
	k.clock.ahead.Store(int64(2 * maxAge))
	k.wantReads(1, func() { k.wantKey(key.ID, nil) })
	k.store.getErr.Store(&unreachable)
	k.wantKey(key.ID, keystore.ErrUnavailable)

	// Deleted while nobody could hear of it: known as soon as the log is there again.
	ok(t, k.other.DeleteKey(k.ctx(), by, "dep1", key.ID))
	k.store.getErr.Store(nil)
	k.store.nextErr.Store(nil)
	k.caughtUp()
	k.wantKey(key.ID, keystore.ErrNotFound)
	if stats := k.Stats(); stats.Gaps != 0 {
		t.Errorf("%d gaps, but the log went on where it was", stats.Gaps)
	}
}

func TestGapForgetsEverything(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, _ := k.key()
	k.wantKey(key.ID, nil)
	gap := fmt.Errorf("%w: trimmed", keystore.ErrLogGap)
	k.store.nextErr.Store(&gap)
	storetest.Poll(t, 30*time.Second, "the gap to be seen", func() bool { return k.Stats().Gaps > 0 })
	k.store.nextErr.Store(nil)
	k.caughtUp()
	k.wantReads(1, func() { k.wantKey(key.ID, nil) })
}

// A node of a newer version leaves events that this one does not know. They may be about anything.
func TestUnknownEventForgetsEverything(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]string{
		"another kind": `{"kind":"key.frozen","time":"2030-01-01T00:00:00Z","by":"x"}`,
		"not JSON":     `frozen`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newViewKit(t)
			key, _ := k.key()
			ask := func() {
				k.wantKey(key.ID, nil)
				ok(t, errOf(k.Cutoff(k.ctx(), maxAge)))
				ok(t, errOf(k.TokenRevoked(k.ctx(), "jti", maxAge)))
				failIf(t, errOf(k.Member(k.ctx(), "dep1", "bob", maxAge)) == nil, "bob is a member")
			}
			k.wantReads(4, ask)
			k.wantReads(0, ask)
			ok(t, k.store.Apply(k.ctx(), keystore.Change{Event: []byte(event)}))
			k.caughtUp()
			k.wantReads(4, ask)
		})
	}
}

func TestViewIsBounded(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	k.Resize(10)
	for range 100 {
		key, _ := k.key()
		k.wantKey(key.ID, nil)
	}
	storetest.Poll(t, 30*time.Second, "the view to shrink to 10 keys", func() bool { return k.Stats().Keys <= 10 })
}

// A description may be of 4 KB, and 100,000 keys are remembered.
func TestViewRemembersNoTexts(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, _ := k.key()
	read, err := k.View.Key(t.Context(), key.ID, time.Hour)
	failIf(t, err != nil || key.Name == "" || read.Name != "" || read.Description != "" || read.Scopes != key.Scopes, "the view has the key %+v, %v", read, err)
	deployment, err := k.View.Deployment(t.Context(), key.DeploymentID, time.Hour)
	failIf(t, err != nil || deployment.Name != "" || deployment.Description != "" || deployment.ID != key.DeploymentID, "the view has the Deployment %+v, %v", deployment, err)
}

func TestCloseEndsTheFollower(t *testing.T) {
	t.Parallel()
	k := newViewKit(t)
	key, _ := k.key()
	k.View.Close()
	stack := make([]byte, 1<<20)
	stack = stack[:runtime.Stack(stack, true)]
	failIf(t, strings.Contains(string(stack), fmt.Sprintf("(*View).follow(%p", k.View)), "the follower still runs:\n%s", stack)
	_ = key
	k.View = keystore.NewView(k.own, keystore.ViewOptions{Now: k.clock.now})
	k.caughtUp()
	k.wantKey(key.ID, nil)
}
