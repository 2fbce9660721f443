package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/deploymentkeys/gateway/keystore"
)

// A usesKit is the notes of a node whose rounds the test makes, with a clock and a store of the test's own.
type usesKit struct {
	*keyUses
	mu      sync.Mutex
	second  int64
	fail    error
	calls   int
	written []keystore.KeyUse // each write of a key
}

func newUsesKit(t *testing.T) *usesKit {
	t.Helper()
	k := &usesKit{second: 1_000_000}
	made := newUseMetrics()
	k.keyUses = &keyUses{
		most: mostKeysInUse, metrics: &made,
		now: func() time.Time { return time.Unix(k.second, 0) },
		record: func(_ context.Context, uses []keystore.KeyUse) ([]keystore.KeyUse, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.calls++
			if k.fail != nil {
				return uses, k.fail
			}
			k.written = append(k.written, uses...)
			return nil, nil
		},
	}
	return k
}

// use notes a request now.
func (k *usesKit) use(id string) {
	k.note(&keystore.Key{ID: id}, RequestUse, k.second, "192.0.2.1")
}

// round is a round of writes, after a second.
func (k *usesKit) round(t *testing.T) {
	k.second++
	k.write(t.Context())
}

// latestOf is what is noted of a key.
func (u *keyUses) latestOf(id string) *keystore.KeyUse {
	if known, ok := u.known.Load(id); ok {
		return known.(*keyInUse).latest.Load()
	}
	return nil
}

func TestKeyInConstantUseIsWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	k := newUsesKit(t)
	var at []int64 // of writes
	for range 600 {
		for range 50 {
			k.use("one")
		}
		k.round(t)
		for len(at) < len(k.written) {
			if late := k.second - 1 - k.written[len(at)].RequestAt.Unix(); late != 0 {
				t.Errorf("a write has a use that is %d seconds old", late)
			}
			at = append(at, k.second)
		}
	}
	if len(at) != 10 {
		t.Fatalf("written %d times in 10 minutes", len(at))
	}
	for i := 1; i < len(at); i++ {
		if apart := at[i] - at[i-1]; apart != 60 {
			t.Errorf("two writes are %d seconds apart", apart)
		}
	}
}

func TestKeyThatWasNotUsedLatelyIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	k := newUsesKit(t)
	for i := range 3 {
		k.use("one")
		k.round(t)
		if len(k.written) != i+1 {
			t.Fatalf("use %d: %d writes", i, len(k.written))
		}
		for range 61 {
			k.round(t)
		}
		if n := k.count.Load(); n != 0 || k.latestOf("one") != nil {
			t.Fatalf("a key that is not used is still known: %d", n)
		}
	}
	// And once more within the minute: at its end.
	k.use("one")
	k.round(t)
	k.use("one")
	for range 58 {
		k.round(t)
	}
	if len(k.written) != 4 {
		t.Errorf("%d writes before the minute is over", len(k.written))
	}
	k.round(t)
	k.round(t)
	if len(k.written) != 5 {
		t.Errorf("%d writes after the minute", len(k.written))
	}
	if k.untilNext() > useRound {
		t.Error("rounds are rare")
	}
}

func TestUsesWaitForTheStore(t *testing.T) {
	t.Parallel()
	k := newUsesKit(t)
	k.fail = fmt.Errorf("%w: the test says so", keystore.ErrUnavailable)
	for range 120 {
		k.use("one")
		k.use("two")
		k.round(t)
	}
	if k.calls < 20 || k.calls > 30 {
		t.Errorf("the store was asked %d times in two minutes", k.calls)
	}
	if n := k.count.Load(); n != 2 {
		t.Errorf("%d keys are known", n)
	}
	k.fail = nil
	for range 6 {
		k.round(t)
	}
	if len(k.written) != 2 {
		t.Fatalf("written: %v", k.written)
	}
	for _, use := range k.written {
		if late := k.second - use.RequestAt.Unix(); late > 7 {
			t.Errorf("%s: the use written is %d seconds old", use.ID, late)
		}
	}
}

func TestPartOfABatchIsWrittenOnce(t *testing.T) {
	t.Parallel()
	k := newUsesKit(t)
	all, record := 2500, k.record
	k.keyUses.record = func(ctx context.Context, uses []keystore.KeyUse) ([]keystore.KeyUse, error) {
		if _, err := record(ctx, uses[:100]); err != nil {
			return uses, err
		}
		return uses[100:], fmt.Errorf("%w: after a hundred", keystore.ErrUnavailable)
	}
	for i := range all {
		k.use(fmt.Sprint(i))
	}
	for len(k.written) < all {
		before := len(k.written)
		for range 6 {
			k.round(t)
		}
		if len(k.written) == before {
			t.Fatalf("it stands still at %d", before)
		}
		if len(k.written) > 2400 {
			k.keyUses.record = record
		}
	}
	seen := make(map[string]bool)
	for _, use := range k.written[:all] {
		if seen[use.ID] {
			t.Errorf("%s was written twice", use.ID)
		}
		seen[use.ID] = true
	}
}

func TestKeysInUseAreBounded(t *testing.T) {
	t.Parallel()
	k := newUsesKit(t)
	k.most = 3
	for i := range 5 {
		k.use(fmt.Sprint(i))
	}
	k.round(t)
	if len(k.written) != 3 || counterValue(t, k.metrics.dropped) != 2 {
		t.Errorf("%d keys written, %v dropped", len(k.written), counterValue(t, k.metrics.dropped))
	}
	for range 61 {
		k.round(t)
	}
	k.use("later")
	k.round(t)
	if len(k.written) != 4 {
		t.Error("there is no room after a minute")
	}
}

// Whatever comes together, the last use of each key is written in the end: also one that is noted while
// its key is about to be forgotten.
func TestNoUseIsLostBetweenRounds(t *testing.T) {
	t.Parallel()
	k := newUsesKit(t)
	var clock sync.Mutex // the clock of this test goes on while keys are used
	k.keyUses.now = func() time.Time { clock.Lock(); defer clock.Unlock(); return time.Unix(k.second, 0) }
	const callers, uses = 4, 3_000
	var done sync.WaitGroup
	for caller := range callers {
		done.Go(func() {
			for i := range uses {
				k.note(&keystore.Key{ID: fmt.Sprint(i % 3)}, RequestUse, int64(1+callers*i+caller), "192.0.2.1")
			}
		})
	}
	over := make(chan struct{})
	go func() { done.Wait(); close(over) }()
	for going := true; going; {
		select {
		case <-over:
			going = false
		default:
		}
		clock.Lock()
		k.second += 20
		clock.Unlock()
		k.write(t.Context())
	}
	k.farewell()
	latest := make(map[string]int64)
	for _, use := range k.written {
		latest[use.ID] = max(latest[use.ID], use.RequestAt.Unix())
	}
	for i := uses - 3; i < uses; i++ {
		if want := int64(callers*i + callers); latest[fmt.Sprint(i%3)] != want {
			t.Errorf("key %d: %d was written last, want %d", i%3, latest[fmt.Sprint(i%3)], want)
		}
	}
}

func TestNodeWritesLastUsesBeforeItEnds(t *testing.T) {
	t.Parallel()
	k := newUsesKit(t)
	ctx, stop := context.WithCancel(t.Context())
	k.stop, k.ended = stop, make(chan struct{})
	k.use("written")
	k.round(t)
	k.use("written")
	k.use("new")
	go func() {
		defer close(k.ended)
		k.run(ctx)
	}()
	k.close()
	k.close()
	if len(k.written) != 3 {
		t.Errorf("written: %v", k.written)
	}
}

func TestNodeDoesNotWaitLongForTheLastWrite(t *testing.T) {
	t.Parallel()
	k := newUsesKit(t)
	k.keyUses.record = func(ctx context.Context, uses []keystore.KeyUse) ([]keystore.KeyUse, error) {
		<-ctx.Done()
		return uses, errors.Join(keystore.ErrUnavailable, ctx.Err())
	}
	k.use("one")
	began := time.Now()
	k.farewell()
	if took := time.Since(began); took > 2*useFarewell || counterValue(t, k.metrics.dropped) != 1 {
		t.Errorf("the end took %s, %v dropped", took, counterValue(t, k.metrics.dropped))
	}
}

func TestNoteCostsNoAllocation(t *testing.T) {
	k := newUsesKit(t)
	key := &keystore.Key{ID: "one"}
	k.note(key, RequestUse, k.second, "192.0.2.1")
	if allocations := testing.AllocsPerRun(1000, func() {
		if !k.noted(key, RequestUse, k.second) {
			t.Error("it is not noted")
		}
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestAddressOfAUse(t *testing.T) {
	t.Parallel()
	for client, want := range map[string]netip.Addr{
		"192.0.2.1":            netip.MustParseAddr("192.0.2.1"),
		"::ffff:192.0.2.1":     netip.MustParseAddr("192.0.2.1"),
		"2001:db8::1":          netip.MustParseAddr("2001:db8::1"),
		"fe80::1%a-zone-of-it": netip.MustParseAddr("fe80::1"),
		"":                     {},
		"@":                    {},
		"example.com":          {},
	} {
		if got := addressOf(client); got != want {
			t.Errorf("%q: %v, want %v", client, got, want)
		}
	}
}

func counterValue(t *testing.T, counter prometheus.Counter) float64 {
	t.Helper()
	var metric dto.Metric
	if err := counter.Write(&metric); err != nil {
		t.Fatal(err)
	}
	return metric.GetCounter().GetValue()
}
