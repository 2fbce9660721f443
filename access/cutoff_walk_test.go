package access

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/deploymentkeys/gateway/internal/propertytest"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/token"
)

// TestCutoffWalk revokes tokens of keys, of Deployments, of everybody, and single ones, in any order and by nodes whose
// clocks differ by days, and holds what is accepted against a model that numbers what was done: a token lives if it was
// issued after the latest of all revocations that are about it.
func TestCutoffWalk(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	propertytest.Check(t, func(rt *rapid.T) {
		file := filepath.Join(directory, "keys.db")
		defer os.Remove(file)
		propertytest.InBubble(t, func() {
			w := newCutoffWalk(t, rt, file)
			defer w.close()
			w.begins()
			rt.Repeat(w.actions())
		})
	})
}

// A cutoffWalk is a gateway, and in number what the newest step was: revocations and tokens are told by it.
type cutoffWalk struct {
	t        *rapid.T
	database *walkDatabase
	gateway  *walkNode
	other    *keystore.Keystore // of a node with another clock
	ahead    time.Duration      // of which it is
	number   int
	keys     []keystore.Key
	tokens   []*cutoffToken

	all        int
	deployment map[string]int
	key        map[string]int
	stamps     map[string]time.Time // of a Deployment: the latest of the times at which its tokens were revoked, by whichever clock
}

type cutoffToken struct {
	name, raw, jti string
	key            *keystore.Key // nil: of user bob, who is a member of all Deployments
	number         int
	issued         time.Time
	revoked        bool
}

func newCutoffWalk(t *testing.T, rt *rapid.T, file string) *cutoffWalk {
	store, err := boltstore.Open(file, boltstore.Options{})
	if err != nil {
		rt.Fatal(err)
	}
	database := &walkDatabase{Store: store}
	w := &cutoffWalk{
		t: rt, database: database, gateway: newWalkNode(t, "A", database, 10*time.Second),
		deployment: map[string]int{}, key: map[string]int{}, stamps: map[string]time.Time{},
	}
	w.other = keystore.New(database, []byte("a master secret of 32 bytes or so"))
	w.other.SetClock(func() time.Time { return time.Now().Add(w.ahead) })
	return w
}

// begins makes what there is at first.
func (w *cutoffWalk) begins() {
	for _, id := range walkDeployments {
		_, err := w.gateway.node.Keys.CreateDeployment(context.Background(), walkCaller, keystore.Deployment{ID: id, Name: id})
		w.must(err)
		_, err = w.gateway.node.Keys.PutMember(context.Background(), walkCaller, id, "bob", keystore.RoleEditor)
		w.must(err)
		for range 2 {
			key, _, err := w.gateway.node.Keys.CreateKey(context.Background(), walkCaller, keystore.Key{DeploymentID: id, Name: "k"})
			w.must(err)
			w.keys = append(w.keys, key)
		}
	}
}

var walkCaller = keystore.Caller{Name: "test"}

func (w *cutoffWalk) close() {
	w.gateway.close()
	w.must(w.database.Store.Close())
}

func (w *cutoffWalk) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

// revoker draws a node that is to revoke, and what its clock says.
func (w *cutoffWalk) revoker(rt *rapid.T) (*keystore.Keystore, time.Time) {
	w.number++
	if rapid.Bool().Draw(rt, "by the other node") {
		w.ahead = rapid.SampledFrom([]time.Duration{0, time.Second, 2 * time.Minute, 48 * time.Hour, -time.Second, -2 * time.Minute, -48 * time.Hour}).Draw(rt, "ahead")
		return w.other, time.Now().Add(w.ahead)
	}
	return w.gateway.node.Keys, time.Now()
}

func (w *cutoffWalk) anyKey(rt *rapid.T) *keystore.Key {
	return &w.keys[rapid.IntRange(0, len(w.keys)-1).Draw(rt, "key")]
}

func (w *cutoffWalk) actions() map[string]func(*rapid.T) {
	ctx := context.Background()
	issue := func(rt *rapid.T) {
		w.number++
		issued := &cutoffToken{name: fmt.Sprintf("token %d", len(w.tokens)), number: w.number, issued: time.Now()}
		var err error
		if rapid.IntRange(0, 2).Draw(rt, "of a user") == 0 {
			issued.raw, err = w.gateway.IssueForUser(ctx, "bob")
		} else {
			issued.key = w.anyKey(rt)
			current, readErr := w.gateway.node.View.Key(ctx, issued.key.ID, w.gateway.MaxStaleness)
			w.must(readErr)
			issued.raw, _, err = w.gateway.issue(ctx, current, "astronomer-ee", current.Scopes)
		}
		w.must(err)
		verified, refused := w.gateway.Verify(ctx, issued.raw)
		if refused != nil {
			rt.Fatal(refused)
		}
		issued.jti = verified.ID
		w.tokens = append(w.tokens, issued)
	}
	return map[string]func(*rapid.T){
		"issue": issue, "issue again": issue,
		"revoke tokens of key": func(rt *rapid.T) {
			key := w.anyKey(rt)
			keys, _ := w.revoker(rt)
			w.must(keys.RevokeKeyTokens(ctx, walkCaller, key.DeploymentID, key.ID))
			w.key[key.ID] = w.number
		},
		"rotate": func(rt *rapid.T) {
			key := w.anyKey(rt)
			keys, _ := w.revoker(rt)
			_, _, err := keys.RotateKey(ctx, walkCaller, key.DeploymentID, key.ID, keystore.KeyRotation{RevokeTokens: true})
			w.must(err)
			w.key[key.ID] = w.number
		},
		"revoke tokens of Deployment": func(rt *rapid.T) {
			id := rapid.SampledFrom(walkDeployments).Draw(rt, "Deployment")
			keys, now := w.revoker(rt)
			w.must(keys.RevokeDeploymentTokens(ctx, walkCaller, id))
			w.deployment[id] = w.number
			if now = now.Truncate(time.Second); now.After(w.stamps[id]) {
				w.stamps[id] = now
			}
		},
		"revoke all tokens": func(rt *rapid.T) {
			keys, _ := w.revoker(rt)
			w.must(keys.RevokeAllTokens(ctx, walkCaller))
			w.all = w.number
		},
		"revoke token": func(rt *rapid.T) {
			if len(w.tokens) == 0 {
				rt.Skip()
			}
			one := w.tokens[rapid.IntRange(0, len(w.tokens)-1).Draw(rt, "token")]
			w.must(w.gateway.RevokeToken(ctx, walkCaller, one.raw))
			one.revoked = true
		},
		"time passes": func(rt *rapid.T) {
			time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, 1500 * time.Millisecond, 20 * time.Second, 3 * time.Minute}).Draw(rt, "time"))
		},
		"": func(rt *rapid.T) {
			w.heard()
			for _, one := range w.tokens {
				for _, id := range walkDeployments {
					w.check(rt, one, id)
				}
			}
		},
	}
}

// heard waits until the gateway has heard of what the other node has done.
func (w *cutoffWalk) heard() {
	head, err := w.database.Head(context.Background())
	w.must(err)
	for w.gateway.node.View.Stats().Seq < head.Seq {
		time.Sleep(time.Millisecond) // in the bubble
	}
}

// check holds one token against the model, in a Deployment.
func (w *cutoffWalk) check(rt *rapid.T, one *cutoffToken, id string) {
	if time.Since(one.issued) > 24*time.Hour-time.Hour {
		return // it ends by itself
	}
	cutoff, why := w.all, "all"
	lives := !one.revoked
	if one.key != nil {
		if id != one.key.DeploymentID {
			return
		}
		if c := w.deployment[id]; c > cutoff {
			cutoff, why = c, "the Deployment"
		}
		if c := w.key[one.key.ID]; c > cutoff {
			cutoff, why = c, "the key"
		}
	} else if stamp := w.stamps[id]; !stamp.IsZero() && !one.issued.Truncate(time.Second).After(stamp.Add(token.DefaultLeeway)) {
		lives, why = false, "the Deployment, by time"
	}
	lives = lives && one.number > cutoff
	_, refused := w.gateway.identify(context.Background(), credential{bearer: one.raw}, id)
	switch {
	case refused != nil && refused.Code == CodeUnavailable:
		rt.Fatalf("%s of step %d: %v", one.name, one.number, refused)
	case lives && refused != nil:
		rt.Fatalf("%s of step %d is refused, and the latest cutoff is that of step %d, of %s: %v", one.name, one.number, cutoff, why, refused)
	case !lives && refused == nil:
		rt.Fatalf("%s of step %d is accepted in %s; it was revoked: %t, and the latest cutoff is that of step %d, of %s",
			one.name, one.number, id, one.revoked, cutoff, why)
	}
}
