// Package access says who a request is from and what they may do now: credentials, paths, identity, the decision, and
// refusals in OAuth's terms. It also issues, introspects, revokes and explains access tokens.
//
// It is net/http and names Caddy nowhere: what only Caddy knows, such as the client's address behind a trusted proxy, is
// handed in.
package access

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// UserClient is the client_id of a token that a user has asked for: the client is this product, in
// the user's name. It is no key ID, and nobody of that name gets a token, so it never is the sub of
// a token (RFC 9068 section 5).
const UserClient = "deployment-keys-user"

// Options are what an Authority is configured with.
type Options struct {
	Node      *node.Handle
	Issuer    string   // the "iss" of tokens
	Audiences []string // accepted "aud" values; the first is the default

	TokenLifetime, UserTokenLifetime time.Duration
	MaxStaleness                     time.Duration // how old what this node knows may be when it decides

	CacheSize int // of verified tokens; 0: see [token.Options]

	// ClientIP returns the address of the client of a request: that of the connection, or the one that a trusted
	// proxy says; "" if there is none.
	ClientIP func(*http.Request) string

	// OriginalURL returns the URL that the client has sent, where it was rewritten since, or nil.
	OriginalURL func(*http.Request) *url.URL
}

// An Authority says who a request is from and what they may do now, and issues and revokes access tokens. It brings
// together what a token says (package token) and what is known of its key or user (package keystore).
type Authority struct {
	Options
	verifier *token.Verifier
}

// New makes an Authority. Close ends it.
func New(options Options) (*Authority, error) {
	verifier, err := token.NewVerifier(token.Options{Issuer: options.Issuer, Audiences: options.Audiences, CacheSize: options.CacheSize})
	if err != nil {
		return nil, err
	}
	options.Node.Remembered = verifier.Remembered
	return &Authority{options, verifier}, nil
}

// Close gives up what it remembers.
func (a *Authority) Close() { a.verifier.Close() }

// authenticate is the key that a key ID and a secret are of, wherever from: see [Authority.comeFrom]. It
// also says whether it was the previous secret. A key whose Deployment is gone, or was altered, is none:
// who can write the store may have kept its record from ending with the Deployment.
func (a *Authority) authenticate(ctx context.Context, id, secret string) (key *keystore.Key, isPrevious bool, err error) {
	n, err := a.Node.Node(ctx)
	if err != nil {
		return nil, false, err
	}
	if key, isPrevious, err = n.View.Authenticate(ctx, id, secret, a.MaxStaleness); err != nil {
		return nil, false, err
	}
	if _, err = a.deploymentOf(ctx, n, key); err != nil {
		return nil, false, err
	}
	return key, isPrevious, nil
}

// Client returns the key whose ID and secret an OAuth client has sent, if they may come from the address of the request.
// That is recorded as a use of that kind; 0 is none, but for the previous secret.
func (a *Authority) Client(r *http.Request, id, secret string, kind node.Use) (*keystore.Key, *Refusal) {
	if id == "" || secret == "" {
		return nil, Refuse(CodeInvalidClient, "the key ID or the secret is missing: client_id and client_secret, or HTTP Basic")
	}
	key, isPrevious, err := a.authenticate(r.Context(), id, secret)
	if err != nil {
		return nil, clientRefusal(err, id)
	}
	if len(key.AllowedIPs) != 0 {
		if ip := a.ClientIP(r); !allowedFrom(key.AllowedIPs, ip) {
			return nil, clientElsewhere(key.ID, ip)
		}
	}
	if isPrevious {
		kind |= node.PreviousSecretUse
	}
	if kind != 0 {
		a.Used(key, kind, time.Now().Unix(), r)
	}
	return key, nil
}

// deploymentOf is the Deployment of a key that has authenticated itself. The error is
// [keystore.ErrCredentials] when it was deleted.
func (a *Authority) deploymentOf(ctx context.Context, n *node.Node, key *keystore.Key) (*keystore.Deployment, error) {
	deployment, err := n.View.Deployment(ctx, key.DeploymentID, a.MaxStaleness)
	if errors.Is(err, keystore.ErrNotFound) {
		return nil, keystore.ErrCredentials
	}
	return deployment, err
}

// A Route says what requests to an upstream need.
type Route struct {
	AnyDeployment bool   // it is of no one Deployment
	Basic         bool   // HTTP Basic is accepted too
	Rules         []Rule // a request needs the scopes of every rule that is for its method
}

// A Rule says which scopes requests with some methods need.
type Rule struct {
	Scopes  keystore.Scopes
	Methods []string // none: all
}

// Authorize decides on a request to an upstream: a path with one reading, one credential, who that is of,
// and whether they may do this here. deployment is the one that the request is for. What a token says may be
// remembered; this is decided for each request.
func (a *Authority) Authorize(r *http.Request, route *Route, deployment string) (Identity, *Refusal) {
	if refused := CheckPath(r.URL, a.OriginalURL(r)); refused != nil {
		return Identity{}, refused
	}
	if refused := checkTrailers(r); refused != nil {
		return Identity{}, refused
	}
	cred, refused := readCredential(r.Header, route.Basic)
	if refused != nil {
		return Identity{}, refused
	}
	id, refused := a.identify(r.Context(), cred, deployment)
	if refused != nil {
		refused.ClaimedKey, refused.Deployment = cred.keyID, deployment
		return Identity{}, refused
	}
	if refused = a.comeFrom(&id, r); refused == nil {
		refused = route.decide(r.Method, id, deployment)
	}
	if refused != nil {
		refused.Key, refused.User, refused.Deployment = id.KeyID, id.User, deployment
		refused.KeyDeployment = id.DeploymentID
		return Identity{}, refused
	}
	return id, nil
}

// decide says whether one who was identified may do this here.
func (route *Route) decide(method string, id Identity, deployment string) *Refusal {
	if !route.AnyDeployment && id.DeploymentID != deployment {
		return OtherDeployment(id, deployment)
	}
	need, covered := route.needs(method)
	switch {
	case !covered:
		return Refuse(CodeInsufficientScope, "no scope allows the method "+method+" here")
	case !id.Scopes.Has(need):
		return missingScope(id, need)
	}
	return nil
}

// needs is what a request with this method needs, and whether any rule is for it.
func (route *Route) needs(method string) (need keystore.Scopes, covered bool) {
	for _, rule := range route.Rules {
		if len(rule.Methods) == 0 || slices.Contains(rule.Methods, method) {
			need, covered = need|rule.Scopes, true
		}
	}
	return need, covered
}

// comeFrom says whether a credential may be used from the address of a request.
func (a *Authority) comeFrom(id *Identity, r *http.Request) *Refusal {
	allowed := id.allowedIPs()
	if len(allowed) == 0 {
		return nil
	}
	ip := a.ClientIP(r)
	if allowedFrom(allowed, ip) {
		return nil
	}
	return otherAddress(ip)
}

// identify says who a credential is of, and what they may do at this moment. deployment is the one
// that the request is for; a user may do in it what their role there allows. Where the request comes
// from is held against what is found here by comeFrom.
func (a *Authority) identify(ctx context.Context, cred credential, deployment string) (Identity, *Refusal) {
	if cred.secret != "" {
		key, isPrevious, err := a.authenticate(ctx, cred.keyID, cred.secret)
		if err != nil {
			return Identity{}, basicRefusal(err, cred.keyID)
		}
		id := identityOf(key, key.Scopes)
		id.checkedAt, id.previousSecret = time.Now().Unix(), isPrevious
		return id, nil
	}
	verified, refused := a.Verify(ctx, cred.bearer)
	if refused != nil {
		if malformed := cred.malformedBearer(); malformed != nil && refused.Code == CodeInvalidToken {
			return Identity{}, malformed
		}
		return Identity{}, refused
	}
	return a.holder(ctx, &verified, deployment)
}

// Accepted records that a request was accepted from somebody. Of users nothing is recorded.
func (a *Authority) Accepted(id *Identity, r *http.Request) {
	if id.key == nil {
		return
	}
	kind := node.RequestUse
	if id.previousSecret {
		kind |= node.PreviousSecretUse
	}
	a.Used(id.key, kind, id.checkedAt, r)
}

// Used records for what a key was used, by a request that was accepted, in a second of Unix time.
func (a *Authority) Used(key *keystore.Key, kind node.Use, second int64, r *http.Request) {
	if n, err := a.Node.Now(); err == nil && !n.Used(key, kind, second) {
		n.RecordUse(key, kind, second, a.ClientIP(r))
	}
}
