//go:build linux

package timing

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

// fullSize reports whether the tests are to judge times.
func fullSize() bool { return os.Getenv("DEPLOYMENT_KEYS_ATTACK") != "" }

// A site is a gateway with a token endpoint at one port.
type site struct {
	*gatewaytest.Gateway
	port int
}

// eachStore runs a test once for each kind of store, one after the other: two that measure at once would measure each
// other.
func eachStore(t *testing.T, test func(t *testing.T, s *site)) {
	t.Run("embedded", func(t *testing.T) { test(t, startSite(t, "")) })
	t.Run("redis", func(t *testing.T) {
		var random [32]byte
		rand.Read(random[:])
		test(t, startSite(t, "redis {env.REDIS_URL}\n\t\tsecret {env.DK_SECRET}", gatewaytest.WithEnv(
			"REDIS_URL="+storetest.StartRedis(t).URL(),
			"DK_SECRET="+base64.StdEncoding.EncodeToString(random[:]),
		)))
	})
}

// startSite starts a gateway with these lines in its block deployment_keys.
func startSite(t *testing.T, lines string, options ...gatewaytest.Option) *site {
	t.Helper()
	if fullSize() {
		options = append(options, gatewaytest.WithoutRaceDetector())
	}
	port := gatewaytest.FreePort(t)
	return &site{gatewaytest.Start(t, fmt.Sprintf(`{
	deployment_keys {
		issuer https://auth.example.com
		%s
	}
}

http://:%d {
	deployment_token
}
`, lines, port), options...), port}
}
