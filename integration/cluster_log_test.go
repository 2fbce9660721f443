package integration

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// logKey is the change log in Redis.
const logKey = "{deployment_keys}:log"

// gaps is the metric that counts how often a node forgot all because changes were missing.
const gaps = "caddy_deployment_keys_log_gaps_total"

// renamed changes a Deployment, for an entry in the change log.
func (s *site) renamed(t *testing.T, deployment, name string) {
	t.Helper()
	call(t, http.MethodPatch, s.Admin("/deployments/"+deployment), map[string]any{"name": name}).Want(http.StatusOK)
}

// trim takes all entries out of the change log, as Redis does with old ones.
func trim(t *testing.T, client *redis.Client) {
	t.Helper()
	if err := client.XTrimMaxLen(t.Context(), logKey, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

// A change log that was trimmed, or went back, while a node could not read it has changes that the node will never hear
// of. It forgets all that it knew, counts that, and so refuses what was deleted.
func TestMissedChangesEmptyTheView(t *testing.T) {
	t.Parallel()
	// Each is called while the node cannot read the log, and makes it miss that a key is deleted, which remove does.
	tests := map[string]func(t *testing.T, near *site, client *redis.Client, remove func()){
		"trimmed": func(t *testing.T, _ *site, client *redis.Client, remove func()) {
			remove()
			trim(t, client)
		},
		"trimmed and gone on": func(t *testing.T, near *site, client *redis.Client, remove func()) {
			remove()
			trim(t, client)
			near.renamed(t, "dep1", "after the trim")
		},
	}
	// A failover to a replica that was behind: what is undone here was heard of by the node before.
	for name, undone := range map[string]int{"gone back": 5, "gone back, to the same number": 1} {
		tests[name] = func(t *testing.T, _ *site, client *redis.Client, remove func()) {
			entries, err := client.XRevRangeN(t.Context(), logKey, "+", "-", int64(undone+1)).Result()
			if err != nil || len(entries) != undone+1 {
				t.Fatalf("%d entries: %v", len(entries), err)
			}
			last := entries[undone]
			pipe := client.TxPipeline()
			for _, entry := range entries[:undone] {
				pipe.XDel(t.Context(), logKey, entry.ID)
			}
			pipe.Set(t.Context(), headKey, fmt.Sprintf("%s %s %s", last.Values["seq"], last.ID, last.Values["mark"]), 0)
			if _, err := pipe.Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
			remove()
		}
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onRedis(t)
			near := startSite(t, s)
			way, l := linked(t, s, "30s") // so that it is not its age that ends what the node knows
			far := startSite(t, way)
			near.newDeployment(t, "dep1")
			keys := near.newKeys(t, "dep1", 2)
			tokens := near.tokens(t, keys)
			for i := range 6 {
				near.renamed(t, "dep1", fmt.Sprint("name ", i))
			}
			head, err := s.redis.Client().XInfoStream(t.Context(), logKey).Result()
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "the node has heard of everything", func() bool {
				return far.metric(t, "caddy_deployment_keys_log_position") == float64(head.EntriesAdded)
			})
			far.useAll(t, keys, tokens)
			before := far.metric(t, gaps)

			l.cut() // or Redis might answer a read that waits with what is to be missed
			lose(t, near, s.redis.Client(), func() { near.deleteKey(t, keys[1]) })
			far.get(t, "dep1", tokens[1]).Want(http.StatusOK) // or nothing was missed
			l.heal()
			healed := time.Now()
			eventually(t, "the deleted key is refused", func() bool {
				return far.get(t, "dep1", tokens[1]).Want(http.StatusOK, http.StatusUnauthorized, http.StatusServiceUnavailable).Status == http.StatusUnauthorized
			})
			figure(t, "log "+name+", the missed delete obeyed after the link healed", time.Since(healed))
			if counted := far.metric(t, gaps) - before; counted != 1 {
				t.Errorf("%v gaps were counted, want 1", counted)
			}
			eventually(t, "the other key passes", func() bool {
				return far.get(t, "dep1", tokens[0]).Want(http.StatusOK, http.StatusServiceUnavailable).Status == http.StatusOK
			})
			wantRefusal(t, far.get(t, "dep1", tokens[1]), http.StatusUnauthorized, "invalid_token")
			// And the node follows again.
			near.deleteKey(t, keys[0])
			eventually(t, "the next delete is heard of", func() bool {
				return far.get(t, "dep1", tokens[0]).Want(http.StatusOK, http.StatusUnauthorized).Status == http.StatusUnauthorized
			})
		})
	}
}

// A process that was stopped for longer than max_staleness knows that its knowledge is old before it hears of anything.
func TestNodeThatStoodStillAcceptsNothingOld(t *testing.T) {
	t.Parallel()
	const maxStaleness = time.Second
	s := onRedis(t)
	near := startSite(t, s)
	s.options += "\n\t\tmax_staleness 1s"
	still := startSite(t, s)
	near.newDeployment(t, "dep1")
	keys := near.newKeys(t, "dep1", 2)
	tokens := near.tokens(t, keys)
	still.useAll(t, keys, tokens)
	before := still.metric(t, gaps)

	storetest.PauseProcess(t, still.PID())
	stopped := time.Now()
	// By then a read of the log that waited in Redis has ended too, or its answer would have the delete in it.
	eventually(t, "max_staleness is over", func() bool { return time.Since(stopped) > maxStaleness+busy })
	near.deleteKey(t, keys[1])
	trim(t, s.redis.Client())
	storetest.ResumeProcess(t, still.PID())
	wantRefusal(t, still.get(t, "dep1", tokens[1]), http.StatusUnauthorized, "invalid_token")
	still.get(t, "dep1", tokens[0]).Want(http.StatusOK)
	eventually(t, "the gap is counted", func() bool { return still.metric(t, gaps) == before+1 })
	wantRefusal(t, still.get(t, "dep1", tokens[1]), http.StatusUnauthorized, "invalid_token")
}
