package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

// acknowledged is what was answered 201.
type acknowledged struct {
	mu          sync.Mutex
	keys        []key
	deployments []string
	odd         []string // answers that are no 201
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.keys)
}

// makeUntilKilled makes Deployments with keys until the gateway does not answer.
func (a *acknowledged) makeUntilKilled(g *site, c *http.Client, name string) {
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", name, i)
		status, err := send(c, http.MethodPost, g.Admin("/deployments"), map[string]any{"id": id, "name": id}, nil)
		if err != nil {
			return
		}
		a.mu.Lock()
		if status == http.StatusCreated {
			a.deployments = append(a.deployments, id)
		} else {
			a.odd = append(a.odd, fmt.Sprintf("Deployment %s: status %d", id, status))
		}
		a.mu.Unlock()
		for _, deployment := range []string{id, "shared"} {
			k, status, err := g.fetchKey(c, deployment)
			if err != nil {
				return
			}
			a.mu.Lock()
			if status == http.StatusCreated {
				a.keys = append(a.keys, k)
			} else {
				a.odd = append(a.odd, fmt.Sprintf("key of %s: status %d", deployment, status))
			}
			a.mu.Unlock()
		}
	}
}

// listed is what the admin API lists: Deployments or keys.
type listed struct {
	ID       string `json:"id"`
	KeyCount int    `json:"key_count"`
}

// list reads all pages of a list of the admin API.
func (s *site) list(t *testing.T, path string) (all []listed) {
	t.Helper()
	query := "?limit=100"
	for {
		var page struct {
			Deployments []listed `json:"deployments"`
			Keys        []listed `json:"keys"`
			Next        string   `json:"next_cursor"`
		}
		call(t, http.MethodGet, s.Admin(path+query), nil).Want(http.StatusOK).JSON(&page)
		all = append(append(all, page.Deployments...), page.Keys...)
		if page.Next == "" {
			return all
		}
		query = "?limit=100&cursor=" + url.QueryEscape(page.Next)
	}
}

// wantWhole holds that all Deployments and keys that are listed can be read and are counted, and that what was
// acknowledged is among them.
func wantWhole(t *testing.T, g *site, all *acknowledged) {
	t.Helper()
	c := keepAlive(t)
	deployments, keys := make(map[string]bool), make(map[string]bool)
	for _, deployment := range g.list(t, "/deployments") {
		deployments[deployment.ID] = true
		path := "/deployments/" + deployment.ID
		of := g.list(t, path+"/keys")
		var one listed
		status, err := send(c, http.MethodGet, g.Admin(path), nil, &one)
		if err := wanted(http.StatusOK, status, err); err != nil || one.KeyCount != len(of) || deployment.KeyCount != len(of) {
			t.Errorf("%s has %d keys, key_count is %d, and in the list %d: %v", deployment.ID, len(of), one.KeyCount, deployment.KeyCount, err)
		}
		for _, k := range of {
			keys[k.ID] = true
		}
		inParallel(t, len(of), func(i int) error {
			status, err := send(c, http.MethodGet, g.Admin(path+"/keys/"+of[i].ID), nil, nil)
			return wanted(http.StatusOK, status, err)
		})
	}
	for _, id := range all.deployments {
		if !deployments[id] {
			t.Errorf("the Deployment %s was acknowledged and is not there", id)
		}
	}
	for _, k := range all.keys {
		if !keys[k.ID] {
			t.Errorf("the key %s was acknowledged and is not listed", k.ID)
		}
	}
}

func TestKilledGatewayKeepsWhatItAcknowledged(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "shared")
		var all acknowledged
		kills := scaled(6, 20)
		for round := range kills {
			c := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
			enough := all.count() + 10 + 3*round // so that it does not always end at the same step
			known := all.count()
			var makers sync.WaitGroup
			for m := range 3 {
				makers.Go(func() { all.makeUntilKilled(g, c, fmt.Sprintf("r%d-%d", round, m)) })
			}
			eventually(t, "keys are made", func() bool { return all.count() >= enough })
			g.Kill()
			makers.Wait()
			c.CloseIdleConnections()
			g.Start()
			fresh := all.keys[known:]
			g.useAll(t, fresh, g.tokens(t, fresh))
		}
		for _, odd := range all.odd {
			t.Error(odd)
		}
		g.useAll(t, all.keys, g.tokens(t, all.keys))
		wantWhole(t, g, &all)
		figure(t, filepath.Base(t.Name())+", acknowledged keys found after the gateway was killed", fmt.Sprint(len(all.keys), " (", kills, " times)"))
	})
}
