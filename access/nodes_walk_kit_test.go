package access

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// A walkDatabase is the store that the nodes of a walk share. It knows what was really changed and when, whatever the nodes
// were told of it.
type walkDatabase struct {
	keystore.Store
	mu      sync.Mutex
	changes []walkChange
}

// A walkChange is a change that was made.
type walkChange struct {
	keystore.Event
	at  time.Time
	seq uint64
}

func (d *walkDatabase) Apply(ctx context.Context, change keystore.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.Store.Apply(ctx, change); err != nil {
		return err
	}
	if len(change.Event) == 0 {
		return nil
	}
	event, err := keystore.DecodeEvent(change.Event)
	if err != nil {
		return err
	}
	head, err := d.Head(ctx)
	if err != nil {
		return err
	}
	d.changes = append(d.changes, walkChange{event, time.Now(), head.Seq})
	return nil
}

// made are the changes so far.
func (d *walkDatabase) made() []walkChange {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes[:len(d.changes):len(d.changes)]
}

// A lane is a kind of calls of a store, which may fare differently from the others.
type lane int

const (
	logLane lane = iota
	readLane
	writeLane
	lanes
)

// A condition is how calls fare.
type condition struct {
	Before time.Duration // until the call is with the database
	After  time.Duration // until its answer is with the node
	Cut    bool          // it does not come to the database
	Lost   bool          // it comes there, and the answer is lost
	Deaf   bool          // the node waits for the answer, whatever its deadline: a process that stands still does
}

// A link is a node's way to the database.
type link struct {
	*walkDatabase
	mu         sync.Mutex
	conditions [lanes]condition
	gap        bool // the next read of the log says that entries are gone
}

func (l *link) set(lane lane, c condition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conditions[lane] = c
}

func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conditions = [lanes]condition{}
}

// cross makes a call by way of a link. What was sent is done, whether or not somebody still waits for it.
func cross[T any](ctx context.Context, l *link, lane lane, call func(context.Context) (T, error)) (T, error) {
	l.mu.Lock()
	c := l.conditions[lane]
	l.mu.Unlock()
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		time.Sleep(c.Before)
		if c.Cut {
			answered <- answer{err: fmt.Errorf("%w: cut", keystore.ErrUnavailable)}
			return
		}
		value, err := call(context.WithoutCancel(ctx))
		time.Sleep(c.After)
		if c.Lost {
			answered <- answer{err: fmt.Errorf("%w: lost", keystore.ErrUnavailable)}
			return
		}
		answered <- answer{value, err}
	}()
	late := ctx.Done()
	if c.Deaf {
		late = nil
	}
	select {
	case a := <-answered:
		return a.value, a.err
	case <-late:
		var none T
		return none, fmt.Errorf("%w: %w", keystore.ErrUnavailable, ctx.Err())
	}
}

func (l *link) Get(ctx context.Context, names ...string) ([][]byte, error) {
	return cross(ctx, l, readLane, func(ctx context.Context) ([][]byte, error) { return l.walkDatabase.Get(ctx, names...) })
}

func (l *link) Members(ctx context.Context, index, after string, limit int) ([]string, error) {
	return cross(ctx, l, readLane, func(ctx context.Context) ([]string, error) {
		return l.walkDatabase.Members(ctx, index, after, limit)
	})
}

func (l *link) Sizes(ctx context.Context, indexes ...string) ([]int64, error) {
	return cross(ctx, l, readLane, func(ctx context.Context) ([]int64, error) { return l.walkDatabase.Sizes(ctx, indexes...) })
}

func (l *link) Time(ctx context.Context) (time.Time, error) {
	return cross(ctx, l, readLane, l.walkDatabase.Time)
}

func (l *link) Apply(ctx context.Context, change keystore.Change) error {
	_, err := cross(ctx, l, writeLane, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, l.walkDatabase.Apply(ctx, change)
	})
	return err
}

func (l *link) Head(ctx context.Context) (keystore.Position, error) {
	return cross(ctx, l, logLane, l.walkDatabase.Head)
}

func (l *link) Next(ctx context.Context, after keystore.Position, wait time.Duration) ([]keystore.LogEntry, keystore.Position, error) {
	l.mu.Lock()
	gap := l.gap
	l.gap = false
	l.mu.Unlock()
	if gap {
		return nil, after, fmt.Errorf("%w: trimmed", keystore.ErrLogGap)
	}
	type answer struct {
		entries []keystore.LogEntry
		next    keystore.Position
	}
	a, err := cross(ctx, l, logLane, func(ctx context.Context) (answer, error) {
		entries, next, err := l.walkDatabase.Next(ctx, after, wait)
		return answer{entries, next}, err
	})
	if err != nil {
		return nil, after, err
	}
	return a.entries, a.next, nil
}

// Close leaves the database to the other nodes.
func (l *link) Close() error { return nil }

// A walkNode is a gateway as far as it decides on credentials.
type walkNode struct {
	*Authority
	name  string
	link  *link
	node  *node.Node
	heard uint64 // the newest change that it has ever heard of by the log, as far as somebody looked
}

func newWalkNode(t testing.TB, name string, database *walkDatabase, maxStaleness time.Duration) *walkNode {
	t.Helper()
	l := &link{walkDatabase: database}
	handle := node.NewHandle()
	authority, err := New(Options{
		Node: handle, Issuer: "https://auth.example.com", Audiences: []string{"astronomer-ee"},
		TokenLifetime: 24 * time.Hour, UserTokenLifetime: 24 * time.Hour, MaxStaleness: maxStaleness,
	})
	if err != nil {
		t.Fatal(err)
	}
	n := node.New(l, []byte("a master secret of 32 bytes or so"), nil)
	handle.Use(n, func() { _ = n.Destruct() })
	if err := n.Maintain(context.Background(), keystore.SigningPolicy{Algorithm: string(token.EdDSA), TokenLifetime: 24 * time.Hour, RotateEvery: 30 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	return &walkNode{Authority: authority, name: name, link: l, node: n}
}

func (n *walkNode) close() {
	n.link.heal()
	n.Node.Close(true)
	n.Close()
}
