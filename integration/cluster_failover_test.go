package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// replicated is a store at a URL, where a change is answered when a replica has it.
func replicated(url string) store {
	s := redisAt(url, newMasterSecret(), nil)
	s.options += "\n\t\treplicas 1"
	return s
}

// headKey is the key in Redis whose master is that of all keys.
const headKey = "{deployment_keys}:head"

func TestFailoverIsSurvivedWithoutARestart(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) (url string, master func() *storetest.Redis){
		"Sentinel": func(t *testing.T) (string, func() *storetest.Redis) {
			s := storetest.StartSentinel(t, 1)
			return s.URL(), s.Master
		},
		"Cluster": func(t *testing.T) (string, func() *storetest.Redis) {
			c := storetest.StartCluster(t)
			return c.URL(), func() *storetest.Redis { return c.Master(headKey) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, master := start(t)
			failOver(t, name, url, master)
		})
	}
}

// failOver kills the master while two nodes are in use.
func failOver(t *testing.T, name, url string, master func() *storetest.Redis) {
	t.Helper()
	s := replicated(url)
	nodes := []*site{startSite(t, s), startSite(t, s)}
	nodes[0].newDeployment(t, "dep1")
	keys := nodes[0].newKeys(t, "dep1", 3)
	tokens := nodes[0].tokens(t, keys)
	for _, g := range nodes {
		g.useAll(t, keys[:2], tokens[:2])
	}
	nodes[0].deleteKey(t, keys[1])
	c := keepAlive(t)
	eventually(t, "the other node has heard of it", func() bool {
		status, err := nodes[1].fetch(c, "dep1", tokens[1])
		return wanted(http.StatusUnauthorized, status, err) == nil
	})
	var lives, dead []*watch
	for _, g := range nodes {
		lives, dead = append(lives, startWatch(t, g, "dep1", tokens[0])), append(dead, startWatch(t, g, "dep1", tokens[1]))
	}
	m := startMaking(t, nodes[0], "dep1")
	eventually(t, "keys are made", func() bool { return m.count() >= 20 })

	old := master()
	old.Kill()
	killed := time.Now()
	eventually(t, "there is a new master", func() bool { return master() != old })
	promoted := time.Now()
	figure(t, name+" failover, new master after", promoted.Sub(killed))
	// The third key is not in the memory of any node: the new master is asked.
	reads := func() bool {
		for _, g := range nodes {
			_, status, err := g.fetchToken(c, keys[2])
			if wanted(http.StatusOK, status, err) != nil {
				return false
			}
			if status, err = g.fetch(c, "dep1", tokens[2]); wanted(http.StatusOK, status, err) != nil {
				return false
			}
			if answer, err := try(t, http.MethodGet, g.Admin("/deployments/dep1"), nil); err != nil || answer.Status != http.StatusOK {
				return false
			}
		}
		return true
	}
	eventually(t, "both nodes ask the new master", reads)
	figure(t, name+" failover, both nodes ask the new master after", time.Since(promoted))
	if took := time.Since(killed); took > 20*time.Second {
		t.Errorf("the service was back %s after the master was killed", took)
	}

	// Changes count when a replica has them, so they come back with one: the old master, which is one now.
	old.Restart()
	rejoined := time.Now()
	eventually(t, "keys are made and work on both nodes", func() bool { return works(c, nodes, "dep1") })
	figure(t, name+" failover, changes acknowledged after the old master is back", time.Since(rejoined))

	wantKept(t, nodes[1], m.stop(t))
	for i := range nodes {
		lives[i].wantOnly(t, "the key that lives", http.StatusOK, http.StatusServiceUnavailable)
		dead[i].wantOnly(t, "the deleted key", http.StatusUnauthorized, http.StatusServiceUnavailable)
	}
}

// A delete that only the master has may come undone: who asked for it has to know.
func TestDeleteThatNoReplicaHasIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	replica := storetest.StartReplica(t, server)
	g := startSite(t, replicated(server.URL()))
	g.newDeployment(t, "dep1")
	keys := g.newKeys(t, "dep1", 2)
	tokens := g.tokens(t, keys)
	g.useAll(t, keys, tokens)

	replica.Kill()
	answer := call(t, http.MethodDelete, g.Admin("/deployments/dep1/keys/"+keys[0].ID), nil).Want(http.StatusServiceUnavailable)
	if !strings.Contains(string(answer.Body), "may not last") {
		t.Errorf("the answer does not say that the change may not last: %s", answer.Body)
	}
	if answer.Header.Get("Retry-After") == "" {
		t.Error("a 503 without Retry-After")
	}
	// It was made nevertheless, and is obeyed as long as it lasts.
	wantRefusal(t, g.get(t, "dep1", tokens[0]), http.StatusUnauthorized, "invalid_token")
	g.get(t, "dep1", tokens[1]).Want(http.StatusOK)

	replica.Restart()
	eventually(t, "a delete is acknowledged again", func() bool {
		answer := call(t, http.MethodDelete, g.Admin("/deployments/dep1/keys/"+keys[1].ID), nil)
		return answer.Want(http.StatusNoContent, http.StatusServiceUnavailable, http.StatusNotFound).Status != http.StatusServiceUnavailable
	})
}
