package integration

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// promised is how long after the answer to a delete a request may still be accepted on another node.
const promised = time.Second

// deletion is how one node came to refuse a token that was deleted on another one.
type deletion struct {
	refused  time.Duration // from the 204 to the answer that refuses
	accepted time.Duration // from the 204 to the last request that was accepted; 0: there was none
	err      error
}

// untilRefused sends a token again and again from a moment on, until it is refused.
func untilRefused(g *site, c *http.Client, deployment, token string, from time.Time) (d deletion) {
	for {
		sent := time.Now()
		status, err := g.fetch(c, deployment, token)
		switch {
		case err != nil:
			d.err = err
			return d
		case status == http.StatusUnauthorized:
			d.refused = time.Since(from)
			return d
		case status != http.StatusOK:
			d.err = fmt.Errorf("status %d", status)
			return d
		}
		d.accepted = sent.Sub(from)
		if d.accepted > promised {
			d.err = fmt.Errorf("accepted %s after it was deleted", d.accepted)
			return d
		}
	}
}

// wantRefusedEverywhere deletes one thing after the other by way of the first node, and holds that no other node accepts
// its token longer than promised.
func wantRefusedEverywhere(t *testing.T, name string, nodes []*site, targets []string, keys []key, tokens []string) {
	t.Helper()
	c := keepAlive(t)
	others := nodes[1:]
	for _, g := range others {
		g.useAll(t, keys, tokens)
	}
	var refused, accepted []time.Duration
	for i, target := range targets {
		status, err := send(c, http.MethodDelete, nodes[0].Admin(target), nil, nil)
		from := time.Now()
		if err := wanted(http.StatusNoContent, status, err); err != nil {
			t.Fatal(err)
		}
		seen := make([]deletion, len(others))
		var done sync.WaitGroup
		for n, g := range others {
			done.Go(func() { seen[n] = untilRefused(g, c, keys[i].DeploymentID, tokens[i], from) })
		}
		done.Wait()
		for n, d := range seen {
			if d.err != nil {
				t.Fatalf("%s %d on node %d: %v", name, i, n+1, d.err)
			}
			refused = append(refused, d.refused)
			accepted = append(accepted, d.accepted)
		}
	}
	figures(t, name+" deleted, from the 204 to the first 401 elsewhere", refused)
	figure(t, name+" deleted, last request accepted elsewhere", percentile(accepted, 1))
	// And it stays that way.
	for _, g := range others {
		wantRefusal(t, g.askToken(t, keys[0]), http.StatusUnauthorized, "invalid_client")
		inParallel(t, len(keys), func(i int) error {
			status, err := g.fetch(c, keys[i].DeploymentID, tokens[i])
			return wanted(http.StatusUnauthorized, status, err)
		})
	}
}

func TestDeletedKeyIsRefusedAtOnceOnOtherNodes(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	nodes := []*site{startSite(t, s), startSite(t, s), startSite(t, s)}
	nodes[0].newDeployment(t, "dep1")
	keys := nodes[0].newKeys(t, "dep1", scaled(200, 1000))
	targets := make([]string, len(keys))
	for i, k := range keys {
		targets[i] = "/deployments/dep1/keys/" + k.ID
	}
	wantRefusedEverywhere(t, "key", nodes, targets, keys, nodes[0].tokens(t, keys))
}

func TestDeletedDeploymentIsRefusedAtOnceOnOtherNodes(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	nodes := []*site{startSite(t, s), startSite(t, s), startSite(t, s)}
	var keys []key
	var targets []string
	for i := range scaled(50, 1000) {
		id := fmt.Sprintf("dep%d", i)
		nodes[0].newDeployment(t, id)
		keys = append(keys, nodes[0].newKey(t, id))
		targets = append(targets, "/deployments/"+id)
	}
	wantRefusedEverywhere(t, "Deployment", nodes, targets, keys, nodes[0].tokens(t, keys))
}
