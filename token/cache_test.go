package token_test

import (
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/token"
)

func TestRemembered(t *testing.T) {
	t.Parallel()
	v, ring := newVerifier(t, nil), ringOf(token.ES256)
	raw := must(ring.Sign(sampleClaims()))
	first := must(v.Verify(ring, raw))
	if n := v.Remembered(); n != 1 || !v.Remembers(raw) {
		t.Fatalf("%d tokens are remembered, want this one", n)
	}
	if again := must(v.Verify(ring, raw)); !reflect.DeepEqual(again, first) {
		t.Errorf("the first time %+v, remembered %+v", first, again)
	}
}

// What a token says comes out of the memory as it went in, and as no other token of the same key said it.
func TestRememberedAsItIs(t *testing.T) {
	t.Parallel()
	ring := ringOf(token.EdDSA)
	v := newVerifier(t, func(o *token.Options) { o.Audiences = []string{audience, "registry"} })
	key := keys()[token.EdDSA]
	raws := make(map[string]token.Verified)
	for name, edit := range map[string]func(*token.Claims){
		"a token":                    func(*token.Claims) {},
		"another":                    func(*token.Claims) {},
		"another subject":            func(c *token.Claims) { c.Subject = "x" },
		"another client":             func(c *token.Claims) { c.ClientID = "x" },
		"another audience":           func(c *token.Claims) { c.Audience = "registry" },
		"another scope":              func(c *token.Claims) { c.Scope = "x" },
		"no scope":                   func(c *token.Claims) { c.Scope = "" },
		"another Deployment":         func(c *token.Claims) { c.DeploymentID = "x" },
		"no permissions":             func(c *token.Claims) { c.Permissions = nil },
		"one permission":             func(c *token.Claims) { c.Permissions = []string{"a1:b"} },
		"the same text, two":         func(c *token.Claims) { c.Permissions = []string{"a", "b"} },
		"the same text and a length": func(c *token.Claims) { c.Permissions = []string{"a", "1:b"} },
		"later": func(c *token.Claims) {
			c.IssuedAt, c.ExpiresAt = c.IssuedAt.Add(time.Second), c.ExpiresAt.Add(time.Hour)
		},
		"an epoch of the key":        func(c *token.Claims) { c.Epochs.Key++ },
		"an epoch of the Deployment": func(c *token.Claims) { c.Epochs.Deployment++ },
		"an epoch of all":            func(c *token.Claims) { c.Epochs.All++ },
		"the longest jti":            func(c *token.Claims) { c.ID = strings.Repeat("x", 30) },
	} {
		claims := sampleClaims()
		claims.ID = token.NewID()
		edit(&claims)
		raw := must(ring.Sign(claims))
		raws[raw] = must(v.Verify(ring, raw))
		if !v.Remembers(raw) {
			t.Errorf("%s is not remembered", name)
		}
		if got := raws[raw]; !reflect.DeepEqual(got.Claims, claims) {
			t.Errorf("%s: %+v, want %+v", name, got.Claims, claims)
		}
	}
	notBefore := forge(key, headerOf(key).String(), payloadOf(sampleClaims()).with("nbf", start.Unix()).String())
	raws[notBefore] = must(v.Verify(ring, notBefore))
	for raw, want := range raws {
		if got := must(v.Verify(ring, raw)); !reflect.DeepEqual(got, want) {
			t.Errorf("remembered as %+v, want %+v", got, want)
		}
	}
}

func TestRememberedExpires(t *testing.T) {
	t.Parallel()
	clock, ring, claims := new(fakeClock), ringOf(token.ES256), sampleClaims()
	v := newVerifier(t, func(o *token.Options) { o.Now = clock.Now })
	raw := must(ring.Sign(claims))
	must(v.Verify(ring, raw))

	clock.Advance(claims.ExpiresAt.Sub(start) - time.Nanosecond)
	if _, err := v.Verify(ring, raw); err != nil {
		t.Errorf("in its last nanosecond: %v", err)
	}
	clock.Advance(time.Nanosecond)
	_, err := v.Verify(ring, raw)
	if !errors.Is(err, token.ErrExpired) || !token.Proven(err) {
		t.Errorf("at exp: got %v, want ErrExpired", err)
	}
	if got, ok := token.ProvenToken(err); !ok || got.ID != claims.ID || token.ProvenClient(err) != claims.ClientID {
		t.Errorf("at exp: the error is about %+v", got)
	}
	if n := v.Remembered(); n != 0 {
		t.Errorf("%d expired tokens are remembered", n)
	}
}

// TestRememberedWhenTheClockGoesBack has what a remembered token can be refused for besides its exp.
func TestRememberedWhenTheClockGoesBack(t *testing.T) {
	t.Parallel()
	clock, ring, claims := new(fakeClock), ringOf(token.ES256), sampleClaims()
	v := newVerifier(t, func(o *token.Options) { o.Now = clock.Now })
	raw := must(ring.Sign(claims))
	known := must(v.Verify(ring, raw))

	clock.Advance(-time.Hour)
	_, err := v.Verify(ring, raw)
	if !errors.Is(err, token.ErrNotYetValid) || !token.Proven(err) {
		t.Errorf("got %v, want ErrNotYetValid", err)
	}
	if got, ok := token.ProvenToken(err); !ok || !reflect.DeepEqual(*got, known) || token.ProvenClient(err) != claims.ClientID {
		t.Errorf("the error is about %+v, not about the token that was remembered", got)
	}
	if n := v.Remembered(); n != 0 {
		t.Errorf("%d refused tokens are remembered", n)
	}
}

func TestForgottenAtExpiryWithoutBeingAsked(t *testing.T) {
	t.Parallel()
	clock, ring := new(fakeClock), ringOf(token.EdDSA)
	v := newVerifier(t, func(o *token.Options) { o.Now = clock.Now })
	for range 100 {
		must(v.Verify(ring, must(ring.Sign(sampleClaims()))))
	}
	if n := v.Remembered(); n != 100 {
		t.Fatalf("%d tokens are remembered, want 100", n)
	}
	clock.Advance(24 * time.Hour)
	if n := v.Remembered(); n != 0 {
		t.Errorf("%d tokens are remembered after their time", n)
	}
}

func TestRememberedUnderKeyThatIsGone(t *testing.T) {
	t.Parallel()
	v, ring := newVerifier(t, nil), ringOf(token.ES256)
	raw := must(ring.Sign(sampleClaims()))
	must(v.Verify(ring, raw))

	without := must(token.NewRing([]*token.SigningKey{keys()[token.EdDSA]}, keys()[token.EdDSA].ID()))
	_, err := v.Verify(without, raw)
	if !errors.Is(err, token.ErrUnknownKey) || token.Proven(err) {
		t.Errorf("got %v, want ErrUnknownKey, unproven", err)
	}
	if n := v.Remembered(); n != 0 {
		t.Error("the token is remembered although its key is gone")
	}
	if _, err := v.Verify(ring, raw); err != nil {
		t.Errorf("with the key back: %v", err)
	}
}

// TestRememberedByWholeToken changes what a key of less than the whole text would not see.
func TestRememberedByWholeToken(t *testing.T) {
	t.Parallel()
	v, ring := newVerifier(t, nil), ringOf(token.ES256)
	raw := must(ring.Sign(sampleClaims()))
	must(v.Verify(ring, raw))
	for i := range raw {
		changed := raw[:i] + string(raw[i]^1) + raw[i+1:]
		if got, err := v.Verify(ring, changed); err == nil {
			t.Fatalf("accepted with another byte at %d: %+v", i, got)
		}
	}
	if _, err := v.Verify(ring, raw[:len(raw)-1]); err == nil {
		t.Error("accepted truncated")
	}
}

// TestMemoryOfOneVerifier shows that one verifier's memory does nothing for another, which asks for
// another issuer or audience (CVE-2026-33496).
func TestMemoryOfOneVerifier(t *testing.T) {
	t.Parallel()
	ring := ringOf(token.ES256)
	raw := must(ring.Sign(sampleClaims()))
	must(newVerifier(t, nil).Verify(ring, raw))

	other := newVerifier(t, func(o *token.Options) { o.Audiences = []string{"registry"} })
	if _, err := other.Verify(ring, raw); !errors.Is(err, token.ErrAudience) {
		t.Errorf("another audience: got %v", err)
	}
	other = newVerifier(t, func(o *token.Options) { o.Issuer = "https://other.example.com" })
	if _, err := other.Verify(ring, raw); !errors.Is(err, token.ErrIssuer) {
		t.Errorf("another issuer: got %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	ring := ringOf(token.EdDSA)
	v := newVerifier(t, func(o *token.Options) { o.CacheSize = 10 })
	for range 50 {
		raw := must(ring.Sign(sampleClaims()))
		for range 2 {
			if _, err := v.Verify(ring, raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := v.Remembered(); n != 10 {
		t.Errorf("%d tokens are remembered, want the 10 that are allowed", n)
	}
}

func TestMemoryHoldsAsManyAsItSays(t *testing.T) {
	t.Parallel()
	ring := ringOf(token.EdDSA)
	v := newVerifier(t, func(o *token.Options) { o.CacheSize = 2_000 })
	var raws []string
	for range 2_000 {
		raw := must(ring.Sign(sampleClaims()))
		must(v.Verify(ring, raw))
		raws = append(raws, raw)
	}
	for i, raw := range raws {
		if !v.Remembers(raw) {
			t.Errorf("token %d is not remembered", i)
		}
	}
	for range 1_000 {
		must(v.Verify(ring, must(ring.Sign(sampleClaims()))))
	}
	if n := v.Remembered(); n > 2_000 {
		t.Errorf("%d tokens are remembered, 2,000 are allowed", n)
	}
}

// Of more tokens than there is room for, each asked for in turn, those that have room are not driven out just before they
// are asked for again.
func TestMoreTokensThanRoomInTurn(t *testing.T) {
	t.Parallel()
	ring := ringOf(token.EdDSA)
	v := newVerifier(t, func(o *token.Options) { o.CacheSize = 400 })
	raws := make([]string, 440)
	for i := range raws {
		raws[i] = must(ring.Sign(sampleClaims()))
	}
	found := 0
	for range 5 {
		found = 0
		for _, raw := range raws {
			if v.Remembers(raw) {
				found++
			}
			must(v.Verify(ring, raw))
		}
	}
	if found < 100 {
		t.Errorf("%d of 440 were remembered, with room for 400", found)
	}
}

// A token in use is not driven out by tokens that are used once.
func TestTokenInUseStays(t *testing.T) {
	t.Parallel()
	ring := ringOf(token.EdDSA)
	v := newVerifier(t, func(o *token.Options) { o.CacheSize = 10 })
	inUse := must(ring.Sign(sampleClaims()))
	must(v.Verify(ring, inUse))
	for range 50 {
		if must(v.Verify(ring, inUse)); !v.Remembers(inUse) {
			t.Fatal("it was driven out")
		}
		must(v.Verify(ring, must(ring.Sign(sampleClaims()))))
	}
}

func TestVerifyAfterClose(t *testing.T) {
	t.Parallel()
	v, ring := newVerifier(t, nil), ringOf(token.ES256)
	raw := must(ring.Sign(sampleClaims()))
	must(v.Verify(ring, raw))
	v.Close()
	v.Close()
	if n := v.Remembered(); n != 0 {
		t.Errorf("%d tokens are remembered after Close", n)
	}
	if _, err := v.Verify(ring, raw); err != nil {
		t.Error(err)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	clock, rings := new(fakeClock), []*token.Ring{ringOf(token.ES256), ringOf(token.EdDSA)}
	v := newVerifier(t, func(o *token.Options) { o.Now, o.CacheSize = clock.Now, 4 })
	without := must(token.NewRing([]*token.SigningKey{keys()[token.RS256]}, keys()[token.RS256].ID()))
	var raws []string
	for range 4 {
		for _, ring := range rings {
			raws = append(raws, must(ring.Sign(sampleClaims())))
		}
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				raw := raws[(worker+i)%len(raws)]
				if _, err := v.Verify(rings[i%2], raw); err != nil {
					t.Error(err)
				}
				if _, err := v.Verify(without, raw); !errors.Is(err, token.ErrUnknownKey) {
					t.Errorf("got %v, want ErrUnknownKey", err)
				}
				clock.Advance(time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// TestRememberedAllocatesNothing is not parallel: it counts what the whole process allocates.
func TestRememberedAllocatesNothing(t *testing.T) {
	for _, alg := range algorithms {
		v, ring := newVerifier(t, nil), ringOf(alg)
		verified := must(ring.Sign(sampleClaims()))
		must(v.Verify(ring, verified))
		for name, raw := range map[string]string{"verified": verified, "issued": must(v.Issue(ring, sampleClaims()))} {
			if n := testing.AllocsPerRun(1000, func() { _, _ = v.Verify(ring, raw) }); n > 0 {
				t.Errorf("%s, %s: %v allocations", alg, name, n)
			}
		}
	}
}

// A configuration that is only validated makes a verifier too.
func TestReserveIsTakenWithTheFirstToken(t *testing.T) {
	t.Parallel()
	v, ring := newVerifier(t, nil), ringOf(token.EdDSA)
	if n := v.Reserve(); n != 0 {
		t.Errorf("%d bytes before there is a token", n)
	}
	must(v.Issue(ring, sampleClaims()))
	if n := v.Reserve(); n != 12<<20 {
		t.Errorf("%d bytes with the first token, want 12 MiB", n)
	}
}

// TestClosedVerifierLeavesNoGoroutine is not parallel: it looks at those of the whole process.
func TestClosedVerifierLeavesNoGoroutine(t *testing.T) {
	ring := ringOf(token.EdDSA)
	v := newVerifier(t, func(o *token.Options) { o.CacheSize = 10 })
	for range 1_000 {
		must(v.Issue(ring, sampleClaims()))
	}
	v.Close()
	stacks := make([]byte, 1<<20)
	poll, deadline := time.NewTicker(time.Millisecond), time.After(10*time.Second)
	defer poll.Stop()
	for {
		all := string(stacks[:runtime.Stack(stacks, true)])
		if !strings.Contains(all, "maypok86/otter") {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("a goroutine is left:\n%s", all)
		}
	}
}
