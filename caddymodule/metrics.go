package caddymodule

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/caddymodule/node"
)

// What the gateway tells Prometheus, on Caddy's /metrics. All names begin with
// caddy_deployment_keys_, and no label has a value that a client or a number of keys decides.
//
//	requests_total{handler,outcome}             requests that deployment_auth, the OAuth endpoints and the handlers for Airflow decided
//	view_lookups_total{result}                  hit: answered from memory; miss: the store was asked
//	store_calls_total{operation,outcome}        calls of the store
//	store_call_duration_seconds{operation}      how long they took, without next, which waits for news
//	knowledge_age_seconds                       how old this node's knowledge is; +Inf when it has none
//	log_position                                number of the newest change that this node has heard of
//	log_events_total                            changes heard of
//	log_gaps_total                              times that all was forgotten because changes were missing
//	log_errors_total                            reads of the change log that failed
//	remembered{kind}                            keys, members, Deployments, tokens, and whether tokens were revoked, in memory
//	key_uses_total{outcome}                     when keys were last used: recorded in the store, failed and tried again, dropped
//	changes_total{kind}                         changes that this process made, by the kind of their event
//	refusal_events_suppressed_total             events deployment_token_refused that were not emitted
//	audit_entries_total                         entries of the audit log that this node has written
//	audit_errors_total                          attempts to write it that failed, to be tried again
//
// Counters count from the start of the process, over reloads: a store that is no longer used
// stays in the sums. During a reload that changes the store two of them are in use for a moment;
// the one that knows less speaks for both in knowledge_age_seconds and log_position, and
// remembered is what both hold.
const (
	metricsNamespace = "caddy"
	metricsSubsystem = "deployment_keys"
)

// metrics are the collectors of this process. A counter has to outlive the configuration in which
// it counted; each configuration has a registry of its own, on which its app registers them all.
var metrics = newCollectors()

type collectors struct {
	requests      *prometheus.CounterVec
	changes       *prometheus.CounterVec
	notEmitted    prometheus.Counter
	allCollectors []prometheus.Collector

	auth, token, revoke, introspect, userToken, airflow requestCounters
}

func newCollectors() *collectors {
	c := &collectors{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "requests_total",
			Help: "Requests by handler (auth: the bearer check; token, revoke, introspect, user_token: the OAuth endpoints and POST /token; airflow: what deployment_airflow_login and deployment_airflow_token get, which auth has passed) and outcome (passed, or the error of the answer).",
		}, []string{"handler", "outcome"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "changes_total",
			Help: "Changes of Deployments, keys, members and tokens that this gateway has made, by kind.",
		}, []string{"kind"}),
		notEmitted: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "refusal_events_suppressed_total",
			Help: "Events deployment_token_refused that were not emitted, because there were too many in a second or their subscribers are too slow.",
		}),
	}
	for name, counters := range map[string]*requestCounters{
		"auth": &c.auth, "token": &c.token, "revoke": &c.revoke, "introspect": &c.introspect, "user_token": &c.userToken,
		"airflow": &c.airflow,
	} {
		*counters = newRequestCounters(c.requests, name)
	}
	for kind := range changeNames {
		c.changes.WithLabelValues(string(kind)) // a rate needs its 0
	}
	c.allCollectors = append(node.Collectors(), c.requests, c.changes, c.notEmitted)
	return c
}

// register makes a configuration export the metrics. A registry that has them already is left as
// it is.
func (c *collectors) register(registry *prometheus.Registry) error {
	for _, collector := range c.allCollectors {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(collector); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// requestCounters are the counters of a handler. They are there from the start: finding one by
// its labels would cost a request more than counting it, and a rate needs its 0.
type requestCounters struct {
	handler string
	passed  prometheus.Counter
	refused map[access.Code]prometheus.Counter // never written after it was made
}

func newRequestCounters(requests *prometheus.CounterVec, handler string) requestCounters {
	counters := requestCounters{
		handler: handler,
		passed:  requests.WithLabelValues(handler, outcomePassed),
		refused: make(map[access.Code]prometheus.Counter, len(access.Codes())),
	}
	for _, code := range access.Codes() {
		counters.refused[code] = requests.WithLabelValues(handler, string(code))
	}
	return counters
}

// outcomePassed is the outcome of a request that was passed on, or got its token. The others are
// the codes of answers.
const outcomePassed = "passed"
