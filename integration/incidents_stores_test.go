package integration

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// What becomes of requests, and of what was ended, when the store is away.
var storeIncidents = []incident{
	{name: "tyk#3047 outage shown as 401", alone: outageIsNoRefusal},
	{name: "alkem-io server#6332 every request hangs", alone: outageHangsNobody},
	{name: "tyk#8456 write of a use brings back a deleted key", alone: useBringsNothingBack},
	{name: "chalabi2 caddy-jwt-blacklist Redis down at start ends revocation", alone: revocationAfterStartWithoutRedis},
}

// durableRedis is a store in a Redis that may be stopped and forgets nothing.
func durableRedis(t *testing.T) store {
	t.Helper()
	server := storetest.StartRedis(t, storetest.Durable...)
	s := redisAt(server.URL(), newMasterSecret(), server)
	s.options += "\n\t\tmax_staleness 1s"
	return s
}

// Tyk could not reach Redis, and told clients that their keys were not known. Clients throw away a key that is refused.
func outageIsNoRefusal(t *testing.T) {
	s := durableRedis(t)
	g := startSite(t, s)
	g.newDeployment(t, "dep1")
	k := g.newKey(t, "dep1")
	token := g.token(t, k)
	w := startWatch(t, g, "dep1", token)
	answered := func(after time.Time, status int) func() bool {
		return func() bool {
			_, ok := w.since(after, status)
			return ok
		}
	}
	eventually(t, "the token passes", answered(time.Time{}, http.StatusOK))
	s.redis.Kill()
	killed := time.Now()
	eventually(t, "what the gateway knows is too old", answered(killed, http.StatusServiceUnavailable))
	wantUnavailable(t, g, k, token)
	s.redis.Restart()
	restarted := time.Now()
	eventually(t, "the token passes again", answered(restarted, http.StatusOK))
	w.wantOnly(t, "the key that lives, before, in and after the outage", http.StatusOK, http.StatusServiceUnavailable)
	eventually(t, "the key gets tokens again", func() bool {
		return g.askToken(t, k).Want(http.StatusOK, http.StatusServiceUnavailable).Status == http.StatusOK
	})
}

// Redis did not answer, and each request hung for 42 seconds before it was answered 401, also those without a
// credential, which need no store. Here the link lets nothing through and tells nobody.
func outageHangsNobody(t *testing.T) {
	s := onRedis(t)
	way, l := linked(t, s, "1s")
	g := startSite(t, way)
	g.newDeployment(t, "dep1")
	k := g.newKey(t, "dep1")
	token := g.token(t, k)
	g.get(t, "dep1", token).Want(http.StatusOK)
	l.block()
	eventually(t, "what the gateway knows is too old", func() bool {
		return g.get(t, "dep1", token).Want(http.StatusOK, http.StatusServiceUnavailable).Status == http.StatusServiceUnavailable
	})
	wantUnavailable(t, g, k, token)

	// Many at once wait no longer than one does.
	c := keepAlive(t)
	kinds := []struct {
		name   string
		ask    func() (int, error)
		status int
		within time.Duration
	}{
		{"a bearer", func() (int, error) { return g.fetch(c, "dep1", token) }, http.StatusServiceUnavailable, outage},
		{"the token endpoint", func() (int, error) {
			_, status, err := g.fetchToken(c, k)
			return status, err
		}, http.StatusServiceUnavailable, outage},
		{"nobody", func() (int, error) {
			return send(c, http.MethodGet, g.URL(g.port, "/dep1/api/x"), nil, nil)
		}, http.StatusUnauthorized, busy},
		{"a path that is not checked", func() (int, error) {
			return send(c, http.MethodGet, g.URL(g.port, "/elsewhere"), nil, nil)
		}, http.StatusNotFound, busy},
	}
	const callers = 40
	var done sync.WaitGroup
	for i := range callers {
		done.Go(func() {
			kind := kinds[i%len(kinds)]
			begin := time.Now()
			status, err := kind.ask()
			took := time.Since(begin)
			if err := wanted(kind.status, status, err); err != nil || took > kind.within {
				t.Errorf("%s: answered after %s, want %d within %s: %v", kind.name, took, kind.status, kind.within, err)
			}
		})
	}
	done.Wait()
	l.heal()
	eventually(t, "the token passes again", func() bool {
		return g.get(t, "dep1", token).Want(http.StatusOK, http.StatusServiceUnavailable).Status == http.StatusOK
	})
}

// A gateway of Tyk wrote down that a key had been used after another one had deleted it, and so made it again. Keys are
// deleted here while all gateways are using them as fast as they can, and what a gateway has not yet written then, it
// writes when it stops.
//
// That it can fail was seen with a keystore that puts the record of a key that was used.
func useBringsNothingBack(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		g := startSite(t, embedded(t))
		deletedWhileUsed(t, g, g)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		s := onRedis(t)
		nodes := []*site{startSite(t, s), startSite(t, s)}
		ids := deletedWhileUsed(t, nodes...)
		client := s.redis.Client()
		for _, id := range ids {
			left, err := client.Keys(t.Context(), "*"+id+"*").Result()
			if err != nil {
				t.Fatal(err)
			}
			if len(left) > 0 {
				t.Errorf("Redis has %q of a deleted key", left)
			}
		}
		if n := redisKeys(t, s.redis); n == 0 {
			t.Error("Redis has no keys at all: the test looks at the wrong thing")
		}
	})
}

// deletedWhileUsed deletes keys, and one Deployment with its keys, while they are in use, restarts the gateways, and
// returns the IDs of the keys, of which nothing may be left.
func deletedWhileUsed(t *testing.T, nodes ...*site) (ids []string) {
	t.Helper()
	const each = 5
	g := nodes[0]
	g.newDeployment(t, "dep1")
	g.newDeployment(t, "dep2")
	keys := append(g.newKeys(t, "dep1", each), g.newKeys(t, "dep2", each)...)
	tokens := g.tokens(t, keys)
	using, end := context.WithCancel(t.Context())
	var load sync.WaitGroup
	stop := sync.OnceFunc(func() { end(); load.Wait() })
	t.Cleanup(stop)
	for _, node := range nodes {
		node.useAll(t, keys, tokens)
		c := keepAlive(t)
		load.Go(func() {
			for i := 0; using.Err() == nil; i++ {
				k := keys[i%len(keys)]
				_, _ = node.fetch(c, k.DeploymentID, tokens[i%len(keys)]) // both answers are right in here
				if i%10 == 0 {
					_, _, _ = node.fetchToken(c, k)
				}
			}
		})
	}
	for _, k := range keys[:each] {
		g.deleteKey(t, k)
	}
	g.deleteDeployment(t, "dep2")
	g.newDeployment(t, "dep2") // so that there is a list in which they could be
	for i, k := range keys {
		ids = append(ids, k.ID)
		for _, node := range nodes {
			eventually(t, "the token of a deleted key is refused", func() bool {
				return node.get(t, k.DeploymentID, tokens[i]).Status == http.StatusUnauthorized
			})
		}
	}
	stop()
	for round := range 2 {
		for i, k := range keys {
			wantRefusal(t, g.get(t, k.DeploymentID, tokens[i]), http.StatusUnauthorized, "invalid_token")
			wantRefusal(t, g.askToken(t, k), http.StatusUnauthorized, "invalid_client")
			call(t, http.MethodGet, g.Admin("/deployments/"+k.DeploymentID+"/keys/"+k.ID), nil).Want(http.StatusNotFound)
		}
		for _, deployment := range []string{"dep1", "dep2"} {
			if left := g.list(t, "/deployments/"+deployment+"/keys"); len(left) > 0 {
				t.Errorf("round %d: %s has %d keys, want none", round, deployment, len(left))
			}
		}
		if round == 0 {
			for _, node := range nodes {
				node.Restart()
			}
		}
	}
	return ids
}

// The plugin connected to Redis once, at start. When Redis was not there at that moment, it went on without revocation,
// and let ended tokens pass until somebody restarted it. Here nothing passes that cannot be checked, and when Redis comes
// what was ended is ended.
func revocationAfterStartWithoutRedis(t *testing.T) {
	s := durableRedis(t)
	g := startSite(t, s)
	g.newDeployment(t, "dep1")
	k, deleted := g.newKey(t, "dep1"), g.newKey(t, "dep1")
	alive, revoked, ofDeleted := g.token(t, k), g.token(t, k), g.token(t, deleted)
	postAdmin(t, keepAlive(t), g, "/tokens/revoke", map[string]string{"token": revoked})
	g.deleteKey(t, deleted)
	g.Stop()
	s.redis.Stop()

	g.Start()
	var watches []*watch
	for _, token := range []string{revoked, ofDeleted} {
		watches = append(watches, startWatch(t, g, "dep1", token))
	}
	begin := time.Now()
	eventually(t, "time enough passes to give up", func() bool {
		wantRefusal(t, g.get(t, "dep1", alive), http.StatusServiceUnavailable, "temporarily_unavailable")
		return time.Since(begin) > 2*keystore.ReadTimeout
	})
	wantUnavailable(t, g, k, alive)
	s.redis.Restart()
	eventually(t, "the gateway finds Redis without a restart", func() bool {
		return g.get(t, "dep1", alive).Want(http.StatusOK, http.StatusServiceUnavailable).Status == http.StatusOK
	})
	wantRefusal(t, g.get(t, "dep1", revoked), http.StatusUnauthorized, "invalid_token")
	wantRefusal(t, g.get(t, "dep1", ofDeleted), http.StatusUnauthorized, "invalid_token")
	for _, w := range watches {
		w.wantOnly(t, "a token that was ended before the start", http.StatusServiceUnavailable, http.StatusUnauthorized)
	}
	// And what is ended from now on.
	postAdmin(t, keepAlive(t), g, "/tokens/revoke", map[string]string{"token": alive})
	wantRefusal(t, g.get(t, "dep1", alive), http.StatusUnauthorized, "invalid_token")
}
