package token

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// This file is what the memory keeps of a token: what it alone says, in a value without pointers, and
// what it has in common with other tokens of its API key, once for all of them.

// longestRememberedID is how long a jti may be for its token to be remembered. Those of [NewID] have
// 22 bytes.
const longestRememberedID = 30

// A remembered is what a token alone says. It has no pointers: see [memory].
type remembered struct {
	digest   tokenDigest
	used     bool // since it was looked at for room
	idLength uint8
	id       [longestRememberedID]byte // jti
	holder   uint32                    // its place in holders

	issuedAt, expiresAt, notBefore int64 // in seconds since 1970; notBefore 0: the token has none
}

func rememberedToken(digest tokenDigest, token *Verified, holder uint32) remembered {
	r := remembered{digest: digest, holder: holder, issuedAt: token.IssuedAt.Unix(), expiresAt: token.ExpiresAt.Unix()}
	r.idLength = uint8(copy(r.id[:], token.ID))
	if !token.notBefore.IsZero() {
		r.notBefore = token.notBefore.Unix()
	}
	return r
}

// verified is the token that this was made of.
func (r *remembered) verified(all *holders) Verified {
	token := *all.at(r.holder)
	token.ID = string(r.id[:r.idLength])
	token.IssuedAt, token.ExpiresAt = time.Unix(r.issuedAt, 0).UTC(), time.Unix(r.expiresAt, 0).UTC()
	if r.notBefore != 0 {
		token.notBefore = time.Unix(r.notBefore, 0).UTC()
	}
	return token
}

// holders are what tokens of one API key and scope have in common, each once. None is ever removed or
// changed, so a place means the same for as long as there are the holders.
type holders struct {
	limit  int
	mu     sync.Mutex
	places map[holder]uint32
	known  atomic.Pointer[[]*Verified] // with no ID and no times
}

// A holder is all claims but jti and times, and the key that signed.
type holder struct {
	subject, audience, clientID, scope, deploymentID, permissions, keyID string

	epochs Epochs
}

func newHolders(limit int) *holders {
	h := &holders{limit: limit, places: make(map[holder]uint32)}
	h.known.Store(new([]*Verified))
	return h
}

func (h *holders) at(place uint32) *Verified { return (*h.known.Load())[place] }

// place finds the holder of a token, or adds it. It returns false when there is no room.
func (h *holders) place(token *Verified) (uint32, bool) {
	key := holderOf(token)
	h.mu.Lock()
	defer h.mu.Unlock()
	if place, ok := h.places[key]; ok {
		return place, true
	}
	known := *h.known.Load()
	if len(known) >= h.limit {
		return 0, false
	}
	common := *token
	common.ID, common.IssuedAt, common.ExpiresAt, common.notBefore = "", time.Time{}, time.Time{}, time.Time{}
	place := uint32(len(known))
	// Whoever reads a place has it from here, so what is appended behind the places of others disturbs nobody.
	known = append(known, &common)
	h.known.Store(&known)
	h.places[key] = place
	return place, true
}

// holderOf is of a token whose issuer is the verifier's, as that of all that are remembered.
func holderOf(token *Verified) holder {
	// With their lengths, so that no two lists read the same.
	var permissions []byte
	for _, one := range token.Permissions {
		permissions = strconv.AppendInt(permissions, int64(len(one)), 10)
		permissions = append(permissions, ':')
		permissions = append(permissions, one...)
	}
	return holder{
		subject: token.Subject, audience: token.Audience, clientID: token.ClientID, scope: token.Scope,
		deploymentID: token.DeploymentID, permissions: string(permissions), keyID: token.KeyID, epochs: token.Epochs,
	}
}
