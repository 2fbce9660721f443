package access

import (
	"context"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/deploymentkeys/gateway/keystore"
)

// delay is of a size that makes a difference: to a read, to a change, to the follower, to max_staleness.
func (w *nodesWalk) delay(rt *rapid.T, what string) time.Duration {
	return rapid.SampledFrom([]time.Duration{
		0, 0, time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond, 800 * time.Millisecond, 1200 * time.Millisecond, 3 * time.Second,
		w.maxStaleness - time.Millisecond, w.maxStaleness, w.maxStaleness + time.Millisecond, 2 * w.maxStaleness,
	}).Draw(rt, what)
}

func (w *nodesWalk) actions() map[string]func(*rapid.T) {
	deployment := func(rt *rapid.T) string { return rapid.SampledFrom(walkDeployments).Draw(rt, "Deployment") }
	user := func(rt *rapid.T) string { return rapid.SampledFrom(walkUsers).Draw(rt, "user") }
	actions := map[string]func(*rapid.T){
		"create Deployment": func(rt *rapid.T) {
			node, id := w.node(rt), deployment(rt)
			w.begin(node, func(ctx context.Context, by keystore.Caller) error {
				_, err := node.node.Keys.CreateDeployment(ctx, by, keystore.Deployment{ID: id, Name: id})
				return err
			})
		},
		"delete Deployment": func(rt *rapid.T) {
			node, id := w.node(rt), deployment(rt)
			w.begin(node, func(ctx context.Context, by keystore.Caller) error {
				return node.node.Keys.DeleteDeployment(ctx, by, id)
			})
		},
		"create key": func(rt *rapid.T) { w.createKey(w.node(rt), deployment(rt)) },
		"rotate": func(rt *rapid.T) {
			node, c := w.node(rt), w.one(rt, isSecret)
			how := keystore.KeyRotation{Overlap: w.delay(rt, "overlap"), RevokeTokens: rapid.Bool().Draw(rt, "revoke_tokens")}
			began := time.Now()
			w.begin(node, func(ctx context.Context, by keystore.Caller) error {
				_, secret, err := node.node.Keys.RotateKey(ctx, by, c.deployment, c.key, how)
				if err == nil {
					w.add(&walkCredential{
						name: "secret", deployment: c.deployment, key: c.key, secret: secret.Reveal(),
						began: began, made: time.Now(), seq: w.seqOf(by),
					})
				}
				return err
			})
		},
		"revoke tokens of key": func(rt *rapid.T) {
			node, c := w.node(rt), w.one(rt, isSecret)
			w.begin(node, func(ctx context.Context, by keystore.Caller) error {
				return node.node.Keys.RevokeKeyTokens(ctx, by, c.deployment, c.key)
			})
		},
		"revoke tokens of Deployment": func(rt *rapid.T) {
			node, id := w.node(rt), deployment(rt)
			w.begin(node, func(ctx context.Context, by keystore.Caller) error {
				return node.node.Keys.RevokeDeploymentTokens(ctx, by, id)
			})
		},
		"revoke all tokens": func(rt *rapid.T) {
			node := w.node(rt)
			w.begin(node, node.node.Keys.RevokeAllTokens)
		},
		"revoke token": func(rt *rapid.T) {
			node, c := w.node(rt), w.one(rt, isToken)
			w.begin(node, func(ctx context.Context, by keystore.Caller) error { return node.RevokeToken(ctx, by, c.raw) })
		},
		"put member": func(rt *rapid.T) {
			node, id, name := w.node(rt), deployment(rt), user(rt)
			w.begin(node, func(ctx context.Context, by keystore.Caller) error {
				_, err := node.node.Keys.PutMember(ctx, by, id, name, keystore.RoleEditor)
				return err
			})
		},
		"delete member": func(rt *rapid.T) {
			node, id, name := w.node(rt), deployment(rt), user(rt)
			w.begin(node, func(ctx context.Context, by keystore.Caller) error {
				return node.node.Keys.DeleteMember(ctx, by, id, name)
			})
		},
		"get user's token": func(rt *rapid.T) { w.userToken(w.node(rt), user(rt), deployment(rt)) },
		"gap in the log": func(rt *rapid.T) {
			node := w.node(rt)
			node.link.mu.Lock()
			defer node.link.mu.Unlock()
			node.link.gap = true
		},
		"heal": func(rt *rapid.T) { w.node(rt).link.heal() },
		"":     w.check,
	}
	// Those without which the others show nothing come more often.
	for i := range 3 {
		actions[fmt.Sprintf("delete key %d", i)] = func(rt *rapid.T) {
			node, c := w.node(rt), w.one(rt, isSecret)
			w.begin(node, func(ctx context.Context, by keystore.Caller) error {
				return node.node.Keys.DeleteKey(ctx, by, c.deployment, c.key)
			})
		}
		actions[fmt.Sprintf("hears nothing %d", i)] = func(rt *rapid.T) { w.node(rt).link.set(logLane, condition{Cut: true}) }
		actions[fmt.Sprintf("fault %d", i)] = func(rt *rapid.T) {
			node := w.node(rt)
			node.link.set(lane(rapid.IntRange(0, int(lanes)-1).Draw(rt, "lane")), condition{
				Before: w.delay(rt, "before"), After: w.delay(rt, "after"),
				Cut:  rapid.IntRange(0, 3).Draw(rt, "cut") == 3,
				Lost: rapid.IntRange(0, 3).Draw(rt, "lost") == 3,
				Deaf: rapid.IntRange(0, 3).Draw(rt, "deaf") == 3,
			})
		}
		// What a process asked for before it stood still comes late, and it looks at no deadline before that.
		actions[fmt.Sprintf("stands still %d", i)] = func(rt *rapid.T) {
			node, after := w.node(rt), w.delay(rt, "after")
			for lane := range lanes {
				node.link.set(lane, condition{After: after, Deaf: true})
			}
		}
		actions[fmt.Sprintf("exchange %d", i)] = func(rt *rapid.T) { w.exchange(w.node(rt), w.one(rt, isSecret)) }
		actions[fmt.Sprintf("ask %d", i)] = func(rt *rapid.T) {
			w.ask(w.node(rt), w.one(rt, func(*walkCredential) bool { return true }), (*question).wrong)
		}
		actions[fmt.Sprintf("ask all %d", i)] = func(*rapid.T) { w.askAll((*question).wrong) }
		actions[fmt.Sprintf("time passes %d", i)] = func(rt *rapid.T) {
			time.Sleep(w.delay(rt, "time"))
			w.askAll((*question).wrong)
		}
	}
	return actions
}
