package redisstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// TestContractElsewhere holds the store to its contract by way of Sentinels and on a Cluster,
// where each store has another hash tag, and so another master.
func TestContractElsewhere(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) string{
		"Sentinel": func(t testing.TB) string { return storetest.StartSentinel(t, 1).URL() + "/0" },
		"Cluster":  func(t testing.TB) string { return storetest.StartCluster(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := start(t)
			var opened atomic.Int64
			storetest.Run(t, func(t testing.TB) keystore.Store {
				return open(t, redisstore.Options{
					URL:     url,
					Prefix:  fmt.Sprintf("contract-%d", opened.Add(1)),
					Timeout: patient,
				})
			})
		})
	}
}
