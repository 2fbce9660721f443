package redisstore_test

import (
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// TestTimeIsOfTheMasterOfTheKeys: the nodes of a Cluster have clocks of their own, and all gateways
// have to go by the same one.
func TestTimeIsOfTheMasterOfTheKeys(t *testing.T) {
	t.Parallel()
	c := storetest.StartCluster(t)
	store := open(t, redisstore.Options{URL: c.URL(), Timeout: patient})
	for range 20 {
		storetest.OK(t, storetest.ErrOf(store.Time(t.Context())))
	}
	master := c.Master(headKey)
	for _, node := range c.Nodes() {
		stats, err := node.Client().Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		if asked := strings.Contains(stats, "cmdstat_time:"); asked != (node == master) {
			t.Errorf("%s was asked for the time: %t; it is the master of the keys: %t", node.Addr(), asked, node == master)
		}
	}
	// One that does not have the keys does not answer, but redirects.
	for _, node := range c.Nodes() {
		if node == master {
			continue
		}
		other := open(t, redisstore.Options{URL: "redis://" + node.Addr(), Timeout: patient})
		if _, err := other.Time(t.Context()); err == nil || !strings.Contains(err.Error(), "MOVED") {
			t.Errorf("%s gives its own time: %v", node.Addr(), err)
		}
	}
}
