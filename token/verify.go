package token

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// DefaultLeeway is how far the clocks of two nodes may differ when [Options] say nothing.
const DefaultLeeway = time.Minute

// Options says which tokens a [Verifier] accepts.
type Options struct {
	// Issuer is what iss has to be, character by character (RFC 9068 section 4). Required.
	Issuer string

	// Audiences is what aud may be, one of them. At least one is required.
	Audiences []string

	// Now is the clock. Default: [time.Now].
	Now func() time.Time

	// Leeway is how far iat and nbf may lie in the future, for a token that comes from a node whose
	// clock is ahead. Default: [DefaultLeeway]; negative: none.
	//
	// It does not apply to exp, although RFC 7519 section 4.1.4 would allow it: what is dead at a
	// time that was announced stays dead.
	Leeway time.Duration

	// CacheSize is how many verified tokens are cached, at about 1.2 KB each. Default: [DefaultCacheSize];
	// negative: none.
	CacheSize int
}

// Verified is what a verified token says. Its Permissions are shared by all who present the token: they may not be
// changed.
type Verified struct {
	Claims

	// KeyID is the ID of the key that signed the token.
	KeyID string

	notBefore time.Time // nbf; zero if the token has none
}

// Verifier proves access tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	issuer    string
	audiences []string
	now       func() time.Time
	leeway    time.Duration
	cache     *cache // nil: none
}

// NewVerifier makes a verifier.
func NewVerifier(o Options) (*Verifier, error) {
	if o.Issuer == "" {
		return nil, errors.New("verifying tokens: no issuer")
	}
	if len(o.Audiences) == 0 || slices.Contains(o.Audiences, "") {
		return nil, errors.New("verifying tokens: no audience, or an empty one")
	}
	v := &Verifier{
		issuer:    o.Issuer,
		audiences: slices.Clone(o.Audiences),
		now:       o.Now,
		leeway:    max(o.Leeway, 0),
	}
	if v.now == nil {
		v.now = time.Now
	}
	if o.Leeway == 0 {
		v.leeway = DefaultLeeway
	}
	if o.CacheSize >= 0 {
		v.cache = newCache(o.CacheSize)
	}
	return v, nil
}

// Close forgets all tokens. Requests that are still being answered
// may go on verifying: each token then costs the full price once more.
func (v *Verifier) Close() {
	if v.cache != nil {
		v.cache.clear()
	}
}

// Remembered returns how many cached tokens have not expired. It is for metrics: it looks at all of them, which takes
// some milliseconds for 100,000.
func (v *Verifier) Remembered() int {
	if v.cache == nil {
		return 0
	}
	return v.cache.count(v.now())
}

// Verify proves that one of the ring's keys signed the token, that it is of this issuer, for one of
// the audiences, and that its time has come and is not over (RFC 9068 section 4). It says nothing
// about whether the key or the Deployment that it was issued for still exists.
//
// The error wraps one of the sentinels of this package; [Proven] says whether its text may be
// shown to the sender. ring must not be nil.
func (v *Verifier) Verify(ring *Ring, raw string) (Verified, error) {
	if v.cache == nil {
		token, err := v.prove(ring, raw)
		if err != nil {
			return Verified{}, err
		}
		return *token, nil
	}
	if err := checkShape(raw); err != nil {
		return Verified{}, err
	}
	if known, ok := v.cache.get(raw); ok {
		// What can have changed since: the keys, and the time.
		if ring.Has(known.KeyID) {
			err := v.checkTime(known)
			if err == nil {
				return *known, nil
			}
			v.cache.forget(raw)
			return Verified{}, &provenError{err, known}
		}
		v.cache.forget(raw)
	}
	token, err := v.prove(ring, raw)
	if err != nil {
		return Verified{}, err
	}
	v.cache.put(raw, token)
	return *token, nil
}

// prove does without the cache. Up to the signature the token is somebody's text and no claim in it is
// read; all that is found after may be told.
func (v *Verifier) prove(ring *Ring, raw string) (*Verified, error) {
	parsed, err := parseCompact(raw)
	if err != nil {
		return nil, err
	}
	if err := parsed.verify(ring); err != nil {
		return nil, err
	}
	token, err := read(parsed)
	if err != nil {
		return nil, &provenError{reason: err}
	}
	if err := v.check(token); err != nil {
		return nil, &provenError{err, token}
	}
	return token, nil
}

// read turns a payload whose signature is verified into claims.
func read(parsed *compact) (*Verified, error) {
	token, err := parseClaims(parsed.payload)
	if err != nil {
		return nil, err
	}
	token.KeyID = parsed.header.KeyID
	return token, token.complete()
}

// check holds the claims of a token against what is accepted.
func (v *Verifier) check(token *Verified) error {
	if token.Issuer != v.issuer {
		return fmt.Errorf("%w: %q", ErrIssuer, token.Issuer)
	}
	audience := slices.Index(v.audiences, token.Audience)
	if audience < 0 {
		return fmt.Errorf("%w: %q", ErrAudience, token.Audience)
	}
	if err := v.checkTime(token); err != nil {
		return err
	}
	// Every cached token has these two: one copy will do.
	token.Issuer, token.Audience = v.issuer, v.audiences[audience]
	return nil
}

// checkTime is what has to be asked again each time a token is used.
func (v *Verifier) checkTime(token *Verified) error {
	now := v.now()
	if !now.Before(token.ExpiresAt) {
		return &ExpiredError{ExpiredAt: token.ExpiresAt}
	}
	latest := now.Add(v.leeway)
	if token.IssuedAt.After(latest) {
		return fmt.Errorf("%w: issued at %s", ErrNotYetValid, token.IssuedAt.Format(time.RFC3339))
	}
	if token.notBefore.After(latest) {
		return fmt.Errorf("%w: not before %s", ErrNotYetValid, token.notBefore.Format(time.RFC3339))
	}
	return nil
}
