package token_test

import (
	"errors"
	"runtime"
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
	if n := v.Remembered(); n != 1 {
		t.Fatalf("%d tokens are remembered, want 1", n)
	}
	if again := must(v.Verify(ring, raw)); again != first {
		t.Error("the token was proven a second time")
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
	// Beyond the second by which the cache's own clock may round.
	clock.Advance(2 * time.Second)
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
	if got, ok := token.ProvenToken(err); !ok || got != known || token.ProvenClient(err) != claims.ClientID {
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
	clock.Advance(24*time.Hour + 2*time.Second)
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
	if n := v.Remembered(); n > 10 {
		t.Errorf("%d tokens are remembered, at most 10 are allowed", n)
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

// TestRememberedDoesNotAllocate is not parallel: it counts what the whole process allocates.
func TestRememberedDoesNotAllocate(t *testing.T) {
	for _, alg := range algorithms {
		v, ring := newVerifier(t, nil), ringOf(alg)
		raw := must(ring.Sign(sampleClaims()))
		must(v.Verify(ring, raw))
		if n := testing.AllocsPerRun(1000, func() { _, _ = v.Verify(ring, raw) }); n > 0 {
			t.Errorf("%s: %v allocations", alg, n)
		}
	}
}

// A verifier by the clock of the machine has a goroutine for that besides the one of its memory.
func TestCloseEndsTheGoroutines(t *testing.T) { // not beside others, which have goroutines too
	before := runtime.NumGoroutine()
	v := must(token.NewVerifier(token.Options{Issuer: issuer, Audiences: []string{audience}}))
	if n := runtime.NumGoroutine(); n <= before {
		t.Fatalf("%d goroutines, before the verifier was made %d: the test looks at the wrong thing", n, before)
	}
	v.Close()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, before the verifier was made %d", runtime.NumGoroutine(), before)
		}
	}
}
