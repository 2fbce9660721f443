package integration

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rotate gives a key a new secret, and returns the key with it.
func (s *site) rotate(t *testing.T, k key, body map[string]any) key {
	t.Helper()
	var rotated key
	call(t, http.MethodPost, s.Admin("/deployments/"+k.DeploymentID+"/keys/"+k.ID+"/rotate"), body).Want(http.StatusOK).JSON(&rotated)
	if rotated.ID != k.ID || rotated.Secret == "" || rotated.Secret == k.Secret || !slices.Equal(rotated.Scopes, k.Scopes) {
		t.Fatalf("the key %s of %s with %v was rotated to %s with %v", k.ID, k.DeploymentID, k.Scopes, rotated.ID, rotated.Scopes)
	}
	return rotated
}

// patchKey changes a key.
func (s *site) patchKey(t *testing.T, k key, body map[string]any) {
	t.Helper()
	call(t, http.MethodPatch, s.Admin("/deployments/"+k.DeploymentID+"/keys/"+k.ID), body).Want(http.StatusOK)
}

// A jobLoad is CI jobs that get a token of one gateway after the other and use it on all.
type jobLoad struct {
	t     *testing.T
	key   atomic.Pointer[key]
	jobs  []atomic.Int64 // done, by each that does one after the other
	end   context.CancelFunc
	done  sync.WaitGroup
	mu    sync.Mutex
	wrong map[string]int
}

func startJobs(t *testing.T, k key, nodes ...*site) *jobLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &jobLoad{t: t, end: cancel, jobs: make([]atomic.Int64, len(nodes)), wrong: make(map[string]int)}
	l.key.Store(&k)
	for first := range nodes {
		c := keepAlive(t)
		l.done.Go(func() {
			tick := time.NewTicker(watchPause)
			defer tick.Stop()
			for i := first; ctx.Err() == nil; i++ {
				l.job(c, nodes[i%len(nodes)], nodes)
				l.jobs[first].Add(1)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	t.Cleanup(func() { l.end(); l.done.Wait() })
	return l
}

func (l *jobLoad) job(c *http.Client, issuer *site, nodes []*site) {
	k := *l.key.Load()
	raw, status, err := issuer.fetchToken(c, k)
	if err = wanted(http.StatusOK, status, err); err != nil {
		l.blame("asking for a token: %v", err)
		return
	}
	for _, node := range nodes {
		status, err := node.fetch(c, k.DeploymentID, raw)
		if err = wanted(http.StatusOK, status, err); err != nil {
			l.blame("using a token: %v", err)
		}
	}
}

func (l *jobLoad) blame(format string, of ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong[fmt.Sprintf(format, of...)]++
}

// goOn waits until more jobs are done, and those that have begun are over.
func (l *jobLoad) goOn() {
	l.t.Helper()
	for i := range l.jobs {
		until := l.jobs[i].Load() + 20
		eventually(l.t, "jobs are done", func() bool { return l.jobs[i].Load() >= until })
	}
}

// stop ends the load, and holds that no call of it failed.
func (l *jobLoad) stop() {
	l.t.Helper()
	l.end()
	l.done.Wait()
	for wrong, times := range l.wrong {
		l.t.Errorf("%d times: %s", times, wrong)
	}
	var jobs int64
	for i := range l.jobs {
		jobs += l.jobs[i].Load()
	}
	figure(l.t, "jobs while a key was rotated", jobs)
}

func TestRotationWithOverlapFailsNoJob(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a, b := startSite(t, s), startSite(t, s)
	a.newDeployment(t, "dep1")
	k := a.newKey(t, "dep1")
	load := startJobs(t, k, a, b)
	load.goOn()
	for round, node := range []*site{a, b} {
		rotated := node.rotate(t, k, map[string]any{"overlap": "1h"})
		load.goOn() // with the old secret
		for _, other := range []*site{a, b} {
			eventually(t, "the gateway knows the new secret", func() bool { return other.askToken(t, rotated).Status == http.StatusOK })
			other.askToken(t, k).Want(http.StatusOK)
		}
		load.key.Store(&rotated)
		load.goOn()
		if round == 0 {
			// A new rotation would end it too.
			call(t, http.MethodDelete, node.Admin("/deployments/dep1/keys/"+k.ID+"/previous_secret"), nil).Want(http.StatusNoContent)
			for _, other := range []*site{a, b} {
				eventually(t, "the old secret is refused", func() bool { return other.askToken(t, k).Status == http.StatusUnauthorized })
			}
			load.goOn()
		}
		k = rotated
	}
	load.stop()
}

func TestRotationWithoutOverlapEndsTheOldSecret(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a, b := startSite(t, s), startSite(t, s)
	a.newDeployment(t, "dep1")
	for _, revoke := range []bool{false, true} {
		k := a.newKey(t, "dep1")
		token := a.token(t, k)
		b.token(t, k) // so that it remembers the key
		a.get(t, "dep1", token).Want(http.StatusOK)
		b.get(t, "dep1", token).Want(http.StatusOK)

		rotated := a.rotate(t, k, map[string]any{"revoke_tokens": revoke})
		begin := time.Now()
		wantRefusal(t, a.askToken(t, k), http.StatusUnauthorized, "invalid_client")
		eventually(t, "the other node refuses the old secret", func() bool {
			return b.askToken(t, k).Want(http.StatusOK, http.StatusUnauthorized).Status == http.StatusUnauthorized
		})
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the other node refused the old secret after %s", took)
		}
		for _, node := range []*site{a, b} {
			node.get(t, "dep1", node.token(t, rotated)).Want(http.StatusOK)
			if !revoke {
				node.get(t, "dep1", token).Want(http.StatusOK)
				continue
			}
			node.wantRevoked(t, "dep1", token, "all access tokens of its key were revoked")
		}
	}
}

// Nobody tells the nodes when the time has come.
func TestKeysEndInTimeOnAllNodes(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a, b := startSite(t, s), startSite(t, s)
	a.newDeployment(t, "dep1")
	k := a.newKey(t, "dep1")
	tokens := []string{a.token(t, k), b.token(t, k)}
	rotated := a.rotate(t, k, map[string]any{"overlap": "2s"})
	at := time.Now().Add(5 * time.Second).UTC().Truncate(time.Second)
	a.patchKey(t, k, map[string]any{"expires_at": at.Format(time.RFC3339)})
	for _, node := range []*site{a, b} {
		eventually(t, "the overlap ends", func() bool { return node.askToken(t, k).Status == http.StatusUnauthorized })
	}
	for _, node := range []*site{a, b} {
		eventually(t, "the key expires", func() bool {
			asked := time.Now()
			answer := node.get(t, "dep1", tokens[0])
			switch {
			case answer.Status == http.StatusOK && !asked.Before(at):
				t.Errorf("a token was accepted %s after the end of its key", asked.Sub(at))
			case answer.Status != http.StatusOK && time.Now().Before(at):
				t.Errorf("the key ends before its time: %s", answer.Body)
			}
			return answer.Status == http.StatusUnauthorized
		})
		for _, token := range tokens {
			node.wantRevoked(t, "dep1", token, "the key of this access token expired at "+at.Format(time.RFC3339))
		}
		refused := wantRefusal(t, node.askToken(t, rotated), http.StatusUnauthorized, "invalid_client")
		if want := "the key expired at " + at.Format(time.RFC3339); refused.Description != want {
			t.Errorf("the refusal says %q, want %q", refused.Description, want)
		}
	}
	// It is listed still, and a later expiry revives it.
	list := call(t, http.MethodGet, b.Admin("/deployments/dep1/keys"), nil).Want(http.StatusOK)
	if !strings.Contains(string(list.Body), `"expires_at":"`+at.Format(time.RFC3339)+`"`) {
		t.Errorf("the list is %s", list.Body)
	}
	at = time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	b.patchKey(t, k, map[string]any{"expires_at": at.Format(time.RFC3339)})
	for _, node := range []*site{a, b} {
		eventually(t, "the key lives again", func() bool { return node.get(t, "dep1", tokens[1]).Status == http.StatusOK })
		var answer grant
		node.askToken(t, rotated).Want(http.StatusOK).JSON(&answer)
		if exp, _ := claimsOf(t, answer.AccessToken)["exp"].(float64); int64(exp) != at.Unix() || answer.ExpiresIn > 3600 {
			t.Errorf("a token with exp %d and expires_in %d, of a key that expires at %d", int64(exp), answer.ExpiresIn, at.Unix())
		}
	}
}

func TestAllowedIPsBehindAProxy(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	port := freePort(t)
	trusting := strings.Replace(tourCaddyfile(port, s), "{\n", "{\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n", 1)
	behind := &site{newGateway(t, trusting, withEnv(s.env...)), port}
	behind.Start()
	direct := startSite(t, s) // trusts nobody
	direct.newDeployment(t, "dep1")
	k := direct.newKey(t, "dep1")
	token := direct.token(t, k)
	behind.get(t, "dep1", token).Want(http.StatusOK)
	direct.patchKey(t, k, map[string]any{"allowed_ips": []string{"192.0.2.0/24", "2001:db8::/32"}})

	for _, test := range []struct {
		node *site
		from string // X-Forwarded-For
		seen string // "": it is allowed
	}{
		{behind, "192.0.2.7", ""},
		{behind, "2001:db8::7", ""},
		{behind, "::ffff:192.0.2.7", ""},
		{behind, "198.51.100.7", "198.51.100.7"},
		{behind, "", "127.0.0.1"},
		{direct, "192.0.2.7", "127.0.0.1"}, // anybody can send that
		{direct, "", "127.0.0.1"},
	} {
		path := "/dep1/api/v2/dags"
		options := []requestOption{bearer(token)}
		form := map[string]string{"grant_type": "client_credentials", "client_id": k.ID, "client_secret": k.Secret}
		var mint []requestOption
		if test.from != "" {
			options = append(options, header("X-Forwarded-For", test.from))
			mint = append(mint, header("X-Forwarded-For", test.from))
		}
		use := func() reply { return call(t, http.MethodGet, test.node.URL(test.node.port, path), nil, options...) }
		if test.seen == "" {
			eventually(t, "the gateway allows "+test.from, func() bool { return use().Status == http.StatusOK })
			call(t, http.MethodPost, test.node.URL(test.node.port, "/oauth/token"), form, mint...).Want(http.StatusOK)
			continue
		}
		eventually(t, "the gateway refuses "+test.seen, func() bool { return use().Status == http.StatusForbidden })
		for code, answer := range map[string]reply{
			"insufficient_scope":  use().Want(http.StatusForbidden),
			"unauthorized_client": call(t, http.MethodPost, test.node.URL(test.node.port, "/oauth/token"), form, mint...).Want(http.StatusBadRequest),
		} {
			refused := wantRefusal(t, answer, answer.Status, code)
			if !strings.HasSuffix(refused.Description, "is not allowed from the address "+test.seen) {
				t.Errorf("from %q the refusal says %q, want that it names %s", test.from, refused.Description, test.seen)
			}
		}
	}
	direct.patchKey(t, k, map[string]any{"allowed_ips": []string{}})
	for _, node := range []*site{behind, direct} {
		eventually(t, "all addresses are allowed again", func() bool { return node.get(t, "dep1", token).Status == http.StatusOK })
	}
}

// A proxy that appends to what a client says of itself, as most do, has the true address last: Caddy takes it with
// trusted_proxies_strict, and the first one, which the client has made up, without.
func TestAllowedIPsBehindAProxyThatAppends(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	strict := "{\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t\ttrusted_proxies_strict\n\t}\n"
	g := &site{startGateway(t, strings.Replace(tourCaddyfile(port, embedded(t)), "{\n", strict, 1)), port}
	g.newDeployment(t, "dep1")
	k := g.newKey(t, "dep1")
	token := g.token(t, k)
	g.patchKey(t, k, map[string]any{"allowed_ips": []string{"192.0.2.7"}})
	for forwarded, status := range map[string]int{
		"192.0.2.7, 198.51.100.9": http.StatusForbidden,
		"192.0.2.7,198.51.100.9":  http.StatusForbidden,
		"198.51.100.9, 192.0.2.7": http.StatusOK,
	} {
		answer := call(t, http.MethodGet, g.URL(port, "/dep1/api/v2/dags"), nil, bearer(token), header("X-Forwarded-For", forwarded))
		if answer.Status != status {
			t.Errorf("X-Forwarded-For: %s is answered %d, want %d", forwarded, answer.Status, status)
		}
	}
}
