package token

import (
	"crypto/sha256"
	"time"

	"github.com/maypok86/otter/v2"
)

// DefaultCacheSize is how many proven tokens are remembered when [Options] say nothing: one for each
// job of a busy day. Full, that is about 60 MB (measured: 610 bytes a token).
const DefaultCacheSize = 100_000

// memory remembers tokens that were proven, so that only the first request with one pays for the
// signature. It holds what a token says and never what was decided on it: a decision would have
// to be forgotten whenever a route, a key or a Deployment changes. Tokens that were refused are
// not in it: anybody could fill it with those.
//
// It belongs to one [Verifier], whose issuer and audiences never change, so what it holds was
// proven by the same rules as it is asked for.
type memory struct {
	tokens *otter.Cache[tokenDigest, *Verified]
}

// tokenDigest is the SHA-256 of a whole token, signature included. It stands for the token, so that
// no bearer lies about in memory, and two texts with the same claims are two entries.
type tokenDigest [sha256.Size]byte

func digest(raw string) tokenDigest {
	// On the stack for any token that is likely: a conversion would copy it to the heap.
	var buffer [2048]byte
	return sha256.Sum256(append(buffer[:0], raw...))
}

// newMemory makes a memory for that many tokens; 0 means [DefaultCacheSize].
//
// Each is dropped at its exp, by a goroutine that looks once a second: 24 hours' tokens would
// otherwise stay until others push them out. It costs a read of the clock a lookup. The clock is
// the verifier's, so that both agree on what has expired.
func newMemory(size int, now func() time.Time) (*memory, error) {
	if size == 0 {
		size = DefaultCacheSize
	}
	tokens, err := otter.New(&otter.Options[tokenDigest, *Verified]{
		MaximumSize: size,
		Clock:       clock(now),
		ExpiryCalculator: otter.ExpiryCreatingFunc(func(e otter.Entry[tokenDigest, *Verified]) time.Duration {
			// At least a nanosecond, since otter keeps for ever what lives for 0 or less: a token
			// may have expired since its time was checked.
			return max(e.Value.ExpiresAt.Sub(now()), time.Nanosecond)
		}),
	})
	if err != nil {
		return nil, err
	}
	return &memory{tokens: tokens}, nil
}

func (m *memory) get(id tokenDigest) (*Verified, bool) { return m.tokens.GetIfPresent(id) }

func (m *memory) put(id tokenDigest, token *Verified) { m.tokens.SetIfAbsent(id, token) }

func (m *memory) forget(id tokenDigest) { m.tokens.Invalidate(id) }

func (m *memory) close() {
	m.tokens.StopAllGoroutines()
	m.tokens.InvalidateAll()
}

// clock is a verifier's clock as the cache wants it. The ticks of the clean-up are of the real one.
type clock func() time.Time

func (c clock) NowNano() int64 { return c().UnixNano() }

func (c clock) Tick(interval time.Duration) <-chan time.Time { return time.Tick(interval) }

// Interface guard
var _ otter.Clock = clock(nil)
