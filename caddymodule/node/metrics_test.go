package node

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deploymentkeys/gateway/internal/scrapetest"
	"github.com/deploymentkeys/gateway/keystore"
)

func scrapeOf(t *testing.T, c *collectors) scrapetest.Scrape {
	t.Helper()
	return scrapetest.Of(t, func(registry *prometheus.Registry) error {
		registry.MustRegister(c.all()...)
		return nil
	})
}

// collectedNode is a node of c, in use by a configuration, whose view has heard of the log if the store
// has one.
func collectedNode(t *testing.T, c *collectors, store keystore.Store) (*Node, *Handle) {
	t.Helper()
	keys := keystore.New(store, []byte(strings.Repeat("k", minSecretLength)))
	n := &Node{store: store, Keys: keys, View: keystore.NewView(keys, keystore.ViewOptions{})}
	c.nodes.opened(n)
	h := NewHandle()
	h.node.Store(n)
	c.nodes.started(h)
	return n, h
}

// During a reload there are two nodes: counters are sums and never go back; of the ages, the
// worse one counts.
func TestMetricsOfSeveralNodes(t *testing.T) {
	t.Parallel()
	c := newCollectors()
	if _, ok := scrapeOf(t, c)["knowledge_age_seconds"]; ok {
		t.Error("there is an age without a node")
	}
	following, deaf := newFakeLog(t), newFakeLog(t)
	deaf.fail.Store(true)
	n1, h1 := collectedNode(t, c, following)
	eventually(t, func() bool { _, heard := n1.View.Age(); return heard })
	if age := scrapeOf(t, c).Get(t, "knowledge_age_seconds"); age > time.Minute.Seconds() {
		t.Errorf("age %v", age)
	}
	if got := scrapeOf(t, c).Get(t, "log_position"); got != fakeHead {
		t.Errorf("log_position %v, want %v", got, fakeHead)
	}

	n2, h2 := collectedNode(t, c, deaf)
	eventually(t, func() bool { return scrapeOf(t, c).Get(t, "log_errors_total") > 0 })
	for range 10 { // whatever the order of a map is
		s := scrapeOf(t, c)
		if !math.IsInf(s.Get(t, "knowledge_age_seconds"), 1) || s.Get(t, "log_position") != 0 {
			t.Fatalf("with a node that knows nothing: %v", s)
		}
	}

	_, _ = n1.View.Member(t.Context(), "dep1", "u", time.Hour)
	c.nodes.stopped(h2)
	if s := scrapeOf(t, c); math.IsInf(s.Get(t, "knowledge_age_seconds"), 1) {
		t.Error("a node that nobody uses any more says how old the knowledge is")
	}
	before := scrapeOf(t, c)
	c.nodes.stopped(h1)
	for _, n := range []*Node{n1, n2} {
		n.View.Close()
		c.nodes.closed(n)
		c.nodes.closed(n) // counted once
	}
	after := scrapeOf(t, c)
	for _, counter := range []string{`view_lookups_total{result="miss"}`, "log_errors_total", "log_events_total", "log_gaps_total"} {
		if was, is := before.Get(t, counter), after.Get(t, counter); is < was || (is == 0) != (was == 0) {
			t.Errorf("%s went from %v to %v", counter, was, is)
		}
	}
	if got := after.Get(t, `remembered{kind="keys"}`); got != 0 {
		t.Errorf("%v keys are remembered by no node", got)
	}
}
