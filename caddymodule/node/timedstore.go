package node

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deploymentkeys/gateway/keystore"
)

// A storeOperation is a method of [keystore.Store], for metrics.
type storeOperation int

const (
	operationGet storeOperation = iota
	operationMembers
	operationSizes
	operationApply
	operationLog
	operationHead
	operationNext
	operationTime
	storeOperations
)

var operationNames = [storeOperations]string{"get", "members", "sizes", "apply", "log", "head", "next", "time"}

// A storeOutcome is how a call of the store ended, for metrics.
type storeOutcome int

const (
	outcomeOK          storeOutcome = iota
	outcomeRefused                  // it answered no: a condition of a change does not hold, or the log has a gap
	outcomeUnavailable              // it did not answer
	outcomeCanceled                 // whoever asked went away
	storeOutcomes
)

var storeOutcomeNames = [storeOutcomes]string{"ok", "refused", "unavailable", "canceled"}

// storeBuckets go from an embedded store's read, by way of Redis nearby and a write that reaches
// the disk, to the deadlines of a read and of a change.
var storeBuckets = []float64{
	0.000_01, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
}

// storeMetrics counts and times the calls of stores.
type storeMetrics struct {
	calls     *prometheus.CounterVec
	durations *prometheus.HistogramVec

	counters  [storeOperations][storeOutcomes]prometheus.Counter
	observers [storeOperations]prometheus.Observer // nil for next
}

func newStoreMetrics() storeMetrics {
	m := storeMetrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "store_calls_total",
			Help: "Calls of the store by operation and outcome: ok, refused (it answered no), unavailable (it did not answer), canceled (whoever asked went away).",
		}, []string{"operation", "outcome"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "store_call_duration_seconds",
			Help:    "How long calls of the store took, by operation. The operation next is not in it: it waits for news.",
			Buckets: storeBuckets,
		}, []string{"operation"}),
	}
	for operation, name := range operationNames {
		for outcome, outcomeName := range storeOutcomeNames {
			m.counters[operation][outcome] = m.calls.WithLabelValues(name, outcomeName)
		}
		if storeOperation(operation) != operationNext {
			m.observers[operation] = m.durations.WithLabelValues(name)
		}
	}
	return m
}

// done counts a call that has ended.
func (m *storeMetrics) done(ctx context.Context, operation storeOperation, began time.Time, err error) {
	m.counters[operation][storeOutcomeOf(ctx, err)].Inc()
	if observer := m.observers[operation]; observer != nil {
		observer.Observe(time.Since(began).Seconds())
	}
}

func storeOutcomeOf(ctx context.Context, err error) storeOutcome {
	var condition *keystore.ConditionError
	switch {
	case err == nil:
		return outcomeOK
	case errors.As(err, &condition), errors.Is(err, keystore.ErrLogGap):
		return outcomeRefused
	case errors.Is(ctx.Err(), context.Canceled):
		return outcomeCanceled
	}
	return outcomeUnavailable
}

// A timedStore is a store whose calls are counted and timed. Close is not: nobody waits for it.
type timedStore struct {
	keystore.Store
	metrics *storeMetrics
}

// timed counts and times the calls of a store.
func timed(store keystore.Store, metrics *storeMetrics) keystore.Store {
	return &timedStore{store, metrics}
}

func (s *timedStore) Get(ctx context.Context, names ...string) (records [][]byte, err error) {
	began := time.Now()
	records, err = s.Store.Get(ctx, names...)
	s.metrics.done(ctx, operationGet, began, err)
	return records, err
}

func (s *timedStore) Members(ctx context.Context, index, after string, limit int) (members []string, err error) {
	began := time.Now()
	members, err = s.Store.Members(ctx, index, after, limit)
	s.metrics.done(ctx, operationMembers, began, err)
	return members, err
}

func (s *timedStore) Sizes(ctx context.Context, indexes ...string) (sizes []int64, err error) {
	began := time.Now()
	sizes, err = s.Store.Sizes(ctx, indexes...)
	s.metrics.done(ctx, operationSizes, began, err)
	return sizes, err
}

func (s *timedStore) Apply(ctx context.Context, change keystore.Change) error {
	began := time.Now()
	err := s.Store.Apply(ctx, change)
	s.metrics.done(ctx, operationApply, began, err)
	return err
}

func (s *timedStore) Log(ctx context.Context, after uint64, limit int) (entries []keystore.LogEntry, err error) {
	began := time.Now()
	entries, err = s.Store.Log(ctx, after, limit)
	s.metrics.done(ctx, operationLog, began, err)
	return entries, err
}

func (s *timedStore) Head(ctx context.Context) (keystore.Position, error) {
	began := time.Now()
	at, err := s.Store.Head(ctx)
	s.metrics.done(ctx, operationHead, began, err)
	return at, err
}

func (s *timedStore) Next(ctx context.Context, after keystore.Position, wait time.Duration) ([]keystore.LogEntry, keystore.Position, error) {
	began := time.Now()
	entries, at, err := s.Store.Next(ctx, after, wait)
	s.metrics.done(ctx, operationNext, began, err)
	return entries, at, err
}

func (s *timedStore) Time(ctx context.Context) (time.Time, error) {
	began := time.Now()
	now, err := s.Store.Time(ctx)
	s.metrics.done(ctx, operationTime, began, err)
	return now, err
}

// Interface guard
var _ keystore.Store = (*timedStore)(nil)
