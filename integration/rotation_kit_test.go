package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/token"
)

// A rotator is one more member of the gateways on a Redis, which does with the signing keys what each of them does, but by
// a clock that it can put forward. The gateways' own clock stands, as far as days are concerned, so that what becomes of
// the keys is the rotator's doing alone.
type rotator struct {
	t      *testing.T
	clock  *aheadOfTime
	keys   *keystore.Keystore
	policy keystore.SigningPolicy
}

// aheadOfTime is a store with a clock that runs ahead.
type aheadOfTime struct {
	keystore.Store
	by time.Duration
}

func (s *aheadOfTime) Time(ctx context.Context) (time.Time, error) {
	now, err := s.Store.Time(ctx)
	return now.Add(s.by), err
}

// rotationPeriod is the period that gateways have by default.
const rotationPeriod = 30 * 24 * time.Hour

func newRotator(t *testing.T, s store, algorithm token.Algorithm, tokenLifetime time.Duration) *rotator {
	t.Helper()
	backend, err := redisstore.Open(redisstore.Options{URL: s.redis.URL(), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	clock := &aheadOfTime{Store: backend}
	keys := keystore.New(clock, []byte(s.master))
	keys.SetClock(func() time.Time { return time.Now().Add(clock.by) })
	r := &rotator{t, clock, keys, keystore.SigningPolicy{
		Algorithm: string(algorithm), TokenLifetime: tokenLifetime, RotateEvery: rotationPeriod,
		Generate: func(name string) (keystore.SigningKey, error) {
			key, err := token.GenerateKey(token.Algorithm(name), time.Now())
			if err != nil {
				return keystore.SigningKey{}, err
			}
			private, err := key.Marshal()
			return keystore.SigningKey{ID: key.ID(), Algorithm: name, Private: private}, err
		},
	}}
	t.Cleanup(func() { _ = r.keys.Close() })
	return r
}

// pass puts the clock forward and does what is then due.
func (r *rotator) pass(d time.Duration) {
	r.t.Helper()
	r.clock.by += d
	if _, err := r.keys.MaintainSigningKeys(r.t.Context(), r.policy); err != nil {
		r.t.Fatal(err)
	}
}

// announce makes a key now, as POST /signing_keys/rotate does, and returns its ID.
func (r *rotator) announce() string {
	r.t.Helper()
	key, err := r.keys.RotateSigningKey(r.t.Context(), keystore.Caller{Name: "test"}, r.policy)
	if err != nil {
		r.t.Fatal(err)
	}
	return key.ID
}

// in is the one key in a state.
func (r *rotator) in(state keystore.SigningKeyState) keystore.SigningKey {
	r.t.Helper()
	all, err := r.keys.SigningKeys(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var found []keystore.SigningKey
	for _, key := range all {
		if key.State() == state {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		r.t.Fatalf("%d of %d signing keys are %s, want one", len(found), len(all), state)
	}
	return found[0]
}

// An issuedToken is a token of the load.
type issuedToken struct {
	raw, kid string
	expires  time.Time
}

// readToken reads what the load has to know of a token.
func readToken(raw string) (one issuedToken, err error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return one, fmt.Errorf("an access token with %d parts", len(parts))
	}
	var header struct{ Kid string }
	var claims struct{ Exp int64 }
	for i, into := range []any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return one, err
		}
		if err := json.Unmarshal(text, into); err != nil {
			return one, err
		}
	}
	return issuedToken{raw, header.Kid, time.Unix(claims.Exp, 0)}, nil
}

// A rotationLoad has each gateway issue tokens all the time, uses every one of them on all gateways at once until it
// expires, and reads the key sets, which must have the key of every token that has not expired.
type rotationLoad struct {
	t     *testing.T
	nodes []*site
	k     key
	down  []atomic.Bool // a node that may be unreachable for now

	end  context.CancelFunc
	done sync.WaitGroup
	uses atomic.Int64
	sets atomic.Int64

	mu     sync.Mutex
	count  int
	live   []issuedToken
	kids   [][]string // of each node: with which it has signed, one after the other
	latest map[string]time.Time
	wrong  map[string]int
}

func startRotationLoad(t *testing.T, k key, nodes ...*site) *rotationLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &rotationLoad{
		t: t, nodes: nodes, k: k, end: cancel, down: make([]atomic.Bool, len(nodes)),
		kids: make([][]string, len(nodes)), latest: make(map[string]time.Time), wrong: make(map[string]int),
	}
	repeat := func(do func(c *http.Client)) {
		c := keepAlive(t)
		l.done.Go(func() {
			tick := time.NewTicker(watchPause)
			defer tick.Stop()
			for ctx.Err() == nil {
				do(c)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	for node := range nodes {
		repeat(func(c *http.Client) { l.issue(c, node) })
		repeat(func(c *http.Client) { l.readKeySet(c, node) })
	}
	for caller := range 2 {
		next := caller
		repeat(func(c *http.Client) {
			if one, ok := l.pick(next); ok {
				l.use(c, one)
			}
			next += 7
		})
	}
	t.Cleanup(l.halt)
	return l
}

func (l *rotationLoad) halt() {
	l.end()
	l.done.Wait()
}

// goOn waits until more tokens have been used.
func (l *rotationLoad) goOn(more int64) {
	l.t.Helper()
	until := l.uses.Load() + more
	eventually(l.t, "tokens are used", func() bool { return l.uses.Load() >= until })
}

func (l *rotationLoad) blame(format string, of ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong[fmt.Sprintf(format, of...)]++
}

// answered sends a request until there is an answer: at a reload the system resets some connections, and clients connect
// again. It reports whether there was one, and blames the node for none, unless that is down.
func (l *rotationLoad) answered(node int, what string, request func() (int, error)) (int, bool) {
	var err error
	down := l.down[node].Load() // or it was when this began: it may have come up since the last attempt
	for range 5 {
		status := 0
		if status, err = request(); err == nil {
			return status, true
		}
	}
	if !down && !l.down[node].Load() {
		l.blame("node %d, %s: %v", node, what, err)
	}
	return 0, false
}

// issue gets a token of a node, and uses it at once.
func (l *rotationLoad) issue(c *http.Client, node int) {
	var raw string
	status, ok := l.answered(node, "asking for a token", func() (status int, err error) {
		raw, status, err = l.nodes[node].fetchToken(c, l.k)
		return status, err
	})
	if !ok {
		return
	}
	if status != http.StatusOK {
		l.blame("node %d, asking for a token: status %d", node, status)
		return
	}
	one, err := readToken(raw)
	if err != nil {
		l.blame("node %d: %v", node, err)
		return
	}
	l.mu.Lock()
	l.count++
	l.live = append(l.live, one)
	if n := len(l.kids[node]); n == 0 || l.kids[node][n-1] != one.kid {
		l.kids[node] = append(l.kids[node], one.kid)
	}
	if one.expires.After(l.latest[one.kid]) {
		l.latest[one.kid] = one.expires
	}
	l.mu.Unlock()
	l.use(c, one)
}

// pick is one of the tokens that have not expired.
func (l *rotationLoad) pick(i int) (issuedToken, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.live = slices.DeleteFunc(l.live, func(one issuedToken) bool { return !now.Before(one.expires) })
	if len(l.live) == 0 {
		return issuedToken{}, false
	}
	return l.live[i%len(l.live)], true
}

// use sends a token to all nodes at once. A refusal that came before the token expired is wrong.
func (l *rotationLoad) use(c *http.Client, one issuedToken) {
	var done sync.WaitGroup
	for node, g := range l.nodes {
		done.Go(func() {
			status, ok := l.answered(node, "using a token", func() (int, error) { return g.fetch(c, l.k.DeploymentID, one.raw) })
			switch {
			case ok && status == http.StatusOK:
				l.uses.Add(1)
			case ok && time.Now().Before(one.expires):
				l.blame("node %d, using a token of the key %s: status %d", node, one.kid, status)
			}
		})
	}
	done.Wait()
}

// readKeySet holds that a node publishes the key of each token that had not expired before it was asked, nor after.
func (l *rotationLoad) readKeySet(c *http.Client, node int) {
	l.mu.Lock()
	needed := maps.Clone(l.latest)
	l.mu.Unlock()
	var set struct{ Keys []jwk }
	status, ok := l.answered(node, "reading the key set", func() (int, error) {
		return send(c, http.MethodGet, l.nodes[node].URL(l.nodes[node].port, "/.well-known/jwks.json"), nil, &set)
	})
	if !ok {
		return
	}
	if status != http.StatusOK {
		l.blame("node %d, reading the key set: status %d", node, status)
	}
	now := time.Now()
	for kid, expires := range needed {
		if now.Before(expires) && !slices.ContainsFunc(set.Keys, func(k jwk) bool { return k.KeyID == kid }) {
			l.blame("node %d: the key set lacks %s", node, kid)
		}
	}
	l.sets.Add(1)
}

// wantExpired waits until the last token that a key has signed has expired.
func (l *rotationLoad) wantExpired(kid string) {
	l.t.Helper()
	eventually(l.t, "the last token of the key that was followed expires", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return time.Now().After(l.latest[kid])
	})
}

// stop ends the load, and holds that nothing went wrong, and that every node has signed with these keys, one after the
// other.
func (l *rotationLoad) stop(kids ...string) {
	l.t.Helper()
	l.halt()
	for wrong, times := range l.wrong {
		l.t.Errorf("%d times: %s", times, wrong)
	}
	for node, got := range l.kids {
		if !slices.Equal(got, kids) {
			l.t.Errorf("node %d has signed with %v, want %v", node, got, kids)
		}
	}
	figure(l.t, "tokens issued while the signing keys were rotated", l.count)
	figure(l.t, "answers 200 to them", l.uses.Load())
	figure(l.t, "key sets read meanwhile", l.sets.Load())
}
