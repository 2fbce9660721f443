package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/internal/caddyconf"
	"github.com/deploymentkeys/gateway/internal/redact"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App is what all sites share: where the store is, how long tokens and signing keys live, and what a token is for.
//
// Without redis, keys live in a file in Caddy's data directory, deployment_keys/keys.db, and the
// master secret beside it in deployment_keys/secret, which is made at the first start. One
// process at a time may use that file.
//
// With redis, keys live in Redis, for any number of gateways. Redis need not be there when the
// gateway starts: until it is, requests that need a key are answered 503.
type App struct {
	// The URL of Redis: redis://user:password@host:6379/0, rediss:// for TLS, or unix://; for
	// Sentinel redis+sentinel://host:26379,host:26379/master-name, for a Cluster
	// redis+cluster://host:6379,host:6379.
	// Placeholders are allowed; use {env.*} or {file.*} for a URL with a password, so that it
	// does not stand in the configuration. Default: none, an embedded store.
	Redis string `json:"redis,omitempty"`

	// How many replicas of Redis must have a change before it is answered as made. With fewer, a
	// change is answered 503, which says that it was made and may not last: a master that fails
	// then takes it along. 0 to 5; Sentinel and Cluster should have 1. Default: 0.
	Replicas int `json:"replicas,omitempty"`

	// The master secret, under which all that is secret in the store is protected: at least 32
	// characters, random, the same on all nodes. It has to be a placeholder, {file.*} or
	// {env.*}: whoever can read the configuration, which Caddy also saves to disk, must not
	// have it. Required with redis. Default without: a random one in the data directory.
	Secret string `json:"secret,omitempty"`

	// The URL at which clients reach this gateway's token endpoint, with no path: the "iss" of
	// tokens, and what the metadata is made of. Placeholders are allowed. Changing it ends all
	// tokens issued before. Default: none; then "iss" is deployment_keys and there is no
	// metadata.
	Issuer string `json:"issuer,omitempty"`

	// What tokens may be for, their "aud". The first is that of a token for which none is asked.
	// Default: astronomer-ee.
	Audiences []string `json:"audiences,omitempty"`

	// How long an access token is valid: 1s to 744h. Default: 24h.
	TokenLifetime *caddy.Duration `json:"token_lifetime,omitempty"`

	// How long the access token of a user is valid, which is to be had at POST /token: 1s to 744h.
	// Default: 24h.
	UserTokenLifetime *caddy.Duration `json:"user_token_lifetime,omitempty"`

	// How old this node's knowledge of keys may be when it decides on a request: 1s to 1h. As
	// long as the node hears of changes, its knowledge is a second old at most. When it does not
	// for longer than this, it asks the store for each request, and if the store can't be asked,
	// answers 503. Default: 10s.
	MaxStaleness *caddy.Duration `json:"max_staleness,omitempty"`

	// The algorithm with which tokens are signed: ES256, EdDSA or RS256. To change it makes a new
	// signing key, which signs 70 minutes later. All nodes must have the same. Default: ES256.
	SigningAlgorithm string `json:"signing_algorithm,omitempty"`

	// For how long a signing key signs before the next one takes over: 3h to 8760h. The next one is
	// published 70 minutes before, and the old one until the last token that it has signed has
	// expired. Default: 720h, which is 30 days.
	SigningKeyRotation *caddy.Duration `json:"signing_key_rotation,omitempty"`

	// For how long entries of the audit log are kept: 24h to 87600h, which are ten years. At most 500,000
	// are, whatever their age. All nodes should have the same: the shortest one counts. Default: 2160h,
	// which is 90 days.
	AuditRetention *caddy.Duration `json:"audit_retention,omitempty"`

	// Deletes keys that expired longer ago than this: 1s to 87600h. It is done once a minute. Default:
	// none are; an expired key stays in lists until somebody deletes it.
	PurgeExpiredKeys *caddy.Duration `json:"purge_expired_keys,omitempty"`

	// How many keys, at about 0.6 KB each, and how many tokens, at about 1.2 KB each, this node
	// caches; the least useful make room. 1000 to 10000000. Default: 100000.
	CacheSize int `json:"cache_size,omitempty"`

	ctx       context.Context // ends with the configuration
	logger    *zap.Logger
	faults    *zap.Logger // for what could be said with every request: once a second
	issuer    string
	place     node.Place
	node      *node.Handle
	signing   keystore.SigningPolicy
	events    *announcer
	authority *access.Authority
	purgedTo  string // Deployment up to which expired keys were looked for; of upkeep's goroutine

	identityWanted bool // by a handler of this configuration that comes after deployment_auth

	tokenLifetime, userTokenLifetime time.Duration
	maxStaleness, auditRetention     time.Duration
}

// Defaults of App.
const (
	DefaultTokenLifetime      = 24 * time.Hour
	DefaultMaxStaleness       = 10 * time.Second
	DefaultSigningKeyRotation = 30 * 24 * time.Hour
	DefaultAuditRetention     = 90 * 24 * time.Hour
	DefaultAudience           = "astronomer-ee"
	defaultIssuer             = appName
)

const (
	appName              = "deployment_keys"
	longestTokenLifetime = 31 * 24 * time.Hour
	longestStaleness     = time.Hour
	shortestRotation     = 3 * time.Hour // the next key is published 70 minutes before it signs
	longestRotation      = 365 * 24 * time.Hour
	shortestRetention    = 24 * time.Hour
	longestRetention     = 10 * 365 * 24 * time.Hour
	mostReplicas         = 5
	leastCacheSize       = 1_000
	mostCacheSize        = 10_000_000
)

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  appName,
		New: func() caddy.Module { return new(App) },
	}
}

// Provision checks the configuration. It opens nothing: Caddy also calls it to validate a
// configuration, beside a gateway that is running.
func (a *App) Provision(ctx caddy.Context) (err error) {
	a.ctx, a.logger = ctx, ctx.Logger()
	a.node = node.NewHandle()
	a.faults = a.logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 1, 0)
	}))
	if a.place, err = a.findStore(); err != nil {
		return err
	}
	if a.issuer, err = resolveIssuer(a.Issuer); err != nil {
		return err
	}
	if len(a.Audiences) == 0 {
		a.Audiences = []string{DefaultAudience}
	}
	for i, audience := range a.Audiences {
		if strings.TrimSpace(audience) == "" || slices.Contains(a.Audiences[:i], audience) {
			return fmt.Errorf("audience %q: is empty or there twice", audience)
		}
	}
	if a.SigningAlgorithm == "" {
		a.SigningAlgorithm = string(token.ES256)
	}
	if _, err := token.ParseAlgorithm(a.SigningAlgorithm); err != nil {
		return fmt.Errorf("signing_algorithm: %w", err)
	}
	if err = a.provisionTimes(); err != nil {
		return err
	}
	switch {
	case a.Replicas < 0 || a.Replicas > mostReplicas:
		return fmt.Errorf("replicas %d: use 0 to %d", a.Replicas, mostReplicas)
	case a.Replicas > 0 && a.Redis == "":
		return errors.New("replicas: an embedded store has none; it is for redis")
	}
	if a.CacheSize == 0 {
		a.CacheSize = keystore.DefaultViewSize
	}
	if a.CacheSize < leastCacheSize || a.CacheSize > mostCacheSize {
		return fmt.Errorf("cache_size %d: use %d to %d", a.CacheSize, leastCacheSize, mostCacheSize)
	}
	if a.events, err = newAnnouncer(ctx, a); err != nil {
		return err
	}
	if err = metrics.register(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return a.newAuthority()
}

func (a *App) newAuthority() (err error) {
	a.authority, err = access.New(access.Options{
		Node: a.node, Issuer: a.issuer, Audiences: a.Audiences, CacheSize: a.CacheSize,
		TokenLifetime: a.tokenLifetime, UserTokenLifetime: a.userTokenLifetime, MaxStaleness: a.maxStaleness,
		ClientIP: clientIP, OriginalURL: OriginalURL,
	})
	return err
}

// Authority returns what decides on requests.
func (a *App) Authority() *access.Authority { return a.authority }

// provisionTimes checks the durations, and makes of them how signing keys live.
func (a *App) provisionTimes() (err error) {
	if a.tokenLifetime, err = caddyconf.Duration("token_lifetime", a.TokenLifetime, DefaultTokenLifetime, time.Second, longestTokenLifetime); err != nil {
		return err
	}
	if a.userTokenLifetime, err = caddyconf.Duration("user_token_lifetime", a.UserTokenLifetime, DefaultTokenLifetime, time.Second, longestTokenLifetime); err != nil {
		return err
	}
	if a.maxStaleness, err = caddyconf.Duration("max_staleness", a.MaxStaleness, DefaultMaxStaleness, time.Second, longestStaleness); err != nil {
		return err
	}
	if a.auditRetention, err = caddyconf.Duration("audit_retention", a.AuditRetention, DefaultAuditRetention, shortestRetention, longestRetention); err != nil {
		return err
	}
	if _, err = caddyconf.Duration("purge_expired_keys", a.PurgeExpiredKeys, 0, time.Second, longestRetention); err != nil {
		return err
	}
	rotation, err := caddyconf.Duration("signing_key_rotation", a.SigningKeyRotation, DefaultSigningKeyRotation, shortestRotation, longestRotation)
	if err != nil {
		return err
	}
	a.signing = keystore.SigningPolicy{
		Algorithm:     a.SigningAlgorithm,
		TokenLifetime: max(a.tokenLifetime, a.userTokenLifetime),
		RotateEvery:   rotation,
	}
	return nil
}

// Start opens the store. Redis may be absent; an embedded store that can't be opened, or a
// store with another master secret, is an error.
func (a *App) Start() error {
	ctx, cancel := context.WithTimeout(context.Background(), keystore.ChangeTimeout)
	defer cancel()
	n, err := a.node.Open(ctx, a.place, changed)
	if err != nil {
		return err
	}
	return a.start(ctx, n)
}

// start begins to use a node.
func (a *App) start(ctx context.Context, n *node.Node) error {
	n.View.Resize(a.CacheSize)
	if a.events != nil { // both end with the configuration
		go a.events.tellChanges()
		go a.events.tellRefusals()
	}
	err := n.Maintain(ctx, a.signing)
	go a.upkeep(a.ctx, n, err == nil)
	if errors.Is(err, keystore.ErrUnavailable) && a.place.Remote() {
		a.logger.Warn("the store is not reachable yet; requests get 503 until it is", zap.Error(err))
		return nil
	}
	return err
}

// Stop waits for subscribers of events, a little. Requests that are under way still need the store: Cleanup ends it.
func (a *App) Stop() error {
	if a.events != nil {
		a.events.flush()
	}
	return nil
}

// Cleanup gives up what Provision and Start have made, as far as they came.
func (a *App) Cleanup() error {
	if a.node != nil {
		a.node.Close(caddy.Exiting())
	}
	if a.authority != nil {
		a.authority.Close()
	}
	return nil
}

// Keystore is where keys live. Its error wraps [keystore.ErrUnavailable].
func (a *App) Keystore() (*keystore.Keystore, error) {
	n, err := a.node.Now()
	if err != nil {
		return nil, err
	}
	return n.Keys, nil
}

// Ready is [node.Node.Ready] by max_staleness.
func (a *App) Ready(ctx context.Context) (age time.Duration, known bool, err error) {
	n, err := a.node.Now()
	if err != nil {
		return 0, false, err
	}
	return n.Ready(ctx, a.maxStaleness)
}

// AuditRefusal enters into the audit log that a user was refused in the console, where they have signed in:
// in a Deployment, or "" for what is of none.
func (a *App) AuditRefusal(by keystore.Caller, deployment string) {
	if n, err := a.node.Now(); err == nil {
		n.Refused(node.Refusal{Handler: "console", Code: string(access.CodeAccessDenied), Address: by.Address, User: by.Name, Deployment: deployment})
	}
}

// refused counts a refusal by a handler, logs it, tells who has subscribed to that, and has it entered
// into the audit log.
func (a *App) refused(in *requestCounters, refused *access.Refusal, clientIP string, fields ...zap.Field) {
	in.refused[refused.Code].Inc()
	a.Report(refused, fields...)
	// That a request had no credentials is no refusal, and neither is an outage.
	if refused.Code == access.CodeNone || refused.Code == access.CodeUnavailable {
		return
	}
	facts := node.Refusal{
		Handler: in.handler, Code: string(refused.Code), Address: clientIP, Key: refused.Key, User: refused.User,
		KeyDeployment: refused.KeyDeployment, ClaimedKey: refused.ClaimedKey, Deployment: refused.Deployment,
	}
	a.events.refused(facts)
	if n, err := a.node.Now(); err == nil {
		n.Refused(facts)
	}
}

// Report logs a refusal: an outage or an altered record so that somebody hears of it, but not
// with every request; what a client did wrong at the debug level only.
func (a *App) Report(refused *access.Refusal, fields ...zap.Field) {
	logger, level, message := a.logger, zapcore.DebugLevel, "refused"
	// A client that went away while the store was asked is no outage.
	outage := refused.Code == access.CodeUnavailable && !errors.Is(refused.Cause, context.Canceled) && !errors.Is(refused.Cause, keystore.ErrLimit)
	if outage || errors.Is(refused.Cause, keystore.ErrAltered) {
		logger, level, message = a.faults, zapcore.ErrorLevel, "a credential could not be checked"
	}
	if entry := logger.Check(level, message); entry != nil {
		entry.Write(append(fields,
			zap.String("error", string(refused.Code)),
			zap.String("description", redact.Text(refused.Description)),
			zap.NamedError("cause", refused.Cause),
		)...)
	}
}

// resolveIssuer accepts the origin of a URL (RFC 8414 section 2; a path would move the
// metadata, section 3).
func resolveIssuer(configured string) (string, error) {
	if configured == "" {
		return defaultIssuer, nil
	}
	issuer, err := caddy.NewReplacer().ReplaceOrErr(configured, true, true)
	if err != nil {
		return "", fmt.Errorf("issuer: %w", err)
	}
	issuer = strings.TrimSuffix(issuer, "/")
	u, err := url.Parse(issuer)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.Scheme+"://"+u.Host != issuer {
		return "", fmt.Errorf("issuer %q: want a URL without a path, such as https://auth.example.com", issuer)
	}
	return issuer, nil
}

// AppOf returns the app of a configuration.
func AppOf(ctx caddy.Context) (*App, error) {
	app, err := ctx.App(appName)
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
