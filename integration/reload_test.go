package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// load calls the gateway from several goroutines until the function it returns is called, and counts what comes back.
type load struct {
	end    context.CancelFunc
	done   sync.WaitGroup
	calls  atomic.Int64
	mu     sync.Mutex
	failed map[string]int
}

const loadCallers = 6

// startLoad starts callers that take turns with the calls. A call says what was wrong, or "".
func startLoad(t *testing.T, calls ...func(*http.Client) string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{end: cancel, failed: make(map[string]int)}
	for caller := range loadCallers {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
		l.done.Go(func() {
			defer client.CloseIdleConnections()
			for i := caller; ctx.Err() == nil; i++ {
				if wrong := calls[i%len(calls)](client); wrong != "" {
					l.mu.Lock()
					l.failed[wrong]++
					l.mu.Unlock()
				}
				l.calls.Add(1)
			}
		})
	}
	t.Cleanup(func() {
		l.end()
		l.done.Wait()
	})
	return l
}

// goOn waits until more calls have been answered.
func (l *load) goOn(t *testing.T, more int64) {
	t.Helper()
	until := l.calls.Load() + more
	eventually(t, "calls are answered", func() bool { return l.calls.Load() >= until })
}

// stop ends the load and holds that nothing went wrong.
func (l *load) stop(t *testing.T) {
	t.Helper()
	l.end()
	l.done.Wait()
	for wrong, times := range l.failed {
		t.Errorf("%d of %d calls: %s", times, l.calls.Load(), wrong)
	}
}

// loadGet is a call of load that sends a bearer and wants one of some statuses.
func loadGet(target, token string, statuses ...int) func(*http.Client) string {
	return loadCall(http.MethodGet, target, "", statuses, bearer(token))
}

// loadToken is a call of load that asks for a token.
func loadToken(g *site, k key, statuses ...int) func(*http.Client) string {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret}}.Encode()
	return loadCall(http.MethodPost, g.URL(g.port, "/oauth/token"), form, statuses,
		header("Content-Type", "application/x-www-form-urlencoded"))
}

func loadCall(method, target, body string, statuses []int, option requestOption) func(*http.Client) string {
	return func(client *http.Client) (wrong string) {
		// At a reload, Caddy closes a listener that shares its port with the next one, and the system resets the
		// connections that this one had not accepted yet. Clients connect again, and so does this one.
		for range 5 {
			request, err := http.NewRequest(method, target, strings.NewReader(body))
			if err != nil {
				return err.Error()
			}
			option(request)
			response, err := client.Do(request)
			if err != nil {
				wrong = err.Error()
				continue
			}
			defer response.Body.Close()
			// Only a body that was read to its end leaves the connection to the next call.
			said, err := io.ReadAll(response.Body)
			if err != nil {
				return err.Error()
			}
			if slices.Contains(statuses, response.StatusCode) {
				return ""
			}
			return fmt.Sprintf("%s %s: %s %s", method, request.URL.Path, response.Status, said)
		}
		return wrong
	}
}

func TestReloadsFailNoRequest(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1")
		token := g.token(t, k)
		l := startLoad(t,
			loadGet(g.URL(g.port, "/dep1/api/v2/dags"), token, http.StatusOK),
			loadToken(g, k, http.StatusOK),
			loadGet(g.URL(g.port, "/.well-known/jwks.json"), "", http.StatusOK),
			loadGet(g.Admin("/deployments/dep1"), "", http.StatusOK),
		)
		for i := range 20 {
			// Caddy does nothing for a config that it has already.
			g.Reload(strings.Replace(tourCaddyfile(g.port, s), "respond 404", fmt.Sprintf("respond 404\n\t\t# %d\n\t\theader X-Reload %[1]d", i), 1))
			l.goOn(t, 20)
		}
		l.stop(t)
		g.get(t, "dep1", token).Want(http.StatusOK)
		eventually(t, "the last config serves", func() bool {
			return call(t, http.MethodGet, g.URL(g.port, "/elsewhere"), nil).Header.Get("X-Reload") == "19"
		})
	})
}

// A request is decided by the store of one config or of the other: it may say that a key is not its own, but not that
// it cannot be asked.
func TestReloadToAnotherStoreAndBack(t *testing.T) {
	t.Parallel()
	remote := onRedis(t)
	g := startSite(t, embedded(t), withEnv(remote.env...))
	local := tourCaddyfile(g.port, embedded(t))
	g.newDeployment(t, "dep1")
	localKey := g.newKey(t, "dep1")
	localToken := g.token(t, localKey)
	l := startLoad(t,
		loadGet(g.URL(g.port, "/dep1/api/v2/dags"), localToken, http.StatusOK, http.StatusUnauthorized),
		loadToken(g, localKey, http.StatusOK, http.StatusUnauthorized),
	)
	// A listener of the config before may take a connection still when Caddy says that the reload is done.
	wantStore := func(own string, ownKey key, foreign string, foreignKey key) {
		t.Helper()
		eventually(t, "the config with the other store decides", func() bool {
			return g.get(t, "dep1", own).Status == http.StatusOK &&
				g.askToken(t, ownKey).Status == http.StatusOK &&
				g.get(t, "dep1", foreign).Status == http.StatusUnauthorized &&
				g.askToken(t, foreignKey).Status == http.StatusUnauthorized
		})
	}

	g.Reload(tourCaddyfile(g.port, remote))
	g.newDeployment(t, "dep1")
	remoteKey := g.newKey(t, "dep1")
	eventually(t, "the config with Redis serves", func() bool { return g.askToken(t, remoteKey).Status == http.StatusOK })
	remoteToken := g.token(t, remoteKey)
	for range 3 {
		g.Reload(local)
		wantStore(localToken, localKey, remoteToken, remoteKey)
		l.goOn(t, 20)
		g.Reload(tourCaddyfile(g.port, remote))
		wantStore(remoteToken, remoteKey, localToken, localKey)
		l.goOn(t, 20)
	}
	l.stop(t)
	g.Restart()
	wantStore(remoteToken, remoteKey, localToken, localKey)
}

// What was passed to an upstream before a reload is answered after it, also when the store that it was decided with is
// no longer that of the config.
func TestRequestUnderWayOutlivesReloads(t *testing.T) {
	t.Parallel()
	remote := onRedis(t)
	arrived, released := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-released
		_, _ = io.WriteString(w, r.Header.Get("X-Deployment-Id"))
	}))
	t.Cleanup(to.Close)
	t.Cleanup(release) // before Close, which waits for what is under way
	proxied := func(port int, s store) string {
		respond := `respond "{http.auth.user.deployment} {http.auth.user.id} {http.auth.user.scopes}"`
		return strings.ReplaceAll(tourCaddyfile(port, s), respond, "reverse_proxy "+strings.TrimPrefix(to.URL, "http://"))
	}
	port := freePort(t)
	g := &site{startGateway(t, proxied(port, embedded(t)), withEnv(remote.env...)), port}
	g.newDeployment(t, "dep1")
	token := g.token(t, g.newKey(t, "dep1"))

	var answer reply
	var err error
	var done sync.WaitGroup
	done.Go(func() { answer, err = try(t, http.MethodGet, g.URL(port, "/dep1/api/x"), nil, bearer(token)) })
	<-arrived
	var reloads sync.WaitGroup // Caddy may wait for the request
	reloads.Go(func() {
		for _, caddyfile := range []string{proxied(port, remote), tourCaddyfile(port, remote)} {
			if err := g.TryReload(caddyfile); err != nil {
				t.Error(err)
			}
		}
	})
	eventually(t, "the new config serves", func() bool {
		answer, err := try(t, http.MethodGet, g.Admin("/deployments/dep1"), nil) // whose listener a reload closes too
		return err == nil && answer.Status == http.StatusNotFound
	})
	release()
	done.Wait()
	reloads.Wait()
	if err != nil || answer.Status != http.StatusOK || string(answer.Body) != "dep1" {
		t.Errorf("the request under way got %d %q: %v", answer.Status, answer.Body, err)
	}
}

// While a reload fails, the config before it serves as if nothing were.
func TestFailedReloadsFailNoRequest(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1")
		token := g.token(t, k)
		l := startLoad(t,
			loadGet(g.URL(g.port, "/dep1/api/v2/dags"), token, http.StatusOK),
			loadToken(g, k, http.StatusOK),
			loadGet(g.Admin("/deployments/dep1"), "", http.StatusOK),
		)
		good := tourCaddyfile(g.port, s)
		for _, bad := range []struct{ caddyfile, want string }{
			{good + fmt.Sprintf("\nhttp://:%d {\n\tunknown_directive\n}\n", freePort(t)), "unknown_directive"},
			{strings.Replace(good, "issuer ", "token_lifetime 0\n\t\tissuer ", 1), "token_lifetime"},
			{strings.Replace(good, "issuer ", "token_lifetime 1ms\n\t\tissuer ", 1), "token_lifetime"},
			{good + fmt.Sprintf("\nhttp://:%d {\n\tbind 192.0.2.1\n}\n", freePort(t)), "192.0.2.1"},
		} {
			if err := g.TryReload(bad.caddyfile); err == nil || !strings.Contains(err.Error(), bad.want) {
				t.Fatalf("a reload with a bad config: %v, want an error with %q", err, bad.want)
			}
			l.goOn(t, 20)
		}
		l.stop(t)
		g.newKey(t, "dep1")
		g.Reload(tourCaddyfile(g.port, s))
		g.get(t, "dep1", token).Want(http.StatusOK)
	})
}
