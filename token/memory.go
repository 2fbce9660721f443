package token

import (
	"crypto/aes"
	"crypto/cipher"
	crand "crypto/rand"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultCacheSize is how many proven tokens are remembered when [Options] say nothing: one for each
// job of a busy day. That is about 12 MB, taken with the first of them (see takeRoom).
const DefaultCacheSize = 100_000

// memory remembers tokens that were proven, so that only the first request with one pays for the
// signature. It holds what a token says and never what was decided on it: a decision would have
// to be forgotten whenever a route, a key or a Deployment changes. Tokens that were refused are
// not in it: anybody could fill it with those.
//
// It belongs to one [Verifier], whose issuer and audiences never change, so what it holds was
// proven by the same rules as it is asked for.
//
// What it holds of a token has no pointers, so the garbage collector has nothing to look at in it. In a
// cache of pointers, 100,000 tokens made it take a seventh of all CPU time.
type memory struct {
	size int
	hash cipher.AEAD
	held atomic.Pointer[heldTokens]
}

// heldTokens are tokens, and who they are of. They are replaced as a whole, never emptied: a place in
// holders that one request has read stays what it was.
type heldTokens struct {
	shards  []shard // 2^n of them
	holders *holders
	room    sync.Once // for takeRoom
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
	_, _ = crand.Read(key[:]) // never fails: it ends the process instead
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// newMemory makes a memory for that many tokens, and up to a quarter more; 0 means [DefaultCacheSize].
func newMemory(size int) (*memory, error) {
	if size == 0 {
		size = DefaultCacheSize
	}
	hash, err := newDigestHash()
	if err != nil {
		return nil, err
	}
	m := &memory{size: size, hash: hash}
	m.clear()
	return m, nil
}

func (m *memory) clear() {
	m.held.Store(newHeldTokens(m.size))
}

const (
	mostShards, leastInShard = 64, 512

	// leastRoom is for how many tokens there is room from the first on, if there may be as many.
	leastRoom = DefaultCacheSize + DefaultCacheSize/8
)

func newHeldTokens(size int) *heldTokens {
	count := 1
	for count < mostShards && size/(2*count) >= leastInShard {
		count *= 2
	}
	room := size / count
	if count > 1 {
		// Chance gives one shard more than another; five standard deviations are enough for as many as size.
		room += int(5 * math.Sqrt(float64(room)))
	}
	held := &heldTokens{shards: make([]shard, count), holders: newHolders(size)}
	for i := range held.shards {
		held.shards[i].size = room
	}
	return held
}

// takeRoom takes the room for as many tokens as there may be, up to those of the default, in one piece, of which the
// system gives the pages as they are used. Without it the shards would grow one by one, and copy what they hold, while
// requests wait. It is taken with the first token: a configuration that is only validated takes none.
//
// It has a second effect, which is larger: 12 MB without pointers triple what a small gateway holds, so that the
// garbage collector runs a third as often. That takes time off every request, whether it is authorized or not
// (docs/benchmarks.md).
func (held *heldTokens) takeRoom() {
	each := min(held.shards[0].size, leastRoom/len(held.shards))
	all := make([]remembered, each*len(held.shards))
	for i := range held.shards {
		s := &held.shards[i]
		s.mu.Lock()
		s.slots = all[i*each : i*each : (i+1)*each]
		s.places = make(map[tokenDigest]int32, each)
		s.mu.Unlock()
	}
}

func (held *heldTokens) shard(id tokenDigest) *shard {
	return &held.shards[int(id[0])&(len(held.shards)-1)]
}

// withRoom is what is held, with room for what is to be put in.
func (m *memory) withRoom() *heldTokens {
	held := m.held.Load()
	held.room.Do(held.takeRoom)
	return held
}

func (m *memory) get(id tokenDigest) (Verified, bool) {
	held := m.held.Load()
	token, ok := held.shard(id).get(id)
	if !ok {
		return Verified{}, false
	}
	return token.verified(held.holders), true
}

func (m *memory) put(id tokenDigest, token *Verified) {
	if len(token.ID) > longestRememberedID {
		return
	}
	held := m.withRoom()
	holder, ok := held.holders.place(token)
	if !ok {
		// There have been as many holders as tokens have room: most are of keys and epochs that are long gone.
		m.held.CompareAndSwap(held, newHeldTokens(m.size))
		held = m.withRoom()
		if holder, ok = held.holders.place(token); !ok {
			return
		}
	}
	held.shard(id).put(rememberedToken(id, token, holder))
}

func (m *memory) forget(id tokenDigest) { m.held.Load().shard(id).remove(id) }

// count drops the tokens that have expired, and counts the others.
func (m *memory) count(now time.Time) int {
	count := 0
	held := m.held.Load()
	for i := range held.shards {
		count += held.shards[i].dropExpired(now.Unix())
	}
	return count
}

// A shard holds a part of the tokens. When it is full, one makes room that was not asked for since it was
// looked at last: tokens that are used once do not drive out those in use. The search for it begins
// anywhere, so that of more tokens than there is room for, all in turn, some are still there.
type shard struct {
	mu     sync.Mutex
	places map[tokenDigest]int32 // in slots
	slots  []remembered          // at most size
	size   int

	_ [16]byte // a cache line for each shard
}

func (s *shard) get(id tokenDigest) (remembered, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	place, ok := s.places[id]
	if !ok {
		return remembered{}, false
	}
	token := &s.slots[place]
	token.used = true
	return *token, true
}

func (s *shard) put(token remembered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.places[token.digest]; ok {
		return
	}
	if len(s.slots) < s.size {
		s.places[token.digest] = int32(len(s.slots))
		s.slots = append(s.slots, token)
		return
	}
	place := rand.IntN(len(s.slots))
	for s.slots[place].used {
		s.slots[place].used = false
		place = (place + 1) % len(s.slots)
	}
	delete(s.places, s.slots[place].digest)
	s.places[token.digest], s.slots[place] = int32(place), token
}

func (s *shard) remove(id tokenDigest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if place, ok := s.places[id]; ok {
		s.removeAt(int(place))
	}
}

// removeAt moves the last token into the place of one that goes.
func (s *shard) removeAt(place int) {
	last := len(s.slots) - 1
	delete(s.places, s.slots[place].digest)
	if place != last {
		s.slots[place] = s.slots[last]
		s.places[s.slots[place].digest] = int32(place)
	}
	s.slots = s.slots[:last]
}

// dropExpired returns how many are left.
func (s *shard) dropExpired(now int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for place := len(s.slots) - 1; place >= 0; place-- {
		if s.slots[place].expiresAt <= now {
			s.removeAt(place)
		}
	}
	return len(s.slots)
}
