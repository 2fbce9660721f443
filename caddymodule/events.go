package caddymodule

import (
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
)

// What the gateway tells subscribers of Caddy's events app, with the module deployment_keys as the
// origin. No event holds a secret or a token.
//
// Changes are told by the node that made them, once, after the store has them, and in their order. Nobody who makes
// a change waits for subscribers: up to mostChangeEvents wait for them in a queue, beyond that they are lost, and the
// log says so. Refusals are told by the node that refused; see [refusalEvents].

const (
	mostChangeEvents = 1_000

	// flushTimeout bounds how long the end of a configuration waits for the subscribers of changes that were made.
	flushTimeout = 3 * time.Second
)

// changeNames are the names of events about changes.
var changeNames = map[keystore.EventKind]string{
	keystore.DeploymentCreated:       "deployment_created",
	keystore.DeploymentUpdated:       "deployment_updated",
	keystore.DeploymentDeleted:       "deployment_deleted",
	keystore.DeploymentTokensRevoked: "deployment_tokens_revoked",
	keystore.KeyCreated:              "deployment_key_created",
	keystore.KeyUpdated:              "deployment_key_updated",
	keystore.KeyDeleted:              "deployment_key_deleted",
	keystore.KeyTokensRevoked:        "deployment_key_tokens_revoked",
	keystore.KeyRotated:              "deployment_key_rotated",
	keystore.KeyPreviousSecretEnded:  "deployment_key_previous_secret_ended",
	keystore.MemberPut:               "deployment_member_changed",
	keystore.MemberDeleted:           "deployment_member_deleted",
	keystore.TokenRevoked:            "deployment_token_revoked",
	keystore.TokensRevoked:           "all_deployment_tokens_revoked",
}

// changed is called after each change that this process makes, whoever made it. It counts it, hands it to the configuration
// that runs, and returns at once.
func changed(change keystore.Event) {
	if _, ok := changeNames[change.Kind]; ok {
		metrics.changes.WithLabelValues(string(change.Kind)).Inc()
	}
	running, err := caddy.ActiveContext().AppIfConfigured(appName)
	if app, ok := running.(*App); err == nil && ok {
		app.events.changed(change)
	}
}

// A queuedChange is a change to be told, or, with none, a question whether all before it are.
type queuedChange struct {
	name   string
	change keystore.Event
	told   chan struct{}
}

// changed takes a change into the queue, if it has an event and that has subscribers.
func (a *announcer) changed(change keystore.Event) {
	name, ok := changeNames[change.Kind]
	if !ok || !a.observed(name) {
		return
	}
	select {
	case a.changes <- queuedChange{name: name, change: change}:
	default:
		a.logger.Error("the subscribers of events are too slow: one was lost", zap.String("event", name), zap.String("deployment", change.Deployment))
	}
}

// tellChanges emits what is in the queue until the configuration ends.
func (a *announcer) tellChanges() {
	for {
		select {
		case <-a.ctx.Done():
			return
		case next := <-a.changes:
			if next.told != nil {
				close(next.told)
				continue
			}
			change, data := next.change, map[string]any{"by": next.change.By}
			for field, value := range map[string]string{
				"deployment": change.Deployment, "address": change.Address, "key": change.Key, "user": change.User, "token": change.Token,
			} {
				if value != "" {
					data[field] = value
				}
			}
			a.emit(next.name, data)
		}
	}
}

// flush waits until the changes that are in the queue were told, for flushTimeout at most.
func (a *announcer) flush() {
	timeout := time.NewTimer(flushTimeout)
	defer timeout.Stop()
	told := make(chan struct{})
	select {
	case a.changes <- queuedChange{told: told}:
	case <-timeout.C:
		return
	}
	select {
	case <-told:
	case <-timeout.C:
	}
}

// An announcer emits the events of one configuration. A nil one emits none.
type announcer struct {
	ctx      caddy.Context // of the app, which is the origin of the events
	events   *caddyevents.App
	runs     func() bool // whether the configuration has started
	begun    atomic.Bool // that it has, remembered
	logger   *zap.Logger
	changes  chan queuedChange
	refusals refusalEvents
}

// newAnnouncer makes the announcer of the app that is being provisioned. The events app is there
// in every configuration with an HTTP server: asking for it makes one where it is not configured.
func newAnnouncer(ctx caddy.Context, app *App) (*announcer, error) {
	events, err := ctx.App("events")
	if err != nil {
		return nil, err
	}
	return &announcer{
		ctx:      ctx,
		events:   events.(*caddyevents.App),
		runs:     app.active,
		logger:   ctx.Logger(),
		changes:  make(chan queuedChange, mostChangeEvents),
		refusals: newRefusalEvents(),
	}, nil
}

// active reports whether the app is that of the running configuration, all of whose apps have
// started.
func (a *App) active() bool {
	running, err := caddy.ActiveContext().AppIfConfigured(appName)
	return err == nil && running == any(a)
}

// observed reports whether anybody would hear of an event: whoever assembles one should ask first.
//
// Until all apps have started there is nobody: the events app takes subscriptions in its Start, and
// Caddy starts apps in any order, with requests coming in meanwhile. Nor is there after the end
// of the configuration.
func (a *announcer) observed(name string) bool {
	if a == nil || a.ctx.Err() != nil {
		return false
	}
	if !a.begun.Load() {
		if !a.runs() {
			return false
		}
		a.begun.Store(true)
	}
	return a.events.ShouldEmit(name)
}

// emit calls the subscribers. What they do wrong is not the caller's to suffer from.
func (a *announcer) emit(name string, data map[string]any) {
	defer func() {
		if fault := recover(); fault != nil {
			a.logger.Error("a subscriber of an event panicked", zap.String("event", name), zap.Any("fault", fault), zap.Stack("stack"))
		}
	}()
	a.events.Emit(a.ctx, name, data)
}
