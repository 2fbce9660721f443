package integration

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// usesLag is how old at most what the admin API says of a key in constant use is, with the second that is noted, and
// what a busy machine adds.
const usesLag = time.Minute + 2*time.Second

// A key in constant use costs each node one write a minute, whatever it is used for.
func TestKeyInUseCostsOneWriteAMinute(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		nodes := []*site{startSite(t, s)}
		if s.redis != nil {
			nodes = append(nodes, startSite(t, s), startSite(t, s))
		}
		nodes[0].newDeployment(t, "dep1")
		k := nodes[0].newKey(t, "dep1")
		var told *useWrites
		if s.redis != nil {
			told = watchUseWrites(t, s, k.ID)
		}
		const changes = `caddy_deployment_keys_store_calls_total{operation="apply",outcome="ok"}`
		before := make([]float64, len(nodes))
		for _, node := range nodes {
			node.askToken(t, k).Want(http.StatusOK) // nobody opens the store or makes a signing key later
		}
		for i, node := range nodes {
			settle(t, node) // nor has anything to enter into the audit log
			before[i] = node.metric(t, changes)
		}
		began := time.Now().Add(-time.Second) // when the first of these tokens was asked for, or before
		token := nodes[0].token(t, k)
		users := startUsing(t, nodes, []key{k}, []string{token})
		// How long it takes is what is measured, so this does wait.
		lasts := time.After(time.Duration(scaled(6, 190)) * time.Second)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for going := true; going; {
			select {
			case <-lasts:
				going = false
			case <-tick.C:
				for _, node := range nodes {
					use := node.lastUse(t, k)
					if late := time.Since(use.LastUsedAt); time.Since(began) > usesLag && late > usesLag {
						t.Errorf("last_used_at is %s old", late)
					}
				}
			}
		}
		users.stop()
		took := time.Since(began)
		figure(t, fmt.Sprintf("uses of one key a second, %d nodes with the race detector", len(nodes)), int(float64(users.uses.Load())/took.Seconds()))

		most := int(took/time.Minute) + 1
		all := 0
		for i, node := range nodes {
			made := int(node.metric(t, changes) - before[i])
			all += made
			// The first write may have been made for the first token, before what is counted.
			if made > most {
				t.Errorf("node %d made %d changes of the store in %s, want %d at most", i, made, took, most)
			}
		}
		use := nodes[len(nodes)-1].lastUse(t, k)
		if use.LastUsedAt.IsZero() || use.LastTokenAt.IsZero() {
			t.Errorf("nothing was written: %+v", use)
		}
		figure(t, fmt.Sprintf("changes of the store for %d uses in %s, %d nodes", users.uses.Load(), took.Round(time.Second), len(nodes)), all)
		if told == nil {
			return
		}
		if writes := int(told.count.Load()); writes < 1 || writes > most*len(nodes) {
			t.Errorf("Redis tells of %d writes in %s, want 1 to %d", writes, took, most*len(nodes))
		}
	})
}

func TestLastUseIsKnownToAllNodes(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a, b, c := startSite(t, s), startSite(t, s), startSite(t, s)
	a.newDeployment(t, "dep1")
	k := a.newKey(t, "dep1")
	idle := a.newKey(t, "dep1")

	began := second()
	token, status, err := a.fetchToken(clientAt(t, "127.0.0.2"), k)
	if err := wanted(http.StatusOK, status, err); err != nil {
		t.Fatal(err)
	}
	status, err = b.fetch(clientAt(t, "127.0.0.3"), "dep1", token)
	if err := wanted(http.StatusOK, status, err); err != nil {
		t.Fatal(err)
	}
	var use usedKey
	eventually(t, "the third gateway knows of both uses", func() bool {
		use = c.lastUse(t, k)
		return !use.LastTokenAt.IsZero() && !use.LastRequestAt.IsZero()
	})
	if use.LastTokenAt.Before(began) || use.LastRequestAt.Before(use.LastTokenAt) || use.LastUsedAt != use.LastRequestAt ||
		use.LastTokenAddress != netip.MustParseAddr("127.0.0.2") || use.LastRequestAddress != netip.MustParseAddr("127.0.0.3") {
		t.Errorf("the uses from %s on are %+v", began, use)
	}
	var list struct{ Keys []usedKey }
	call(t, http.MethodGet, c.Admin("/deployments/dep1/keys"), nil).Want(http.StatusOK).JSON(&list)
	if len(list.Keys) != 2 || list.Keys[0] != use || list.Keys[1] != (usedKey{ID: idle.ID}) {
		t.Errorf("the list has %+v", list.Keys)
	}
}

func TestUseOfThePreviousSecretIsShown(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a, b := startSite(t, s), startSite(t, s)
	a.newDeployment(t, "dep1")
	k := a.newKey(t, "dep1")
	rotated := a.rotate(t, k, map[string]any{"overlap": "1h"})
	eventually(t, "the other gateway knows the new secret", func() bool { return b.askToken(t, rotated).Status == http.StatusOK })
	eventually(t, "the use of the new secret is known", func() bool { return !a.lastUse(t, k).LastTokenAt.IsZero() })
	if use := a.lastUse(t, k); !use.PreviousSecretLastUsedAt.IsZero() {
		t.Errorf("the previous secret was not used, and is shown as %+v", use)
	}
	began := second()
	a.askToken(t, k).Want(http.StatusOK) // the first use of this node, which is written soon
	eventually(t, "the use of the previous secret is known", func() bool { return !b.lastUse(t, k).PreviousSecretLastUsedAt.Before(began) })
	a.rotate(t, rotated, map[string]any{"overlap": "1h"})
	if use := b.lastUse(t, k); !use.PreviousSecretLastUsedAt.IsZero() || use.LastTokenAt.IsZero() {
		t.Errorf("after another rotation: %+v", use)
	}
}

// Keys are deleted while three gateways use them as fast as they can. What the gateways had still to write when they
// were stopped is written then, so that nothing comes later.
func TestKeysDeletedInUseStayGone(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		nodes := []*site{startSite(t, s)}
		if s.redis != nil {
			nodes = append(nodes, startSite(t, s), startSite(t, s))
		}
		nodes[0].newDeployment(t, "dep1")
		kept := nodes[0].newKey(t, "dep1")
		var all []key
		began := time.Now()
		for range scaled(2, 40) {
			const deleted = 25
			keys := append(nodes[0].newKeys(t, "dep1", deleted), kept)
			tokens := nodes[0].tokens(t, keys)
			users := startUsing(t, nodes, keys, tokens)
			// Spread over the second between two writes, on all nodes.
			for i, k := range keys[:deleted] {
				users.goOn(t, int64(4*len(nodes)))
				nodes[i%len(nodes)].deleteKey(t, k)
			}
			users.goOn(t, 20)
			users.stop()
			all = append(all, keys[:deleted]...)
		}
		figure(t, fmt.Sprintf("%d keys deleted while in use, %d nodes", len(all), len(nodes)), time.Since(began))
		for _, node := range nodes {
			node.Stop()
		}
		raw := s.wantNothingOf(t, nodes[0], all)
		if records, err := raw.Get(t.Context(), "used/"+kept.ID); err != nil || records[0] == nil {
			t.Errorf("the use of the key that stays: %q, %v", records, err)
		}
	})
}

func TestDeploymentsDeletedInUseStayGone(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	nodes := []*site{startSite(t, s), startSite(t, s), startSite(t, s)}
	var all []key
	for round := range scaled(5, 50) {
		id := fmt.Sprintf("dep%d", round)
		nodes[0].newDeployment(t, id)
		keys := nodes[0].newKeys(t, id, 5)
		users := startUsing(t, nodes, keys, nodes[0].tokens(t, keys))
		users.goOn(t, 50)
		// In the first rounds some uses are there when it is deleted; in the others they are on their way.
		if round%2 == 0 {
			eventually(t, "uses are known", func() bool { return !nodes[1].lastUse(t, keys[0]).LastUsedAt.IsZero() })
		}
		nodes[round%len(nodes)].deleteDeployment(t, id)
		users.stop()
		all = append(all, keys...)
	}
	for _, node := range nodes {
		node.Stop()
	}
	s.wantNothingOf(t, nodes[0], all)
	if left := redisNames(t, s, "*used/*"); len(left) != 0 {
		t.Errorf("Redis has %q", left)
	}
}

func redisNames(t *testing.T, s store, pattern string) []string {
	t.Helper()
	names, err := s.redis.Client().Keys(t.Context(), pattern).Result()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A use within the minute after a write is not lost when the process ends. After a reload the earlier configuration
// holds the store for a while, and must not keep the later one from writing.
func TestLastUseSurvivesTheEndOfTheProcess(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		for _, reloaded := range []bool{false, true} {
			t.Run(fmt.Sprintf("reloaded=%t", reloaded), func(t *testing.T) {
				t.Parallel()
				s := s
				if s.redis != nil {
					s = onRedis(t)
				}
				g := startSite(t, s)
				g.newDeployment(t, "dep1")
				k := g.newKey(t, "dep1")
				token := g.token(t, k)
				eventually(t, "the first use is written", func() bool { return !g.lastUse(t, k).LastUsedAt.IsZero() })
				first := g.lastUse(t, k).LastUsedAt
				eventually(t, "another second has come", func() bool { return second().After(first) })
				if reloaded {
					g.get(t, "dep1", token).Want(http.StatusOK)
					g.Reload(strings.Replace(tourCaddyfile(g.port, s), "issuer ", "token_lifetime 23h\n\t\tissuer ", 1))
				}
				// A listener that closes at a reload may reset a connection.
				last, c := second(), keepAlive(t)
				eventually(t, "a request is accepted", func() bool {
					status, err := g.fetch(c, "dep1", token)
					return err == nil && status == http.StatusOK
				})
				if use := g.lastUse(t, k); !use.LastRequestAt.IsZero() {
					t.Fatalf("it is written already, which tests nothing: %+v", use)
				}
				g.Stop()
				g.Start()
				if use := g.lastUse(t, k); use.LastRequestAt.Before(last) {
					t.Errorf("the last use was at %s or later, and is shown as %+v", last, use)
				}
			})
		}
	})
}

// The store of before a reload is written too, when the process ends soon after.
func TestLastUseInTheStoreOfBeforeSurvives(t *testing.T) {
	t.Parallel()
	remote := onRedis(t)
	g := startSite(t, remote)
	g.newDeployment(t, "dep1")
	k := g.newKey(t, "dep1")
	token := g.token(t, k)
	eventually(t, "the first use is written", func() bool { return !g.lastUse(t, k).LastUsedAt.IsZero() })
	g.get(t, "dep1", token).Want(http.StatusOK)
	g.Reload(tourCaddyfile(g.port, embedded(t)))
	g.Stop()
	if use := startSite(t, remote).lastUse(t, k); use.LastRequestAt.IsZero() {
		t.Errorf("the request of before the reload is lost: %+v", use)
	}
}

// While the store can't be asked, requests go on as without this, the gateway is as ready as before, and what was used
// is known afterwards.
func TestLastUseWaitsForTheStore(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	near := startSite(t, s)
	way, l := linked(t, s, "5m")
	far := startSite(t, way)
	near.newDeployment(t, "dep1")
	k, other := near.newKey(t, "dep1"), near.newKey(t, "dep1")
	token := near.token(t, k)
	// So that the gateway knows the key, which has not used it then.
	call(t, http.MethodPost, far.URL(far.port, "/oauth/introspect"), url.Values{"token": {token}}, basic(other.ID, other.Secret)).Want(http.StatusOK)
	l.block()
	began := second()
	c := keepAlive(t)
	eventually(t, "a write has failed", func() bool {
		status, err := far.fetch(c, "dep1", token)
		if err := wanted(http.StatusOK, status, err); err != nil {
			t.Fatal(err)
		}
		return far.metric(t, `caddy_deployment_keys_key_uses_total{outcome="failed"}`) > 0
	})
	call(t, http.MethodGet, far.Admin("/deployments/-/ready"), nil).Want(http.StatusOK)
	if use := near.lastUse(t, k); !use.LastRequestAt.IsZero() {
		t.Fatalf("it is written, by way of a blocked link: %+v", use)
	}
	l.heal()
	eventually(t, "the use is known", func() bool { return !near.lastUse(t, k).LastRequestAt.Before(began) })
	if !slices.ContainsFunc(strings.Split(far.Logs(), "\n"), func(line string) bool {
		return strings.Contains(line, "when keys were last used cannot be written")
	}) {
		t.Error("the log says nothing")
	}
}
