package keystore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// A faulty store is a real one between which and its user a test can come.
type faulty struct {
	keystore.Store
	gets    atomic.Int64                      // reads so far, of what a view remembers
	onGet   atomic.Pointer[func(name string)] // called after a read, before its answer is given
	getErr  atomic.Pointer[error]
	nextErr atomic.Pointer[error]
}

func (f *faulty) Get(ctx context.Context, names ...string) ([][]byte, error) {
	kind, _, _ := strings.Cut(names[0], "/")
	if !slices.Contains([]string{"key", "member", "deployment", "revoked", "cutoff"}, kind) {
		return f.Store.Get(ctx, names...)
	}
	f.gets.Add(1)
	if err := f.getErr.Load(); err != nil {
		return nil, *err
	}
	records, err := f.Store.Get(ctx, names...)
	if hook := f.onGet.Load(); hook != nil {
		(*hook)(names[0])
	}
	return records, err
}

func (f *faulty) Members(ctx context.Context, index, after string, limit int) ([]string, error) {
	if strings.HasPrefix(index, "memberships/") {
		f.gets.Add(1)
	}
	return f.Store.Members(ctx, index, after, limit)
}

func (f *faulty) Next(ctx context.Context, after keystore.Position, wait time.Duration) ([]keystore.LogEntry, keystore.Position, error) {
	if err := f.nextErr.Load(); err != nil {
		return nil, after, *err
	}
	return f.Store.Next(ctx, after, wait)
}

// viewKit is a view on a store, and another keystore on the same store: a node whose changes the
// view hears of by the log alone.
type viewKit struct {
	*keystore.View
	t     testing.TB
	store *faulty
	own   *keystore.Keystore
	other *keystore.Keystore
	clock *clock
}

// clock is the real one, ahead by what a test says.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// maxAge is more than a busy machine needs to hear from a log that is there.
const maxAge = time.Minute

var by = keystore.Caller{Name: "test"}

func newViewKit(t testing.TB) *viewKit {
	t.Helper()
	store := openStore(t)
	k := &viewKit{t: t, store: &faulty{Store: store}, clock: new(clock)}
	k.own, k.other = keystore.New(k.store, master), keystore.New(store, master)
	ok(t, errOf(k.other.CreateDeployment(t.Context(), by, keystore.Deployment{ID: "dep1", Name: "x"})))
	k.View = keystore.NewView(k.own, keystore.ViewOptions{Now: k.clock.now})
	t.Cleanup(func() { k.View.Close() })
	k.caughtUp()
	return k
}

func (k *viewKit) ctx() context.Context { return k.t.Context() }

// caughtUp waits until the view has heard of every change.
func (k *viewKit) caughtUp() {
	k.t.Helper()
	head := must(k.store.Head(k.ctx()))
	storetest.Poll(k.t, 30*time.Second, "the view to hear of all changes", func() bool {
		stats := k.Stats()
		return stats.Heard && stats.Seq >= head.Seq
	})
}

func (k *viewKit) key() (keystore.Key, string) {
	k.t.Helper()
	key, secret, err := k.other.CreateKey(k.ctx(), by, keystore.Key{DeploymentID: "dep1", Name: "k"})
	if err != nil {
		k.t.Fatal(err)
	}
	k.caughtUp()
	return key, secret.Reveal()
}

// wantKey asks for a key: for nil it has to be there.
func (k *viewKit) wantKey(id string, want error) {
	k.t.Helper()
	key, err := k.Key(k.ctx(), id, maxAge)
	failIf(k.t, (want == nil) != (err == nil) || !errors.Is(err, want) || (err == nil && key.ID != id), "key %v, error %v, want error %v", key, err, want)
}

// wantReads wants so many reads of the store from what do does.
func (k *viewKit) wantReads(want int64, do func()) {
	k.t.Helper()
	before := k.store.gets.Load()
	do()
	if got := k.store.gets.Load() - before; got != want {
		k.t.Errorf("the store was asked %d times, want %d", got, want)
	}
}

// holdRead asks for a key, and holds the read of the store back when it has its answer, until goOn
// is closed.
func (k *viewKit) holdRead(ctx context.Context, id string) (goOn chan struct{}, answered chan error) {
	return k.hold("key/"+id, func() error {
		_, err := k.Key(ctx, id, maxAge)
		return err
	})
}

// hold is holdRead of any record, for whatever asks for it.
func (k *viewKit) hold(record string, ask func() error) (goOn chan struct{}, answered chan error) {
	goOn, answered = make(chan struct{}), make(chan error, 1)
	read := make(chan struct{})
	var held atomic.Bool
	hook := func(name string) {
		if name == record && held.CompareAndSwap(false, true) {
			close(read)
			<-goOn
		}
	}
	k.store.onGet.Store(&hook)
	go func() { answered <- ask() }()
	<-read
	return goOn, answered
}
