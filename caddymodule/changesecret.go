package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
)

// pendingSecretFile is the new master secret of an embedded store, beside the present one, while it
// is being changed. It is there before the store has it, so that at no moment the store has a secret
// that is in no file.
const pendingSecretFile = secretFile + ".new"

// ChangeSecret gives the store of a configuration another master secret. The configuration is Caddy's
// JSON; redis and secret are found in it as a gateway finds them, and secret has to be the present
// one. White space around the new secret is no part of it. next says what the operator has to do
// after; neither it nor an error holds a secret.
//
// Keys, tokens and signing keys stay as they are: the secret only seals the key under which all else
// is protected. Gateways that have the store open go on, but no gateway starts with the old secret
// any more.
//
// An embedded store must not be open in a gateway. Where its secret is the one in the data directory,
// that is changed too. Whenever this is interrupted, it can be called again with the same new secret,
// and finishes. Errors: [keystore.ErrWrongSecret] when the configured secret is not the store's,
// [keystore.ErrUnavailable].
func ChangeSecret(ctx context.Context, config, newSecret []byte) (next string, err error) {
	newSecret = bytes.TrimSpace(newSecret)
	if len(newSecret) < minSecretLength {
		return "", fmt.Errorf("the new secret has %d characters, at least %d are needed; %s", len(newSecret), minSecretLength, howToMakeSecret)
	}
	app, err := configuredApp(config)
	if err != nil {
		return "", err
	}
	place, err := app.findStore()
	if err != nil {
		return "", err
	}
	change := secretChange{place: place, app: app, after: newSecret}
	if place.remote() {
		return change.inRedis(ctx)
	}
	return change.embedded(ctx)
}

// configuredApp is the app of a configuration in Caddy's JSON, not provisioned. A configuration with
// handlers and no app has one with the defaults.
func configuredApp(config []byte) (*App, error) {
	var parts struct {
		Apps map[string]json.RawMessage `json:"apps"`
	}
	if err := json.Unmarshal(config, &parts); err != nil {
		return nil, fmt.Errorf("the configuration: %w", err)
	}
	app := new(App)
	if raw, ok := parts.Apps[appName]; ok {
		if err := caddy.StrictUnmarshalJSON(raw, app); err != nil {
			return nil, fmt.Errorf("the configuration: app %s: %w", appName, err)
		}
		return app, nil
	}
	for _, raw := range parts.Apps {
		var value any
		if err := json.Unmarshal(raw, &value); err == nil && hasHandler(value) {
			return app, nil
		}
	}
	return nil, fmt.Errorf("the configuration has no %s: is it the gateway's?", appName)
}

// hasHandler reports whether a handler of the gateway, whose names all begin with deployment_, is anywhere in a piece of
// configuration.
func hasHandler(value any) bool {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			if hasHandler(element) {
				return true
			}
		}
	case map[string]any:
		if name, _ := value["handler"].(string); strings.HasPrefix(name, "deployment_") {
			return true
		}
		for _, member := range value {
			if hasHandler(member) {
				return true
			}
		}
	}
	return false
}

// A secretChange is one call of ChangeSecret.
type secretChange struct {
	app   *App
	place storePlace
	after []byte // the new secret
}

// secretChanger is who makes the change: whoever may start the command has the store's secret.
var secretChanger = keystore.Caller{Name: "admin", Via: keystore.ViaCommand}

func (s secretChange) inRedis(ctx context.Context) (string, error) {
	store, err := redisstore.Open(redisstore.Options{URL: s.place.redis, Replicas: s.place.replicas})
	if err != nil {
		return "", err
	}
	defer func() { _ = store.Close() }() // a change is made when it is answered
	if err := checkSetUp(ctx, store); err != nil {
		return "", err
	}
	done, err := s.reseal(ctx, store, s.place.master)
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", s.app.Secret, err)
	}
	return done + " Gateways that run go on. Now put the new secret where every gateway's configuration has it from, " + s.app.Secret +
		", before any of them is restarted; then restart each, or reload it with caddy reload --force.", nil
}

func (s secretChange) embedded(ctx context.Context) (string, error) {
	// To open a store makes one where there is none, and then all would seem to be well.
	if _, err := os.Stat(s.place.file()); err != nil {
		return "", fmt.Errorf("embedded store: %w; run this as the gateway's user and with its environment, so that the data directory is the gateway's", err)
	}
	store, err := boltstore.Open(s.place.file(), boltstore.Options{})
	if err != nil {
		return "", fmt.Errorf("%w; a gateway that uses it has to be stopped first, and started again after", err)
	}
	defer func() { _ = store.Close() }()
	if err := checkSetUp(ctx, store); err != nil {
		return "", fmt.Errorf("embedded store %s: %w", s.place.file(), err)
	}
	if len(s.place.master) == 0 {
		return s.local(ctx, store)
	}
	done, err := s.reseal(ctx, store, s.place.master)
	if err != nil {
		return "", fmt.Errorf("embedded store %s: secret %s: %w", s.place.file(), s.app.Secret, err)
	}
	return done + " Now put the new secret where the gateway's configuration has it from, " + s.app.Secret + ", and start the gateway.", nil
}

// local changes the secret in the data directory too. It writes the new one beside the present one,
// changes the store, and puts the new one in the place of the other: of the two files, one always has
// the secret of the store. What an interrupted call has left is finished first.
func (s secretChange) local(ctx context.Context, store keystore.Store) (next string, err error) {
	path, pending := filepath.Join(s.place.directory, secretFile), filepath.Join(s.place.directory, pendingSecretFile)
	defer func() {
		if err != nil {
			err = fmt.Errorf("embedded store %s: %w", s.place.file(), err)
		}
	}()
	status := unchangedStore
	before, err := localSecret(path, false)
	if err == nil {
		err = opens(ctx, store, before)
	}
	if errors.Is(err, keystore.ErrUnavailable) {
		return "", err
	}
	if err != nil {
		left, unread := localSecret(pending, false)
		if unread != nil || opens(ctx, store, left) != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		if err := replaceSecret(pending, path); err != nil {
			return "", err
		}
		before, status = left, changedStore
	}
	const done = " The new secret is in the gateway's data directory. Start the gateway, and back that directory up: older copies need the old secret."
	if bytes.Equal(before, s.after) {
		// What is left of a call with yet another secret, which did not come to changing the store.
		if err := os.Remove(pending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return status + done, nil
	}
	if err := writePending(pending, path, s.after); err != nil {
		return "", err
	}
	changed, err := s.reseal(ctx, store, before)
	if err != nil {
		return "", err // the files are as they should be if this is called again, whether it was made or not
	}
	if err := replaceSecret(pending, path); err != nil {
		return "", fmt.Errorf("the store has the new secret, and the file of it could not be put in place, run this again: %w", err)
	}
	return changed + done, nil
}

const (
	changedStore   = "The store has the new secret."
	unchangedStore = "The store has this secret already; nothing was changed."
)

// reseal gives the store the new secret and says whether it had it already: a second call, after one
// whose answer was lost, is no error.
func (s secretChange) reseal(ctx context.Context, store keystore.Store, before []byte) (string, error) {
	err := opens(ctx, store, before)
	if errors.Is(err, keystore.ErrWrongSecret) || bytes.Equal(before, s.after) {
		if opens(ctx, store, s.after) == nil {
			return unchangedStore, nil
		}
	}
	if err != nil {
		return "", err
	}
	return changedStore, keystore.New(store, before).ChangeMaster(ctx, secretChanger, s.after)
}

// checkSetUp refuses an empty store. To open it would set it up, and hide that it is not the one that
// was meant.
func checkSetUp(ctx context.Context, store keystore.Store) error {
	initialized, err := keystore.Initialized(ctx, store)
	if err == nil && !initialized {
		err = errors.New("the store is empty, there is no secret to change: is it the gateway's? A new one is set up at the first start, with the secret that is configured then")
	}
	return err
}

// opens is nil if that is the master secret of a store, which has been set up.
func opens(ctx context.Context, store keystore.Store, master []byte) error {
	return keystore.New(store, master).Open(ctx)
}

// writePending writes the new secret to a file of its own, whole or not at all. One that is there is
// of a call that did not change the store, and of no use any more.
func writePending(path, present string, secret []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeNew(path, string(secret)+"\n"); err != nil {
		return fmt.Errorf("new master secret: %w", err)
	}
	// Started by root, it must not leave a file that the gateway cannot read.
	if err := sameOwner(path, present); err != nil {
		return errors.Join(fmt.Errorf("new master secret: %w", err), os.Remove(path))
	}
	return nil
}

// replaceSecret puts the new secret in the place of the other, for good also when the machine stops.
func replaceSecret(pending, path string) error {
	if err := os.Rename(pending, path); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
