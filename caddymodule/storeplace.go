package caddymodule

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
)

// A storePlace is where keys are kept and the master secret for it, found in the configuration
// but not touched yet.
type storePlace struct {
	redis     string // its URL; "" is the embedded store
	replicas  int    // of Redis, that must have a change
	master    []byte // empty: the one in the data directory
	directory string // of the embedded store
}

const (
	storeFile  = "keys.db"
	secretFile = "secret"

	// minSecretLength is 32 characters: 128 bits even of hexadecimal digits.
	minSecretLength = 32
	howToMakeSecret = "make one with: openssl rand -base64 32"
)

// findStore resolves the placeholders of redis and secret. It opens nothing.
func (a *App) findStore() (storePlace, error) {
	place := storePlace{directory: filepath.Join(caddy.AppDataDir(), appName)}
	repl := caddy.NewReplacer()
	if a.Redis != "" {
		address, err := repl.ReplaceOrErr(a.Redis, true, true)
		if err != nil {
			return place, fmt.Errorf("redis: %w", err)
		}
		if err := redisstore.CheckURL(address); err != nil {
			return place, err
		}
		place.redis, place.replicas = address, a.Replicas
	}
	if a.Secret == "" {
		if a.Redis != "" {
			return place, errors.New("redis needs a master secret that all nodes share: " + howToMakeSecret +
				" > /run/secrets/deployment_keys, and configure: secret {file./run/secrets/deployment_keys}")
		}
		return place, nil
	}
	if onePlaceholder.FindString(a.Secret) == "" {
		return place, errors.New("secret stands in the configuration, where /config/ and the autosave would show it: " +
			"put it into a file or a variable and configure {file./path/to/it} or {env.NAME}")
	}
	master, err := repl.ReplaceOrErr(a.Secret, true, true)
	if err != nil {
		return place, fmt.Errorf("secret: %w", err)
	}
	master = strings.TrimSpace(master)
	if len(master) < minSecretLength {
		return place, fmt.Errorf("secret: %s has %d characters, at least %d are needed; %s", a.Secret, len(master), minSecretLength, howToMakeSecret)
	}
	place.master = []byte(master)
	return place, nil
}

// remote reports whether others can be reached without the store, so that a gateway may start
// before it.
func (p storePlace) remote() bool { return p.redis != "" }

// nodes holds the open stores of this process. They outlive a configuration: at a reload the next
// one takes over the open store, which for an embedded one is the only way, and what is known of
// it.
var nodes = caddy.NewUsagePool()

// A node is an open store and what this process knows of it. It must not keep anything of the
// configuration that opened it.
type node struct {
	store   keystore.Store
	keys    *keystore.Keystore
	view    *keystore.View
	auditor *auditor
	uses    *keyUses
}

func newNode(store keystore.Store, master []byte) *node {
	store = timed(store, &metrics.store)
	keys := keystore.New(store, master)
	auditor := newAuditor()
	view := keystore.NewView(keys, keystore.ViewOptions{Report: reportFollowing, Heard: auditor.heard})
	auditor.keys, auditor.view = keys, view
	go auditor.run()
	n := &node{store: store, keys: keys, view: view, auditor: auditor, uses: newKeyUses(keys)}
	metrics.nodes.opened(n)
	return n
}

// Destruct ends a node with its last use. What it has still to write it writes at once, since each takes
// its time where the store does not answer.
func (n *node) Destruct() error {
	var written sync.WaitGroup
	written.Go(n.auditor.close)
	written.Go(n.uses.close)
	written.Wait()
	n.view.Close()
	metrics.nodes.closed(n)
	return n.keys.Close()
}

// reportFollowing logs to whatever is the logger of the process now.
func reportFollowing(err error) {
	caddy.Log().Named(appName).Warn("the change log cannot be followed; requests go on from what is known until that is too old", zap.Error(err))
}

// open returns the node of the place, and what gives it back. It is to be called once.
func (p storePlace) open(ctx context.Context) (*node, func(), error) {
	key := p.poolKey()
	pooled, shared, err := nodes.LoadOrNew(key, func() (caddy.Destructor, error) {
		if p.remote() {
			return p.openRedis()
		}
		return p.openEmbedded(ctx)
	})
	if err != nil {
		return nil, nil, err
	}
	release := func() { _, _ = nodes.Delete(key) }
	n := pooled.(*node)
	// An embedded store that was open already must open with this configuration's secret too, or
	// the next start of the process would fail.
	if shared && !p.remote() {
		if err := p.checkSecret(ctx, n); err != nil {
			release()
			return nil, nil, fmt.Errorf("embedded store %s: %w", p.file(), err)
		}
	}
	return n, release, nil
}

// poolKey tells one store from another. For Redis the secret is part of it: two configurations
// with different secrets are two keystores, of which the wrong one fails.
func (p storePlace) poolKey() string {
	if !p.remote() {
		return "embedded " + p.file()
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", p.redis, p.replicas, p.master))
	return "redis " + base64.StdEncoding.EncodeToString(digest[:])
}

func (p storePlace) file() string { return filepath.Join(p.directory, storeFile) }

func (p storePlace) openRedis() (caddy.Destructor, error) {
	store, err := redisstore.Open(redisstore.Options{URL: p.redis, Replicas: p.replicas})
	if err != nil {
		return nil, err
	}
	return newNode(store, p.master), nil
}

// openEmbedded opens the file first: whoever has it is the only process that may make a master
// secret for it.
func (p storePlace) openEmbedded(ctx context.Context) (caddy.Destructor, error) {
	store, err := boltstore.Open(p.file(), boltstore.Options{})
	if err != nil {
		return nil, err
	}
	master, err := p.embeddedSecret(ctx, store)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded store %s: %w%s", p.file(), err, p.interrupted()), store.Close())
	}
	n := newNode(store, master)
	if err := n.keys.Open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded store %s: %w%s", p.file(), err, p.interrupted()), n.Destruct())
	}
	return n, nil
}

// interrupted says what to do when a change of the master secret was not finished; "" is that none is
// under way.
func (p storePlace) interrupted() string {
	if _, err := os.Stat(filepath.Join(p.directory, pendingSecretFile)); err != nil {
		return ""
	}
	return "; a change of the master secret was interrupted: run caddy deployment-secret change again"
}

// embeddedSecret is the configured master secret, or the one beside the store.
func (p storePlace) embeddedSecret(ctx context.Context, store keystore.Store) ([]byte, error) {
	if len(p.master) > 0 {
		return p.master, nil
	}
	initialized, err := keystore.Initialized(ctx, store)
	if err != nil {
		return nil, err
	}
	return localSecret(filepath.Join(p.directory, secretFile), !initialized)
}

func (p storePlace) checkSecret(ctx context.Context, n *node) error {
	master, err := p.embeddedSecret(ctx, n.store)
	if err != nil {
		return err
	}
	return n.keys.Opens(ctx, master)
}

// localSecret reads the master secret of an embedded store. It makes one only for a store that
// is new: for another one it would be the wrong one, and hide that the right one is lost.
func localSecret(path string, make bool) ([]byte, error) {
	secret, err := os.ReadFile(path)
	switch {
	case err == nil && len(secret) == 0 && make:
		// An interrupted first start left the empty file: see writeNew. No other start runs, since the store is locked.
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("master secret: %w", err)
		}
	case err == nil:
		if secret := strings.TrimSpace(string(secret)); len(secret) >= minSecretLength {
			return []byte(secret), nil
		}
		return nil, fmt.Errorf("master secret %s: the file is cut off or not a secret; restore it", path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("master secret: %w", err)
	case !make:
		return nil, fmt.Errorf("master secret %s is missing, and nothing in the store can be read without it: restore it, "+
			"or configure secret if it was moved", path)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	text := base64.StdEncoding.EncodeToString(random[:])
	if err := writeNew(path, text+"\n"); err != nil {
		return nil, fmt.Errorf("master secret: %w", err)
	}
	return []byte(text), nil
}

// writeNew writes a file that only its owner may read, whole or not at all, also when the machine stops: a store must
// never be set up with a secret that is gone after. It never replaces a file. A crash can leave an empty one, which holds
// no secret.
func writeNew(path, content string) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	_, err = temporary.WriteString(content)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	// A rename replaces other files, and not every file system has hard links. So an empty file takes the name first.
	claim, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(claim.Close(), replaceSecret(temporary.Name(), path)); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
