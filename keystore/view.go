package keystore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// A View is what one node knows of a [Keystore]: it answers from memory what requests ask again
// and again, and follows the change log to forget what has changed. It caches records, never
// decisions.
//
// How old its knowledge may be is said with each question. While the view hears from the log, its
// knowledge is as old as the last answer, a second or so at most; beyond the age that is asked
// for, it asks the store, and if that cannot be asked, the error wraps [ErrUnavailable].
type View struct {
	keystore *Keystore
	opts     ViewOptions

	keys        *viewCache[string, Key]
	members     *viewCache[memberID, Member]
	memberships *viewCache[string, memberships] // by user
	deployments *viewCache[string, Deployment]
	revoked     *viewCache[string, RevokedToken] // by jti
	cutoff      *viewCache[string, Cutoff]       // one, by cutoffRecord

	started     time.Time
	running     func() time.Duration // since started
	fresh       atomic.Int64         // all was known so many nanoseconds after started; 0 is never
	seq         atomic.Uint64
	signingKeys atomic.Uint64

	// Every question reads what is above and writes here: on one cache line, each core would wait for the
	// others' writes.
	_     [cacheLine]byte
	stats viewCounters

	cancel context.CancelFunc
	ended  chan struct{}
}

// ViewOptions are the settings of a [View].
type ViewOptions struct {
	// Size bounds how many keys, members, users, Deployments, and tokens of which it is known whether they were
	// revoked, are remembered, each. Default: [DefaultViewSize].
	Size int

	// Report is called with each fault of following the log, by one goroutine. Default: nothing.
	Report func(error)

	// Heard is called when the log has, or may have, entries that it had not, by the same goroutine. It
	// is not to wait for anything. Default: nothing.
	Heard func()

	// Now is the clock. Default: [time.Now].
	Now func() time.Time
}

// DefaultViewSize is how many keys a view remembers, at about 0.5 KB each.
const DefaultViewSize = 100_000

// cacheLine is at least what a processor shares between its cores at once, in bytes: 64, or 128 with some.
const cacheLine = 128

type viewCounters struct {
	hits, misses, events, gaps, followErrors atomic.Uint64
}

// NewView makes a view of a keystore and begins to follow its log, with one goroutine, until
// [View.Close]. What is changed through the same keystore is known before the change returns. A
// keystore has one view at most.
func NewView(keystore *Keystore, opts ViewOptions) *View {
	if opts.Size <= 0 {
		opts.Size = DefaultViewSize
	}
	if opts.Report == nil {
		opts.Report = func(error) {}
	}
	if opts.Heard == nil {
		opts.Heard = func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &View{
		keystore: keystore, opts: opts,
		keys:        newViewCache(opts.Size, keystore.keyWithoutTexts, deploymentOfKey),
		members:     newViewCache(opts.Size, keystore.memberOf, memberID.deploymentOf),
		memberships: newViewCache(opts.Size, keystore.membershipsOf, nil),
		deployments: newViewCache(opts.Size, keystore.deploymentWithoutTexts, nil),
		revoked:     newViewCache(opts.Size, keystore.revokedToken, nil),
		cutoff:      newViewCache(cutoffRoom, keystore.cutoffNamed, nil),
		cancel:      cancel, ended: make(chan struct{}),
	}
	v.startClock()
	keystore.view.Store(v)
	go func() {
		defer close(v.ended)
		v.follow(ctx)
	}()
	return v
}

// cutoffRoom is more than the one cutoff there is: only in a cache that is fuller than half is account kept of
// each read.
const cutoffRoom = 4

// startClock sets the clock of the view, so that no moment of it is 0. Each question asks how old the knowledge is:
// [time.Since] reads one clock for that, [time.Now] two.
func (v *View) startClock() {
	if now := v.opts.Now; now != nil {
		v.started = now().Add(-1)
		v.running = func() time.Duration { return now().Sub(v.started) }
		return
	}
	v.opts.Now = time.Now
	v.started = time.Now().Add(-1)
	v.running = func() time.Duration { return time.Since(v.started) }
}

// Close ends the view: it waits until nothing of it runs. The keystore stays open.
func (v *View) Close() {
	v.keystore.view.Store(nil)
	v.cancel()
	<-v.ended
	v.keys.close()
	v.members.close()
	v.memberships.close()
	v.deployments.close()
	v.revoked.close()
	v.cutoff.close()
}

// Key is [Keystore.Key] without the name and the description, from knowledge of at most maxAge. The key is shared by all who ask: it
// must not be changed.
func (v *View) Key(ctx context.Context, id string, maxAge time.Duration) (*Key, error) {
	if known, ok := remembered(v, v.keys, id, maxAge); ok {
		return known.value, known.err
	}
	// An ID that this store has not made is of no key, and never will be. Without that, anybody
	// could have the store asked for any number of keys that do not exist.
	vault, err := v.keystore.open(ctx)
	if err != nil {
		return nil, err
	}
	if !vault.madeKeyID(id) {
		return nil, notFound("key", id)
	}
	return ask(ctx, v, v.keys, id)
}

// Authenticate is [Keystore.Authenticate], from knowledge of at most maxAge. It also says whether it was
// the previous secret of the key.
func (v *View) Authenticate(ctx context.Context, id, secretText string, maxAge time.Duration) (_ *Key, isPrevious bool, _ error) {
	return v.keystore.authenticate(ctx, id, secretText, func(ctx context.Context, id string) (*Key, error) {
		return answer(ctx, v, v.keys, id, maxAge)
	})
}

// Member is [Keystore.Member], from knowledge of at most maxAge. The member is shared by all who
// ask: it must not be changed.
//
// A user's token is of no one Deployment, so its holder can name any. One entry per user says which are
// theirs: any other costs neither a read of the store nor an entry of its own.
func (v *View) Member(ctx context.Context, deploymentID, user string, maxAge time.Duration) (*Member, error) {
	id := memberID{deploymentID, user}
	if known, ok := remembered(v, v.members, id, maxAge); ok {
		return known.value, known.err
	}
	theirs, err := answer(ctx, v, v.memberships, user, maxAge)
	if err != nil {
		return nil, err
	}
	if !theirs.has(deploymentID) {
		return nil, notFound("member", user)
	}
	return ask(ctx, v, v.members, id)
}

// Deployment is [Keystore.Deployment] without the number of its keys, its name and its description, from
// knowledge of at most maxAge. It is shared by all who ask: it must not be changed.
func (v *View) Deployment(ctx context.Context, id string, maxAge time.Duration) (*Deployment, error) {
	return answer(ctx, v, v.deployments, id, maxAge)
}

// TokenRevoked is [Keystore.TokenRevoked], from knowledge of at most maxAge. The ID is to be that of a
// token whose signature is proven: anybody could make others up, and have the store asked for each.
func (v *View) TokenRevoked(ctx context.Context, id string, maxAge time.Duration) (bool, error) {
	if !isTokenID(id) {
		return false, nil
	}
	_, err := answer(ctx, v, v.revoked, id, maxAge)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Cutoff is [Keystore.Cutoff], from knowledge of at most maxAge. It is shared by all who ask: it must
// not be changed.
func (v *View) Cutoff(ctx context.Context, maxAge time.Duration) (*Cutoff, error) {
	return answer(ctx, v, v.cutoff, cutoffRecord, maxAge)
}

// answer is from memory while the view's knowledge is young enough, and from the store otherwise.
func answer[K comparable, V any](ctx context.Context, v *View, c *viewCache[K, V], name K, maxAge time.Duration) (*V, error) {
	if known, ok := remembered(v, c, name, maxAge); ok {
		return known.value, known.err
	}
	return ask(ctx, v, c, name)
}

// remembered is what is in memory, while the view's knowledge is young enough.
func remembered[K comparable, V any](v *View, c *viewCache[K, V], name K, maxAge time.Duration) (*cached[K, V], bool) {
	if age, heard := v.Age(); !heard || age > maxAge {
		return nil, false
	}
	known, ok := c.get(name)
	if ok {
		v.stats.hits.Add(1)
	}
	return known, ok
}

// ask is from the store.
func ask[K comparable, V any](ctx context.Context, v *View, c *viewCache[K, V], name K) (*V, error) {
	v.stats.misses.Add(1)
	return c.ask(ctx, name)
}

// Resize changes [ViewOptions].Size.
func (v *View) Resize(size int) {
	v.keys.resize(size)
	v.members.resize(size)
	v.memberships.resize(size)
	v.deployments.resize(size)
	v.revoked.resize(size)
}

// Age is how old the view's knowledge is; heard is false while it has heard nothing of the log,
// or has forgotten all, and knows nothing.
func (v *View) Age() (age time.Duration, heard bool) {
	fresh := v.fresh.Load()
	return v.running() - time.Duration(fresh), fresh > 0
}

// SigningKeysVersion changes whenever the signing keys may have changed.
func (v *View) SigningKeysVersion() uint64 { return v.signingKeys.Load() }

// ViewStats is what a view has done and what it holds.
type ViewStats struct {
	Hits, Misses uint64        // questions answered from memory, and from the store
	Events       uint64        // changes heard of through the log
	Gaps         uint64        // times that all was forgotten because the log had a gap
	FollowErrors uint64        // reads of the log that failed
	Seq          uint64        // number of the newest entry of the log that was heard of
	Age          time.Duration // of the knowledge; see Heard
	Heard        bool          // false: nothing is known
	Keys         int           // remembered, about
	Members      int           // remembered, about
	Deployments  int           // remembered, about
	Revoked      int           // tokens of which it is remembered whether they were revoked, about
}

// Stats are for metrics.
func (v *View) Stats() ViewStats {
	age, heard := v.Age()
	return ViewStats{
		Hits: v.stats.hits.Load(), Misses: v.stats.misses.Load(), Events: v.stats.events.Load(),
		Gaps: v.stats.gaps.Load(), FollowErrors: v.stats.followErrors.Load(),
		Seq: v.seq.Load(), Age: age, Heard: heard,
		Keys: v.keys.size(), Members: v.members.size(), Deployments: v.deployments.size(),
		Revoked: v.revoked.size(),
	}
}

// apply forgets what an event has made untrue.
func (v *View) apply(event Event) {
	switch event.Kind {
	case KeyCreated, KeyUpdated, KeyDeleted, KeyTokensRevoked, KeyRotated, KeyPreviousSecretEnded:
		v.keys.forget(event.Key)
	case MemberPut, MemberDeleted:
		v.members.forget(memberID{event.Deployment, event.User})
		v.memberships.forget(event.User)
	case DeploymentDeleted:
		// One that is made with the same ID later is another: what is known of the keys and the
		// members of this one must not be taken for theirs. That a key does not exist stays true: if it
		// were forgotten, the next request would tell by its time that the key was deleted.
		v.deployments.forget(event.Deployment)
		v.keys.forgetDeployment(event.Deployment)
		v.members.forgetDeployment(event.Deployment)
	case TokenRevoked:
		v.revoked.forget(event.Token)
		if event.Key != "" {
			v.keys.forget(event.Key) // it says whether its tokens need to be looked up
		}
	case TokensRevoked:
		v.cutoff.forget(cutoffRecord)
	case SigningKeyAdded, SigningKeyActivated, SigningKeyRemoved, SigningKeysReplaced:
		v.signingKeys.Add(1)
	case DeploymentCreated, DeploymentUpdated, DeploymentTokensRevoked:
		v.deployments.forget(event.Deployment)
	case StoreCreated, StoreSecretChanged:
		// Nothing that it could change was there; and what is known is not of the secret.
	default:
		// Of a newer version, and about anything.
		v.forgetAll()
	}
}

func (v *View) forgetAll() {
	v.keys.forgetAll()
	v.members.forgetAll()
	v.memberships.forgetAll()
	v.deployments.forgetAll()
	v.revoked.forgetAll()
	v.cutoff.forgetAll()
	v.signingKeys.Add(1)
}

// freshAsOf says that everything up to an entry of the log was applied, and that there was no
// later one at that moment.
func (v *View) freshAsOf(moment time.Time, seq uint64) {
	v.seq.Store(seq)
	v.fresh.Store(int64(moment.Sub(v.started)))
}

// unknown says that nothing is known any more.
func (v *View) unknown() { v.fresh.Store(0) }
