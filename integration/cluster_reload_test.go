package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// paced makes all calls of a load together at most so many a second.
func paced(t *testing.T, perSecond int, calls ...func(*http.Client) string) []func(*http.Client) string {
	t.Helper()
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	t.Cleanup(tick.Stop)
	for i, call := range calls {
		calls[i] = func(c *http.Client) string {
			<-tick.C
			return call(c)
		}
	}
	return calls
}

// files is how many file descriptors a gateway has open.
func (g *site) files(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(g.PID()), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// reloaded is the Caddyfile of a site with a difference, since Caddy does nothing for a config that it has already.
func reloaded(g *site, s store, n int) string {
	return strings.Replace(tourCaddyfile(g.port, s), "respond 404", fmt.Sprintf("respond 404\n\t\theader X-Reload %d", n), 1)
}

// The store of a config that is gone stays open for half a minute, for requests that are under way.
const releaseTime = 30 * time.Second

// Connections come and go, with what serves them: of what a reload left behind, there would be one for each reload.
const (
	fewGoroutines = 2
	fewFiles      = 3
)

// fewIdle has a pool close what is not in use.
const fewIdle = "?max_idle_conns=1"

func TestReloadsLeaveNothingBehind(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		if s.redis != nil {
			// Or connections that the pool keeps for later would be counted, as many as happened to be busy at once.
			s = redisAt(s.redis.URL()+fewIdle, s.master, s.redis)
		}
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1")
		token := g.token(t, k)
		begin := func() *load {
			return startLoad(t, paced(t, 200,
				loadGet(g.URL(g.port, "/dep1/api/v2/dags"), token, http.StatusOK),
				loadToken(g, k, http.StatusOK),
				loadGet(g.URL(g.port, "/dep1/api/v2/dags"), token, http.StatusOK),
				loadGet(g.Admin("/deployments/dep1"), "", http.StatusOK),
			)...)
		}
		reload := func(from, n int, change func(store, int) store) {
			l := begin()
			for i := range n {
				g.Reload(reloaded(g, change(s, i), from+i))
				l.goOn(t, 10)
			}
			l.stop(t)
		}
		same := func(s store, _ int) store { return s }
		// What is made once and kept is there after a few.
		reload(0, 5, same)
		goroutines, files := g.profileTotal(t), g.files(t)
		lowest := func() {
			goroutines, files = min(goroutines, g.profileTotal(t)), min(files, g.files(t))
		}
		settled := time.Now()
		eventually(t, "what serves connections has ended", func() bool {
			lowest()
			return time.Since(settled) > busy
		})

		n := scaled(30, 100)
		reload(5, n, same)
		within := patience
		if s.redis != nil {
			// Each with a store of its own.
			const stores = 10
			reload(5+n, stores, func(s store, i int) store {
				s.options = strings.Replace(s.options, "redis {env.REDIS_URL}", fmt.Sprintf("redis %s%s&pool_size=%d", s.redis.URL(), fewIdle, 10+i), 1)
				return s
			})
			reload(5+n+stores, 1, same)
			within = releaseTime + 15*time.Second
		}
		var goroutinesNow, filesNow int
		kind := filepath.Base(t.Name())
		defer func() { // also when they are too many
			figure(t, kind+", goroutines before and after reloads", fmt.Sprint(goroutines, " ", goroutinesNow, " (", n, " reloads)"))
			figure(t, kind+", file descriptors before and after reloads", fmt.Sprint(files, " ", filesNow, " (", n, " reloads)"))
		}()
		storetest.Poll(t, within, "goroutines and file descriptors of reloads are gone", func() bool {
			goroutinesNow, filesNow = g.profileTotal(t), g.files(t)
			return goroutinesNow <= goroutines+fewGoroutines && filesNow <= files+fewFiles
		})
		g.get(t, "dep1", token).Want(http.StatusOK)
	})
}
