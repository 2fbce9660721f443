package node

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deploymentkeys/gateway/keystore"
)

// This file is what nodes tell Prometheus. The names, and what they mean, are listed in caddymodule/metrics.go.

const (
	metricsNamespace = "caddy"
	metricsSubsystem = "deployment_keys"
)

// metrics are the collectors of all nodes of this process. A counter has to outlive the node that counts with it.
var metrics = newCollectors()

type collectors struct {
	store                     storeMetrics
	nodes                     *nodeCollector
	uses                      useMetrics
	auditEntries, auditErrors prometheus.Counter
}

func newCollectors() *collectors {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help})
	}
	return &collectors{
		store:        newStoreMetrics(),
		nodes:        newNodeCollector(),
		uses:         newUseMetrics(),
		auditEntries: counter("audit_entries_total", "Entries of the audit log that this node has written."),
		auditErrors:  counter("audit_errors_total", "Attempts to write the audit log that failed, to be tried again."),
	}
}

func (c *collectors) all() []prometheus.Collector {
	return []prometheus.Collector{c.store.calls, c.store.durations, c.nodes, c.uses.all, c.auditEntries, c.auditErrors}
}

// Collectors returns the collectors of all nodes of this process.
func Collectors() []prometheus.Collector { return metrics.all() }

// useMetrics count writes of when keys were last used, by key.
type useMetrics struct {
	all                       *prometheus.CounterVec
	recorded, failed, dropped prometheus.Counter
}

func newUseMetrics() useMetrics {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "key_uses_total",
		Help: "Times that the last use of a key was to be written, by outcome: recorded (in the store), failed (it could not be asked; tried again), dropped (too many keys at once, or the end of the process).",
	}, []string{"outcome"})
	return useMetrics{all, all.WithLabelValues("recorded"), all.WithLabelValues("failed"), all.WithLabelValues("dropped")}
}

// nodeCollector reads, at each scrape, what the nodes of this process count by themselves: a
// request that is answered from memory then pays for one atomic addition and nothing else.
type nodeCollector struct {
	mu    sync.Mutex
	nodes map[*Node]struct{}   // open
	inUse map[*Handle]struct{} // open and not closed: what requests use
	ended keystore.ViewStats   // of nodes that are closed; the counters only

	lookups, age, position, events, gaps, errors, remembered *prometheus.Desc
}

func newNodeCollector() *nodeCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(metricsNamespace, metricsSubsystem, name), help, labels, nil)
	}
	return &nodeCollector{
		nodes: make(map[*Node]struct{}),
		inUse: make(map[*Handle]struct{}),

		lookups:    desc("view_lookups_total", "Questions about keys, members and Deployments by result: hit (answered from memory) or miss (the store was asked).", "result"),
		age:        desc("knowledge_age_seconds", "How old this node's knowledge of keys is. +Inf when it has none."),
		position:   desc("log_position", "Number of the newest entry of the change log that this node has heard of."),
		events:     desc("log_events_total", "Changes that this node heard of through the change log."),
		gaps:       desc("log_gaps_total", "Times that this node forgot all it knew because entries of the change log were missing."),
		errors:     desc("log_errors_total", "Reads of the change log that failed."),
		remembered: desc("remembered", "What this node has in memory, by kind: keys, members, deployments, revocations, tokens.", "kind"),
	}
}

// opened adds a node.
func (c *nodeCollector) opened(n *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[n] = struct{}{}
}

// closed takes a node out and keeps what it counted, in one step: a counter must not go back
// between two scrapes.
func (c *nodeCollector) closed(n *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.nodes[n]; !ok {
		return
	}
	delete(c.nodes, n)
	addCounters(&c.ended, n.View.Stats())
}

// started adds a handle, which has a node.
func (c *nodeCollector) started(h *Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse[h] = struct{}{}
}

// stopped removes a handle. Its node may stay open for a while, for requests that are under way,
// but no longer says how old this process' knowledge is.
func (c *nodeCollector) stopped(h *Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.inUse, h)
}

// Describe implements [prometheus.Collector].
func (c *nodeCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.lookups, c.age, c.position, c.events, c.gaps, c.errors, c.remembered} {
		descs <- desc
	}
}

// Collect implements [prometheus.Collector]. It asks nothing of the store.
func (c *nodeCollector) Collect(out chan<- prometheus.Metric) {
	sum, oldest, inUse, tokens := c.read()
	counter := func(desc *prometheus.Desc, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	counter(c.lookups, sum.Hits, "hit")
	counter(c.lookups, sum.Misses, "miss")
	counter(c.events, sum.Events)
	counter(c.gaps, sum.Gaps)
	counter(c.errors, sum.FollowErrors)
	gauge(c.remembered, float64(sum.Keys), "keys")
	gauge(c.remembered, float64(sum.Members), "members")
	gauge(c.remembered, float64(sum.Deployments), "deployments")
	gauge(c.remembered, float64(sum.Revoked), "revocations")
	gauge(c.remembered, float64(tokens), "tokens")
	if inUse {
		gauge(c.age, ageSeconds(oldest))
		gauge(c.position, float64(oldest.Seq))
	}
}

// read sums over the nodes, and finds the one in use that knows least.
func (c *nodeCollector) read() (sum, oldest keystore.ViewStats, inUse bool, tokens int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum = c.ended
	for n := range c.nodes {
		stats := n.View.Stats()
		addCounters(&sum, stats)
		sum.Keys += stats.Keys
		sum.Members += stats.Members
		sum.Deployments += stats.Deployments
		sum.Revoked += stats.Revoked
	}
	for h := range c.inUse {
		tokens += h.Remembered()
		stats := h.node.Load().View.Stats()
		if !inUse || knowsLess(stats, oldest) {
			oldest, inUse = stats, true
		}
	}
	return sum, oldest, inUse, tokens
}

func addCounters(sum *keystore.ViewStats, stats keystore.ViewStats) {
	sum.Hits += stats.Hits
	sum.Misses += stats.Misses
	sum.Events += stats.Events
	sum.Gaps += stats.Gaps
	sum.FollowErrors += stats.FollowErrors
}

// knowsLess orders views by what their knowledge is worth. Of two that know nothing, it takes the
// one with the lower position, so that the order of a map does not decide.
func knowsLess(a, b keystore.ViewStats) bool {
	if x, y := ageSeconds(a), ageSeconds(b); x != y {
		return x > y
	}
	return a.Seq < b.Seq
}

// ageSeconds is +Inf for a view that knows nothing: an alert on a large age has to see that too.
func ageSeconds(stats keystore.ViewStats) float64 {
	if !stats.Heard {
		return math.Inf(1)
	}
	return max(stats.Age, time.Duration(0)).Seconds()
}

// Interface guard
var _ prometheus.Collector = (*nodeCollector)(nil)
