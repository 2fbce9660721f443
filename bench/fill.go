package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/deploymentkeys/gateway/keystore"
)

// How a store is filled.
const (
	keysOfDeployment = 10_000 // at most: a tenth of what a Deployment may have
	keysAtOnce       = 500    // that one step of the store makes
	makersAtOnce     = 4      // some make keys while others wait for the store
)

// A storedKey is a key that lies in a filled store.
type storedKey struct {
	key
	deployment string
}

// fillStore makes keys in a store as the gateway makes them, in Deployments that were not there, and returns some of them
// that lie apart, beginning with the first. Each has its own secret, hash and record, so that a gateway on that store works
// with every one of them. What is left out is the event of each, since nobody has to hear of them yet; and one step of the
// store makes some hundred keys, which is what makes it fast.
//
// Errors: what the store says; [keystore.ErrExists] where it was filled before.
func fillStore(ctx context.Context, store keystore.Store, master string, total, wanted int) ([]storedKey, error) {
	if wanted < 1 || wanted > total {
		return nil, fmt.Errorf("%d of %d keys are wanted: use 1 to all of them", wanted, total)
	}
	deployments, err := fillDeployments(ctx, keystore.New(store, []byte(master)), (total+keysOfDeployment-1)/keysOfDeployment)
	if err != nil {
		return nil, err
	}
	some := make([]storedKey, wanted)
	makers, ctx := errgroup.WithContext(ctx)
	makers.SetLimit(makersAtOnce)
	for d, id := range deployments {
		makers.Go(func() error {
			gathered := &gathering{Store: store}
			keys := keystore.New(gathered, []byte(master))
			for i := d * keysOfDeployment; i < min(total, (d+1)*keysOfDeployment); i++ {
				made, secret, err := keys.CreateKey(ctx, filler, keystore.Key{DeploymentID: id, Name: "CI"})
				if err != nil {
					return fmt.Errorf("key %d of %d: %w", i+1, total, err)
				}
				// The share of all that comes before the next one that is wanted is rounded down.
				if next := (i*wanted + total - 1) / total; next < wanted && next*total/wanted == i {
					some[next] = storedKey{key{made.ID, secret.Reveal()}, id}
				}
			}
			return gathered.pass(ctx)
		})
	}
	if err := makers.Wait(); err != nil {
		return nil, err
	}
	return some, nil
}

// fillDeployments makes the Deployments that the keys will be of, and sets the store up where nobody has yet.
func fillDeployments(ctx context.Context, keys *keystore.Keystore, count int) ([]string, error) {
	ids := make([]string, count)
	for i := range ids {
		ids[i] = fmt.Sprintf("filled-%d", i)
		if _, err := keys.CreateDeployment(ctx, filler, keystore.Deployment{ID: ids[i], Name: ids[i]}); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// filler is who has made the keys.
var filler = keystore.Caller{Name: "bench"}

// A gathering is a store that does not make a change at once: it gathers some hundred, and makes them in one step. It is
// for one goroutine, and for changes none of which needs what another one does.
type gathering struct {
	keystore.Store

	change  keystore.Change
	changes int // that are in it
	demands map[demand]bool
}

// A demand is a condition that many of the changes have: the Deployment is there, and has room.
type demand struct {
	kind keystore.ConditionKind
	name string
}

// Apply implements [keystore.Store]. Whether the conditions hold is known when the step is made.
func (g *gathering) Apply(ctx context.Context, change keystore.Change) error {
	if g.demands == nil {
		g.demands = make(map[demand]bool)
	}
	for _, c := range change.Conditions {
		if d := (demand{c.Kind, c.Name}); !g.demands[d] {
			g.demands[d] = c.Kind != keystore.RecordAbsent // each of these is of one key
			g.change.Conditions = append(g.change.Conditions, c)
		}
	}
	g.change.Steps = append(g.change.Steps, change.Steps...)
	if g.changes++; g.changes < keysAtOnce {
		return nil
	}
	return g.pass(ctx)
}

// pass makes the step of all that is gathered, in the time that a change may take.
func (g *gathering) pass(ctx context.Context) error {
	if g.changes == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, keystore.ChangeTimeout)
	defer cancel()
	if err := g.Store.Apply(ctx, g.change); err != nil {
		return fmt.Errorf("a step that makes %d keys: %w", g.changes, err)
	}
	g.change, g.changes, g.demands = keystore.Change{}, 0, nil
	return nil
}

// twins is a store that makes each change in another one too: two stores with the same keys, for the work of one. Before
// they are filled, both are empty.
type twins struct {
	keystore.Store
	other keystore.Store
}

// Apply implements [keystore.Store].
func (t twins) Apply(ctx context.Context, change keystore.Change) error {
	if err := t.Store.Apply(ctx, change); err != nil {
		return err
	}
	return t.other.Apply(ctx, change)
}

// Interface guards
var (
	_ keystore.Store = (*gathering)(nil)
	_ keystore.Store = twins{}
)
