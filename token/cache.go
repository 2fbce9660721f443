package token

import (
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// DefaultCacheSize is how many verified tokens are cached when [Options] say nothing: one for each job of a busy day.
// An entry takes about 1.2 KB, so that is at most 120 MB.
const DefaultCacheSize = 100_000

// cache holds tokens that were verified or issued here, so that only the first request with one pays for the
// signature. It holds what a token says and never what was decided on it: a decision would have to be
// forgotten whenever a route, a key or a Deployment changes. Refused tokens are not in it: anybody could fill it
// with those.
//
// It belongs to one [Verifier], whose issuer and audiences never change, so what it holds was verified by the same
// rules as it is asked for.
//
// The key is the whole text of a token, signature included, which is hashed under a random seed of this cache and then
// compared. The comparison is not in constant time, and need not be. It runs only where a text has the same place in
// the table, and which texts have that depends on the seed, which nobody learns. It compares 8 bytes or more at a time, so
// to find out more of a signature by its time, a stranger would have to guess 48 bits of it at once, and to know the jti.
type cache struct {
	tokens *otter.Cache[string, *Verified]

	// reserve is allocated with the first token and never used, so it takes no memory of the machine. But the garbage
	// collector runs each time the heap has doubled, and counts it: in a small gateway it runs a third as often, which
	// takes up to a tenth off the CPU time of a proxied request.
	reserve     []byte
	withReserve sync.Once
}

const reserveSize = 12 << 20

// newCache makes a cache for that many tokens; 0 means [DefaultCacheSize]. It starts no goroutine that stays.
func newCache(size int) *cache {
	if size == 0 {
		size = DefaultCacheSize
	}
	return &cache{tokens: otter.Must(&otter.Options[string, *Verified]{MaximumSize: size})}
}

func (c *cache) get(raw string) (*Verified, bool) { return c.tokens.GetIfPresent(raw) }

// put keeps a copy of the text, which may be a part of a larger one.
func (c *cache) put(raw string, token *Verified) {
	c.withReserve.Do(func() { c.reserve = make([]byte, reserveSize) })
	c.tokens.Set(strings.Clone(raw), token)
}

func (c *cache) forget(raw string) { c.tokens.Invalidate(raw) }

func (c *cache) clear() { c.tokens.InvalidateAll() }

// count drops the tokens that have expired, and counts the others.
func (c *cache) count(now time.Time) int {
	c.tokens.CleanUp()
	count := 0
	for raw, token := range c.tokens.All() {
		if !now.Before(token.ExpiresAt) {
			c.forget(raw)
			continue
		}
		count++
	}
	return count
}
