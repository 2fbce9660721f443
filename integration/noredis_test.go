package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// outage is what an answer may take when the store does not give one: the gateway's deadlines, and a machine that is
// busy with other tests.
const outage = 3 * time.Second

// wantUnavailable holds that whatever needs the store is answered 503 in time, and never with a no.
func wantUnavailable(t *testing.T, g *site, k key, token string) {
	t.Helper()
	for name, ask := range map[string]func() reply{
		"token":         func() reply { return g.askToken(t, k) },
		"bearer":        func() reply { return g.get(t, "dep1", token) },
		"another token": func() reply { return g.get(t, "dep2", token) },
		"junk":          func() reply { return g.get(t, "dep1", "e30.e30.e30") },
		"Basic": func() reply {
			return call(t, http.MethodGet, g.URL(g.port, "/deploy/dep1/x"), nil, basic(k.ID, k.Secret))
		},
	} {
		begin := time.Now()
		answer := ask()
		if took := time.Since(begin); took > outage {
			t.Errorf("%s: answered after %s, want %s at most", name, took, outage)
		}
		// What can be seen to be no token of this gateway without the store may be refused without it.
		if name == "junk" && answer.Status == http.StatusUnauthorized {
			continue
		}
		wantRefusal(t, answer, http.StatusServiceUnavailable, "temporarily_unavailable")
	}
	begin := time.Now()
	answer := call(t, http.MethodGet, g.Admin("/deployments"), nil).Want(http.StatusServiceUnavailable)
	if took := time.Since(begin); took > 2*outage || answer.Header.Get("Retry-After") == "" {
		t.Errorf("admin API: answered after %s with Retry-After %q", took, answer.Header.Get("Retry-After"))
	}
	// What needs no store works.
	call(t, http.MethodGet, g.URL(g.port, "/elsewhere"), nil).Want(http.StatusNotFound)
	wantRefusal(t, call(t, http.MethodGet, g.URL(g.port, "/dep1/api/x"), nil), http.StatusUnauthorized, "unauthorized")
}

// aKey is a key of another store: of the right form, so that it takes the store to say no.
func aKey(t *testing.T) (key, string) {
	t.Helper()
	g := startSite(t, embedded(t))
	defer g.Stop()
	g.newDeployment(t, "dep1")
	k := g.newKey(t, "dep1")
	return k, g.token(t, k)
}

func TestRedisAbsentAtStart(t *testing.T) {
	t.Parallel()
	foreign, foreignToken := aKey(t)
	server := storetest.StartRedis(t)
	server.Stop() // its port stays its own
	g := startSite(t, redisAt(server.URL(), newMasterSecret(), server))
	wantUnavailable(t, g, foreign, foreignToken)
	if !strings.Contains(g.Logs(), server.Addr()) {
		t.Error("the log does not say which Redis could not be reached")
	}

	server.Restart()
	eventually(t, "the gateway finds Redis without a restart", func() bool {
		return call(t, http.MethodGet, g.Admin("/deployments"), nil).Status == http.StatusOK
	})
	g.newDeployment(t, "dep1")
	g.get(t, "dep1", g.token(t, g.newKey(t, "dep1"))).Want(http.StatusOK)
	wantRefusal(t, g.askToken(t, foreign), http.StatusUnauthorized, "invalid_client")
	wantRefusal(t, g.get(t, "dep1", foreignToken), http.StatusUnauthorized, "invalid_token")
}

func TestRedisStoppedWhileTheGatewayRuns(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, "appendonly yes", "appendfsync always")
	s := redisAt(server.URL(), newMasterSecret(), server)
	s.options += "\n\t\tmax_staleness 1s"
	g := startSite(t, s)
	g.newDeployment(t, "dep1")
	k := g.newKey(t, "dep1")
	token := g.token(t, k)
	// What the gateway knows may be good for max_staleness. It ends in an outage and not in a no.
	wantOutage := func(t *testing.T) {
		t.Helper()
		eventually(t, "what the gateway knows is too old", func() bool {
			return g.get(t, "dep1", token).Want(http.StatusOK, http.StatusServiceUnavailable).Status == http.StatusServiceUnavailable
		})
		wantUnavailable(t, g, k, token)
	}
	stops := map[string]func(){"stopped": server.Stop, "killed": server.Kill}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			g.get(t, "dep1", token).Want(http.StatusOK)
			stop()
			wantOutage(t)
			server.Restart()
			eventually(t, "the gateway finds Redis again", func() bool {
				return g.get(t, "dep1", token).Want(http.StatusOK, http.StatusServiceUnavailable).Status == http.StatusOK
			})
			eventually(t, "the gateway issues tokens again", func() bool {
				return g.askToken(t, k).Want(http.StatusOK, http.StatusServiceUnavailable).Status == http.StatusOK
			})
		})
	}
	// A restart of the gateway while Redis is away is no different.
	server.Stop()
	g.Restart()
	wantOutage(t)
	server.Restart()
	eventually(t, "the restarted gateway finds Redis", func() bool {
		return g.get(t, "dep1", token).Want(http.StatusOK, http.StatusServiceUnavailable).Status == http.StatusOK
	})
}

// blackHole accepts connections and says nothing. It is the worst that a network does: nobody is told that it is down.
func blackHole(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reading.Go(func() {
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			})
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-accepting
	})
	return listener.Addr().String()
}

func TestRedisThatNeverAnswers(t *testing.T) {
	t.Parallel()
	k, token := aKey(t)
	begin := time.Now()
	g := startSite(t, redisAt("redis://"+blackHole(t), newMasterSecret(), nil))
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the gateway took %s to start", took)
	}
	wantUnavailable(t, g, k, token)

	// A queue of requests for a store that is away would make the last one wait for all before it.
	const callers = 50
	results := make([]string, callers)
	var done sync.WaitGroup
	for i := range callers {
		done.Go(func() {
			begin := time.Now()
			var answer reply
			var err error
			if i%2 == 0 {
				answer, err = try(t, http.MethodGet, g.URL(g.port, "/dep1/api/x"), nil, bearer(token))
			} else {
				answer, err = try(t, http.MethodPost, g.URL(g.port, "/oauth/token"), url.Values{
					"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret},
				})
			}
			took := time.Since(begin)
			if err != nil || answer.Status != http.StatusServiceUnavailable || took > outage {
				results[i] = fmt.Sprintf("status %d after %s: %v", answer.Status, took, err)
			}
		})
	}
	done.Wait()
	for i, result := range results {
		if result != "" {
			t.Errorf("caller %d: %s, want 503 within %s", i, result, outage)
		}
	}
}
