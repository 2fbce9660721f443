package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func TestKeystore(t *testing.T) {
	t.Parallel()
	storetest.RunKeystore(t, func(t testing.TB) keystore.Store {
		return open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{Timeout: patient})
	})
}
