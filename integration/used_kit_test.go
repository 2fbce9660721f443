package integration

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
)

// usedKey is when a key was used, as the admin API shows it.
type usedKey struct {
	ID                       string     `json:"id"`
	LastUsedAt               time.Time  `json:"last_used_at"`
	LastTokenAt              time.Time  `json:"last_token_at"`
	LastTokenAddress         netip.Addr `json:"last_token_address"`
	LastRequestAt            time.Time  `json:"last_request_at"`
	LastRequestAddress       netip.Addr `json:"last_request_address"`
	PreviousSecretLastUsedAt time.Time  `json:"previous_secret_last_used_at"`
}

// lastUse asks a gateway when a key was used.
func (s *site) lastUse(t *testing.T, k key) (use usedKey) {
	t.Helper()
	call(t, http.MethodGet, s.Admin("/deployments/"+k.DeploymentID+"/keys/"+k.ID), nil).Want(http.StatusOK).JSON(&use)
	return use
}

// second is the present second, as a gateway notes it.
func second() time.Time { return time.Now().UTC().Truncate(time.Second) }

// clientAt is a client with another address of this machine.
func clientAt(t *testing.T, address string) *http.Client {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dialer.DialContext}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// usersOf use keys on gateways as fast as they can, until they are stopped. What a key is answered does not matter: it
// may be deleted meanwhile.
type usersOf struct {
	end  context.CancelFunc
	done sync.WaitGroup
	uses atomic.Int64 // that were accepted
}

func startUsing(t *testing.T, nodes []*site, keys []key, tokens []string) *usersOf {
	t.Helper()
	const perNode = 2
	ctx, cancel := context.WithCancel(t.Context())
	u := &usersOf{end: cancel}
	for _, node := range nodes {
		for first := range perNode {
			c := keepAlive(t)
			u.done.Go(func() {
				for i := first; ctx.Err() == nil; i++ {
					n := i % len(keys)
					if status, err := node.fetch(c, keys[n].DeploymentID, tokens[n]); err == nil && status == http.StatusOK {
						u.uses.Add(1)
					}
				}
			})
		}
	}
	t.Cleanup(u.stop)
	return u
}

func (u *usersOf) stop() {
	u.end()
	u.done.Wait()
}

// goOn waits until more uses were accepted.
func (u *usersOf) goOn(t *testing.T, more int64) {
	t.Helper()
	until := u.uses.Load() + more
	eventually(t, "keys are used", func() bool { return u.uses.Load() >= until })
}

// useWrites counts the writes of one key's use, as Redis itself tells of them.
type useWrites struct {
	count atomic.Int64
}

func watchUseWrites(t *testing.T, s store, keyID string) *useWrites {
	t.Helper()
	client := s.redis.Client()
	if err := client.ConfigSet(t.Context(), "notify-keyspace-events", "K$").Err(); err != nil {
		t.Fatal(err)
	}
	w := &useWrites{}
	heard := client.PSubscribe(t.Context(), "__keyspace@0__:*used/"+keyID)
	if _, err := heard.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = heard.Close() })
	messages := heard.Channel()
	go func() {
		for range messages {
			w.count.Add(1)
		}
	}()
	return w
}

// raw opens the store below the gateways. An embedded one must not be in use.
func (s store) raw(t *testing.T, g *site) keystore.Store {
	t.Helper()
	var raw keystore.Store
	var err error
	if s.redis != nil {
		raw, err = redisstore.Open(redisstore.Options{URL: s.redis.URL(), Timeout: patience})
	} else {
		raw, err = boltstore.Open(dataFile(g.gateway, "keys.db"), boltstore.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

// wantNothingOf holds that a store has nothing of keys that were deleted: no record, and no member of the index of those
// that were used. Of Redis every key is looked at, but for the log. It returns the store.
func (s store) wantNothingOf(t *testing.T, g *site, keys []key) keystore.Store {
	t.Helper()
	raw := s.raw(t, g)
	gone := make(map[string]bool)
	for _, k := range keys {
		gone[k.ID] = true
		records, err := raw.Get(t.Context(), "key/"+k.ID, "used/"+k.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i, record := range records {
			if record != nil {
				t.Errorf("record %d of the deleted key %s is there", i, k.ID)
			}
		}
	}
	members, err := raw.Members(t.Context(), "used/"+keys[0].DeploymentID, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range members {
		if gone[id] {
			t.Errorf("the index of used keys has the deleted key %s", id)
		}
	}
	if s.redis == nil {
		return raw
	}
	client := s.redis.Client()
	names := client.Scan(t.Context(), 0, "*", 1000).Iterator()
	for names.Next(t.Context()) {
		text := names.Val()
		if client.Type(t.Context(), text).Val() == "zset" {
			all, err := client.ZRange(t.Context(), text, 0, -1).Result()
			if err != nil {
				t.Fatal(err)
			}
			text += " " + strings.Join(all, " ")
		}
		for id := range gone {
			if strings.Contains(text, id) {
				t.Errorf("Redis has the deleted key %s in %s", id, text)
			}
		}
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	return raw
}
