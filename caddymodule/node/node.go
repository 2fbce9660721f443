// Package node is what this process keeps of one open store: the store itself, what is known of its keys (the
// view), the signing keys, what is still to be written to the audit log, and when keys were last used.
//
// It outlives a configuration: at a reload the next configuration takes over the node of the store that both name.
// So it keeps no logger, no context and no option of any configuration, and cannot name what they are made of.
// It knows no HTTP.
package node

import (
	"context"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

// appName is the name of the gateway in Caddy's log, and of its directory in Caddy's data directory.
const appName = "deployment_keys"

// A Node is an open store and what this process knows of it. It is safe for concurrent use.
type Node struct {
	Keys *keystore.Keystore // changes, and what is read for administrators
	View *keystore.View     // what requests ask

	store   keystore.Store
	signing signing
	auditor *auditor
	uses    *keyUses
}

// New begins to follow the changes of a store under a master secret, until Destruct. onChange, which may be nil, is
// called after each change that is made here, and must return at once. See [Handle.Open] for how gateways open one.
func New(store keystore.Store, master []byte, onChange func(keystore.Event)) *Node {
	store = timed(store, &metrics.store)
	keys := keystore.New(store, master)
	if onChange != nil {
		keys.OnChange(onChange)
	}
	auditor := newAuditor()
	view := keystore.NewView(keys, keystore.ViewOptions{Report: reportFollowing, Heard: auditor.heard})
	auditor.keys, auditor.view = keys, view
	go auditor.run()
	n := &Node{store: store, Keys: keys, View: view, auditor: auditor, uses: newKeyUses(keys)}
	n.signing = signing{keys: keys, view: view, now: time.Now}
	metrics.nodes.opened(n)
	return n
}

// Destruct ends a node with its last use. What it has still to write it writes at once, since each takes
// its time where the store does not answer.
func (n *Node) Destruct() error {
	var written sync.WaitGroup
	written.Go(n.auditor.close)
	written.Go(n.uses.close)
	written.Wait()
	n.View.Close()
	metrics.nodes.closed(n)
	return n.Keys.Close()
}

// Initialized reports whether the store has anything in it. Errors: [keystore.ErrUnavailable].
func (n *Node) Initialized(ctx context.Context) (bool, error) {
	return keystore.Initialized(ctx, n.store)
}

// Refused records a refusal in the audit log, at the next opportunity: no request waits for it.
func (n *Node) Refused(refused Refusal) { n.auditor.refused(refused) }

// reportFollowing logs to the logger of the process.
func reportFollowing(err error) {
	caddy.Log().Named(appName).Warn("the change log cannot be followed; requests go on from what is known until that is too old", zap.Error(err))
}
