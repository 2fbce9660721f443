package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// DefaultCacheSize is how many proven tokens are remembered when [Options] say nothing: one for each
// job of a busy day. Full, that is about 64 MB (measured: 640 bytes a token).
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
	hash   cipher.AEAD
	coarse *otter.CoarseClock // nil when the verifier has a clock of its own
}

// tokenDigest stands for a whole token, signature included, so that no bearer lies about in memory,
// and two texts with the same claims are two entries.
//
// It is the tag of AES-GCM over the token as additional data, under a random key that lives as long
// as the memory, and always the same nonce. That is GHASH, masked: a keyed universal hash (NIST SP
// 800-38D, section 6.4), with which two texts of n blocks collide with a probability of n/2^128 at
// most, whoever chose them, as long as nobody has seen the key or a digest; none leaves the memory.
// SHA-256 would do the same in three times the time, which was half of what a remembered token costs.
// The fixed nonce would be fatal for encryption or for tags that are shown. Nothing is encrypted.
type tokenDigest [gcmTagSize]byte

const gcmTagSize, gcmNonceSize = 16, 12

var digestNonce [gcmNonceSize]byte

// scratch is what a digest needs besides the token: AEAD is an interface, so whatever is handed to
// it would be allocated each time.
type scratch struct {
	text   []byte
	digest tokenDigest
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (m *memory) digest(raw string) tokenDigest {
	s := scratches.Get().(*scratch)
	s.text = append(s.text[:0], raw...)
	m.hash.Seal(s.digest[:0], digestNonce[:], nil, s.text)
	digest := s.digest
	clear(s.text) // no bearer lies about in memory
	scratches.Put(s)
	return digest
}

func newDigestHash() (cipher.AEAD, error) {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails: it ends the process instead
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// newMemory makes a memory for that many tokens; 0 means [DefaultCacheSize].
//
// Each is dropped at its exp, by a goroutine that looks once a second: 24 hours' tokens would
// otherwise stay until others push them out. The clock by which that is done is read with each lookup.
// It is the real one, now being nil, as it was a second ago at most: reading that costs nothing, and
// whether a token has expired is the verifier's to say, who looks at the time itself. A verifier with a
// clock of its own shares it.
func newMemory(size int, now func() time.Time) (*memory, error) {
	if size == 0 {
		size = DefaultCacheSize
	}
	hash, err := newDigestHash()
	if err != nil {
		return nil, err
	}
	m := &memory{hash: hash}
	ticking := otter.Clock(clock(now))
	if now == nil {
		now = time.Now
		m.coarse = otter.NewCoarseClock(time.Second)
		ticking = m.coarse
	}
	m.tokens, err = otter.New(&otter.Options[tokenDigest, *Verified]{
		MaximumSize: size,
		Clock:       ticking,
		ExpiryCalculator: otter.ExpiryCreatingFunc(func(e otter.Entry[tokenDigest, *Verified]) time.Duration {
			// At least a nanosecond, since otter keeps for ever what lives for 0 or less: a token
			// may have expired since its time was checked.
			return max(e.Value.ExpiresAt.Sub(now()), time.Nanosecond)
		}),
	})
	if err != nil {
		m.stopClock()
		return nil, err
	}
	return m, nil
}

func (m *memory) get(id tokenDigest) (*Verified, bool) { return m.tokens.GetIfPresent(id) }

func (m *memory) put(id tokenDigest, token *Verified) { m.tokens.SetIfAbsent(id, token) }

func (m *memory) forget(id tokenDigest) { m.tokens.Invalidate(id) }

// size does what the cache has put off, and counts.
func (m *memory) size() int {
	m.tokens.CleanUp()
	return m.tokens.EstimatedSize()
}

func (m *memory) close() {
	m.tokens.StopAllGoroutines()
	m.tokens.InvalidateAll()
	m.stopClock()
}

func (m *memory) stopClock() {
	if m.coarse != nil {
		m.coarse.Stop()
	}
}

// clock is a verifier's clock as the cache wants it. The ticks of the clean-up are of the real one.
type clock func() time.Time

func (c clock) NowNano() int64 { return c().UnixNano() }

func (c clock) Tick(interval time.Duration) <-chan time.Time { return time.Tick(interval) }

// Interface guard
var _ otter.Clock = clock(nil)
