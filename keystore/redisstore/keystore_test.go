package redisstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func TestKeystore(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	var opened atomic.Int64
	storetest.RunKeystore(t, func(t testing.TB) keystore.Store {
		return open(t, redisstore.Options{
			URL:     server.URL(),
			Prefix:  fmt.Sprintf("keystore-%d", opened.Add(1)),
			Timeout: patient,
		})
	})
}
