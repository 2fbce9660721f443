package integration

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// Tokens of the rotation tests live this long, so that the last one of a key expires while the test looks on.
const shortLifetime = 4 * time.Second

var shortLived = []string{"token_lifetime 4s", "user_token_lifetime 4s"}

// A rotation is two gateways on one Redis, under load, and what rotates their signing keys.
type rotation struct {
	*rotator
	nodes   []*site
	load    *rotationLoad
	signers []string // the keys that have signed, in their order

	heard map[string][]time.Duration // how long after a step the last node went by it
}

func startRotation(t *testing.T, s, ofSecond store) *rotation {
	t.Helper()
	a := oauthSite(t, s, shortLived...)
	nodes := []*site{a, nodeBeside(t, a, ofSecond, shortLived...)}
	r := &rotation{rotator: newRotator(t, s, token.ES256, shortLifetime), nodes: nodes, heard: make(map[string][]time.Duration)}
	r.load = startRotationLoad(t, a.newKey(t, "dep1"), nodes...)
	r.signers = []string{r.in(keystore.SigningKeySigning).ID}
	r.load.goOn(50)
	return r
}

// wantEverywhere holds that all nodes come to something within the time that a delete has.
func (r *rotation) wantEverywhere(step string, nodes []*site, come func(g *site) bool) {
	r.t.Helper()
	from := time.Now()
	eventually(r.t, step, func() bool { return !slices.ContainsFunc(nodes, func(g *site) bool { return !come(g) }) })
	took := time.Since(from)
	if r.heard[step] = append(r.heard[step], took); took > promised {
		r.t.Errorf("%s: after %s, promised is %s", step, took, promised)
	}
}

// wantPublished holds that all nodes publish a key, or do not.
func (r *rotation) wantPublished(kid string, want bool) {
	r.t.Helper()
	step := "removed from the key sets"
	if want {
		step = "announced in the key sets"
	}
	r.wantEverywhere(step, r.nodes, func(g *site) bool {
		return slices.ContainsFunc(g.jwks(r.t), func(k jwk) bool { return k.KeyID == kid }) == want
	})
}

// signsWith is the key with which a node signs now.
func (r *rotation) signsWith(g *site) string {
	r.t.Helper()
	one, err := readToken(g.token(r.t, r.load.k))
	if err != nil {
		r.t.Fatal(err)
	}
	return one.kid
}

// announced holds that a key was announced, and that nobody signs with it a minute before its time.
func (r *rotation) announced() string {
	r.t.Helper()
	kid := r.in(keystore.SigningKeyAnnounced).ID
	r.wantPublished(kid, true)
	r.load.goOn(100)
	r.pass(keystore.SigningKeyNotice - time.Minute)
	r.load.goOn(100)
	for i, g := range r.nodes {
		if got := r.signsWith(g); got != r.signers[len(r.signers)-1] {
			r.t.Errorf("node %d signs with %s a minute before the notice is over", i, got)
		}
	}
	return kid
}

// takesOver lets the notice be over: an announced key signs, on these nodes.
func (r *rotation) takesOver(kid string, on ...*site) {
	r.t.Helper()
	r.pass(time.Minute + time.Second)
	r.wantEverywhere("signed with", on, func(g *site) bool { return r.signsWith(g) == kid })
	r.signers = append(r.signers, kid)
	r.load.goOn(100)
}

// removed lets the last token of the key before expire, and then so much time pass that the key is removed.
func (r *rotation) removed() {
	r.t.Helper()
	retired := r.in(keystore.SigningKeyRetired)
	r.load.wantExpired(retired.ID)
	r.pass(0)
	r.wantPublished(retired.ID, true) // by the clock it is early yet
	r.pass(2*time.Hour + shortLifetime)
	r.wantPublished(retired.ID, false)
	r.load.goOn(100)
}

func (r *rotation) finish() {
	r.t.Helper()
	r.load.stop(r.signers...)
	for step, took := range r.heard {
		figure(r.t, "a signing key is "+step+" on all nodes after, at most", percentile(took, 1))
	}
}

// The days pass by a clock of the test, and the race is real: two processes, a load on both, and every token that is
// younger than its lifetime is good on either, whatever happens to the signing keys.
func TestRotationsUnderLoadRefuseNoToken(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	r := startRotation(t, s, s)

	// Another algorithm: the nodes themselves announce a key when they are configured anew, one after the other.
	r.policy.Algorithm = string(token.EdDSA)
	first := r.nodes[0]
	for _, g := range r.nodes {
		g.Reload(oauthCaddyfile(t, g.port, first.port, s, append(shortLived, "signing_algorithm EdDSA")...))
		r.load.goOn(50)
	}
	kid := r.announced()
	if announced := r.in(keystore.SigningKeyAnnounced); announced.Algorithm != string(token.EdDSA) {
		t.Errorf("the announced key is one for %s", announced.Algorithm)
	}
	r.takesOver(kid, r.nodes...)
	r.removed()

	// Whoever asks for it.
	for range scaled(1, 20) {
		kid = r.announce()
		r.announced()
		r.takesOver(kid, r.nodes...)
		r.removed()
	}

	// By the days.
	for range scaled(2, 20) {
		signing := r.in(keystore.SigningKeySigning)
		now, err := r.clock.Time(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.pass(signing.SignsFrom.Add(rotationPeriod - keystore.SigningKeyNotice).Sub(now))
		kid = r.announced()
		r.takesOver(kid, r.nodes...)
		r.removed()
	}
	figure(t, "days that have passed", int(r.clock.by.Hours()/24))
	r.finish()
}

// A node that does not hear of a change for a while goes on with the key that it knows, which the others accept; and when
// it hears again, it is as if nothing had been.
func TestRotationWhileOneNodeIsCutOff(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	l := startLink(t, s.redis.Addr())
	byLink := redisAt(l.URL(), s.master, nil)
	r := startRotation(t, s, byLink)

	kid := r.announce()
	r.announced()
	l.cut()
	r.takesOver(kid, r.nodes[0])
	if got := r.signsWith(r.nodes[1]); got != r.signers[0] {
		t.Errorf("a node that has not heard of it signs with %s", got)
	}
	r.load.goOn(200)
	l.heal()
	from := time.Now()
	eventually(t, "the node that was cut off signs with the new key", func() bool { return r.signsWith(r.nodes[1]) == kid })
	figure(t, "a node that was cut off signs with the new key after", time.Since(from))
	r.removed()
	r.finish()
}

// A node that is not there when a key takes over signs with that one from its first token on, and knows the one before.
func TestRotationWhileOneNodeIsRestarted(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	r := startRotation(t, s, s)

	kid := r.announce()
	r.announced()
	second := r.nodes[1]
	r.load.down[1].Store(true)
	second.Kill()
	r.takesOver(kid, r.nodes[0])
	second.Start()
	if got := r.signsWith(second); got != kid {
		t.Errorf("its first token is of the key %s, want %s", got, kid)
	}
	r.load.down[1].Store(false)
	r.load.goOn(200)
	r.removed()

	// Once more, and it starts while the key is announced: that is in the store, with its time.
	kid = r.announce()
	r.load.down[1].Store(true)
	second.Kill()
	second.Start()
	r.load.down[1].Store(false)
	r.announced()
	r.takesOver(kid, r.nodes...)
	r.removed()
	r.finish()
}

// For a key that leaked there is no notice: it is gone at once, and its tokens with it, on every node.
func TestLeakedSigningKeyIsReplacedEverywhere(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		a := oauthSite(t, s)
		nodes := []*site{a}
		if s.redis != nil {
			nodes = append(nodes, nodeBeside(t, a, s))
		}
		k := a.newKey(t, "dep1")
		before := a.token(t, k)
		for _, g := range nodes {
			g.get(t, "dep1", before).Want(http.StatusOK)
		}
		a.post(t, "/signing_keys/rotate").Want(http.StatusCreated) // the announced key is not spared
		var replaced signingKey
		call(t, http.MethodPost, a.Admin("/signing_keys/rotate"), map[string]bool{"replace": true}).Want(http.StatusCreated).JSON(&replaced)
		from := time.Now()
		after := a.token(t, k)
		if keys := a.signingKeys(t); len(keys) != 1 || keys[0] != replaced || replaced.State != "signing" || kidOf(t, after) != replaced.Kid {
			t.Errorf("the signing keys are %+v, want %+v alone", keys, replaced)
		}
		for i, g := range nodes {
			if d := untilRefused(g, keepAlive(t), "dep1", before, from); d.err != nil {
				t.Errorf("node %d: %v", i, d.err)
			}
			g.get(t, "dep1", after).Want(http.StatusOK)
			if keys := g.jwks(t); len(keys) != 1 || keys[0].KeyID != replaced.Kid {
				t.Errorf("node %d publishes %+v", i, keys)
			}
		}
		a.Restart()
		a.get(t, "dep1", after).Want(http.StatusOK)
		a.wantRevoked(t, "dep1", before, "not a valid access token")
	})
}
