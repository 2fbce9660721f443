package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
)

// filled makes many keys in a store as the gateway makes them, without one, and returns some that lie apart.
func filled(t *testing.T, s store, total, wantKeys int) []key {
	t.Helper()
	backend, err := redisstore.Open(redisstore.Options{URL: s.redis.URL(), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	keys := keystore.New(backend, []byte(s.master))
	defer keys.Close()
	deployments := max(1, (total+9999)/10_000)
	name := func(i int) string { return fmt.Sprintf("dep%d", i%deployments) }
	by := keystore.Caller{Name: "test"}
	for i := range deployments {
		if _, err := keys.CreateDeployment(t.Context(), by, keystore.Deployment{ID: name(i), Name: name(i)}); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	some := make([]key, wantKeys)
	apart := total / wantKeys
	var made atomic.Int64
	inParallel(t, total, func(i int) error {
		k, secret, err := keys.CreateKey(t.Context(), by, keystore.Key{DeploymentID: name(i), Name: "CI"})
		if err != nil {
			return err
		}
		made.Add(1)
		if i%apart == 0 && i/apart < wantKeys {
			some[i/apart] = key{ID: k.ID, DeploymentID: k.DeploymentID, Secret: secret.Reveal()}
		}
		return nil
	})
	figure(t, fmt.Sprint("keys made a second, of ", made.Load()), int(float64(made.Load())/time.Since(begin).Seconds()))
	return some
}

// coldAndRemembered calls gateways in turn with tokens that they have not seen, and again, and returns how long the
// answers of each took. In turn, so that what else the machine does falls on each alike.
func coldAndRemembered(t *testing.T, nodes []*site, keys [][]key, tokens [][]string) (cold, remembered [][]time.Duration) {
	t.Helper()
	c := keepAlive(t)
	cold, remembered = make([][]time.Duration, len(nodes)), make([][]time.Duration, len(nodes))
	timed := func(n, i int) time.Duration {
		begin := time.Now()
		status, err := nodes[n].fetch(c, keys[n][i].DeploymentID, tokens[n][i])
		took := time.Since(begin)
		if err := wanted(http.StatusOK, status, err); err != nil {
			t.Fatal(err)
		}
		return took
	}
	for i := range tokens[0] {
		for n := range nodes {
			cold[n] = append(cold[n], timed(n, i))
			remembered[n] = append(remembered[n], timed(n, i))
		}
	}
	return cold, remembered
}

// How many keys there are makes no difference to how long a request takes.
func TestManyKeysCostARequestNothing(t *testing.T) {
	t.Parallel()
	const few, sample = 1000, 500
	many := scaled(20_000, 1_000_000)
	var nodes []*site
	var keys [][]key
	var tokens [][]string
	for _, total := range []int{few, many} {
		s := onRedis(t)
		some := filled(t, s, total, sample)
		g := startSite(t, s)
		tokens = append(tokens, g.tokens(t, some))
		g.Restart() // it has seen these keys, and forgets them
		nodes, keys = append(nodes, g), append(keys, some)
	}
	cold, remembered := coldAndRemembered(t, nodes, keys, tokens)
	for name, took := range map[string][][]time.Duration{"cold": cold, "remembered": remembered} {
		with, without := percentile(took[1], 0.5), percentile(took[0], 0.5)
		ratio := float64(with) / float64(without)
		figure(t, fmt.Sprintf("%s request p50 with %d keys", name, few), without)
		figure(t, fmt.Sprintf("%s request p50 with %d keys", name, many), with)
		figure(t, fmt.Sprintf("%s request p50 with %d keys to that with %d", name, many, few), fmt.Sprintf("%.2f", ratio))
		if ratio >= 3 {
			t.Errorf("a %s request takes %.1f times as long with %d keys", name, ratio, many)
		}
	}
}

// resident is how much memory a gateway has, in MB.
func (g *site) resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(g.PID()), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if fields := strings.Fields(string(line)); len(fields) == 3 && fields[0] == "VmRSS:" {
			kilobytes, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes / 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// How much a gateway remembers is the setting's to say, not the number of keys.
func TestMemoryIsBoundedByTheCache(t *testing.T) {
	t.Parallel()
	const cacheSize = 1000
	s := onRedis(t)
	s.options += fmt.Sprintf("\n\t\tcache_size %d", cacheSize)
	total := scaled(5*cacheSize, 100*cacheSize)
	keys := filled(t, s, total, total)
	g := startSite(t, s)
	heap := func() float64 {
		call(t, http.MethodGet, g.Admin("/debug/pprof/heap?gc=1"), nil).Want(http.StatusOK)
		return g.metric(t, "go_memstats_heap_alloc_bytes") / (1 << 20)
	}
	use := func(keys []key) { g.useAll(t, keys, g.tokens(t, keys)) }
	use(keys[:cacheSize])
	heapBefore, residentBefore := heap(), g.resident(t)
	use(keys[cacheSize:])
	heapAfter, residentAfter := heap(), g.resident(t)
	figure(t, fmt.Sprintf("heap in MB with cache_size %d, %d and %d keys used", cacheSize, cacheSize, total), fmt.Sprintf("%.1f %.1f", heapBefore, heapAfter))
	figure(t, fmt.Sprintf("resident memory in MB with cache_size %d, %d and %d keys used", cacheSize, cacheSize, total), fmt.Sprint(residentBefore, " ", residentAfter))
	for _, kind := range []string{"keys", "tokens"} {
		name := fmt.Sprintf("caddy_deployment_keys_remembered{kind=%q}", kind)
		// The cache makes room a moment after it was filled.
		eventually(t, "it remembers as many "+kind+" as it may", func() bool { return g.metric(t, name) <= 1.1*cacheSize })
		if g.metric(t, name) < cacheSize/2 {
			t.Errorf("%v %s are remembered, of %d that may be", g.metric(t, name), kind, cacheSize)
		}
	}
	// Each key and its token would be some 1.2 KB.
	if most := 3 + float64(total-cacheSize)*0.6/1024; heapAfter-heapBefore > most {
		t.Errorf("the heap grew by %.1f MB, want %.1f at most", heapAfter-heapBefore, most)
	}
}
