package integration

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// commandCalls is how often a Redis was asked each command, and when that was read.
func commandCalls(t *testing.T, client *redis.Client) (map[string]int, time.Time) {
	t.Helper()
	text, err := client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	calls := make(map[string]int)
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, ",")
		if calls[name], err = strconv.Atoi(number); err != nil {
			t.Fatal(err)
		}
	}
	return calls, time.Now()
}

const usesRecorded = `caddy_deployment_keys_key_uses_total{outcome="recorded"}`

// Each node asks for the head and the entries of the change log, in one round trip, once a second while nothing
// changes, and writes once a minute when keys were last used. Whatever Redis is asked besides would be for requests.
func TestRememberedTokensAskRedisNothing(t *testing.T) {
	t.Parallel()
	const requests = 10_000
	s := onRedis(t)
	nodes := []*site{startSite(t, s), startSite(t, s)}
	nodes[0].newDeployment(t, "dep1")
	keys := nodes[0].newKeys(t, "dep1", 50)
	tokens := nodes[0].tokens(t, keys)
	for _, g := range nodes {
		g.useAll(t, keys, tokens)
	}
	// The first uses are written at once, and then nothing for a minute.
	for _, g := range nodes {
		eventually(t, "the first uses are written", func() bool { return g.metric(t, usesRecorded) >= float64(len(keys)) })
	}
	recorded := func() float64 { return nodes[0].metric(t, usesRecorded) + nodes[1].metric(t, usesRecorded) }

	client := s.redis.Client()
	c := keepAlive(t)
	var before, after map[string]int
	var began, ended time.Time
	measure := func() {
		before, began = commandCalls(t, client)
		inParallel(t, requests, func(i int) error {
			// Both nodes get each token.
			status, err := nodes[i%2].fetch(c, "dep1", tokens[i/2%len(tokens)])
			return wanted(http.StatusOK, status, err)
		})
		after, ended = commandCalls(t, client)
	}
	// Once more if the minute was over meanwhile: then there is another one.
	for tries, first := 3, recorded(); ; first = recorded() {
		if measure(); recorded() == first {
			break
		}
		if tries--; tries == 0 {
			t.Fatalf("%d requests take longer than a minute", requests)
		}
	}

	asked := make(map[string]int)
	for name, calls := range after {
		if calls -= before[name]; calls != 0 {
			asked[name] = calls
		}
	}
	heads, reads := asked["get"], asked["xread"]
	for _, own := range []string{"get", "xread", "info"} { // INFO is the test's
		delete(asked, own)
	}
	if len(asked) > 0 {
		t.Errorf("Redis was asked for %d requests: %v", requests, asked)
	}
	// A GET counts when the wait begins and its XREAD may count when that ends, so that each node may have one on either
	// side of what is counted.
	if difference := heads - reads; difference < -len(nodes) || difference > len(nodes) {
		t.Errorf("Redis was asked %d GET and %d XREAD: the followers ask as many of both", heads, reads)
	}
	rounds := len(nodes) * (int(ended.Sub(began)/time.Second) + 2)
	if heads > rounds {
		t.Errorf("Redis was asked %d GET within %s, the followers ask %d at most", heads, ended.Sub(began), rounds)
	}
	figure(t, "Redis commands for 10,000 requests with remembered tokens", len(asked))
	figure(t, "Redis commands of two followers meanwhile", heads+reads)
	figure(t, "requests with remembered tokens a second, two nodes with the race detector", int(requests/ended.Sub(began).Seconds()))
}
