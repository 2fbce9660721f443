package node

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
)

// A Place is where a store is and the master secret for it. Nothing of it is touched before it is opened.
type Place struct {
	Redis     string // URL of Redis; "" is the embedded store
	Replicas  int    // of Redis, that must have a change before it counts as made
	Master    []byte // the master secret; empty: the one in the directory of the embedded store
	Directory string // of the embedded store; see [DefaultDirectory]
}

// DefaultDirectory returns the directory of the embedded store: deployment_keys in Caddy's data directory.
func DefaultDirectory() string { return filepath.Join(caddy.AppDataDir(), appName) }

const storeFile = "keys.db"

// Remote reports whether the store is on the network, so that a gateway may start before it.
func (p Place) Remote() bool { return p.Redis != "" }

// pool holds the open stores of this process. They outlive a configuration: at a reload the next
// one takes over the open store, which for an embedded one is the only way, and what is known of
// it.
var pool = caddy.NewUsagePool()

// open returns the node of the place, and what gives it back. It is to be called once.
func (p Place) open(ctx context.Context, onChange func(keystore.Event)) (*Node, func(), error) {
	key := p.poolKey()
	pooled, shared, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		if p.Remote() {
			return p.openRedis(onChange)
		}
		return p.openEmbedded(ctx, onChange)
	})
	if err != nil {
		return nil, nil, err
	}
	release := func() { _, _ = pool.Delete(key) }
	n := pooled.(*Node)
	// An embedded store that was open already must open with this configuration's secret too, or
	// the next start of the process would fail.
	if shared && !p.Remote() {
		if err := p.checkSecret(ctx, n); err != nil {
			release()
			return nil, nil, fmt.Errorf("embedded store %s: %w", p.file(), err)
		}
	}
	return n, release, nil
}

// poolKey tells one store from another. For Redis the secret is part of it: two configurations
// with different secrets are two keystores, of which the wrong one fails.
func (p Place) poolKey() string {
	if !p.Remote() {
		return "embedded " + p.file()
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", p.Redis, p.Replicas, p.Master))
	return "redis " + base64.StdEncoding.EncodeToString(digest[:])
}

func (p Place) file() string { return filepath.Join(p.Directory, storeFile) }

func (p Place) openRedis(onChange func(keystore.Event)) (caddy.Destructor, error) {
	store, err := redisstore.Open(redisstore.Options{URL: p.Redis, Replicas: p.Replicas})
	if err != nil {
		return nil, err
	}
	return New(store, p.Master, onChange), nil
}

// openEmbedded opens the file first: whoever has it is the only process that may make a master
// secret for it.
func (p Place) openEmbedded(ctx context.Context, onChange func(keystore.Event)) (caddy.Destructor, error) {
	store, err := boltstore.Open(p.file(), boltstore.Options{})
	if err != nil {
		return nil, err
	}
	master, err := p.embeddedSecret(ctx, store)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded store %s: %w%s", p.file(), err, p.interrupted()), store.Close())
	}
	n := New(store, master, onChange)
	if err := n.Keys.Open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded store %s: %w%s", p.file(), err, p.interrupted()), n.Destruct())
	}
	return n, nil
}

// interrupted says what to do when a change of the master secret was not finished; "" is that none is
// under way.
func (p Place) interrupted() string {
	if _, err := os.Stat(filepath.Join(p.Directory, pendingSecretFile)); err != nil {
		return ""
	}
	return "; a change of the master secret was interrupted: run caddy deployment-secret change again"
}

// embeddedSecret is the configured master secret, or the one beside the store.
func (p Place) embeddedSecret(ctx context.Context, store keystore.Store) ([]byte, error) {
	if len(p.Master) > 0 {
		return p.Master, nil
	}
	initialized, err := keystore.Initialized(ctx, store)
	if err != nil {
		return nil, err
	}
	return localSecret(filepath.Join(p.Directory, secretFile), !initialized)
}

func (p Place) checkSecret(ctx context.Context, n *Node) error {
	master, err := p.embeddedSecret(ctx, n.store)
	if err != nil {
		return err
	}
	return n.Keys.Opens(ctx, master)
}
