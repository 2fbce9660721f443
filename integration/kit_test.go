package integration

import (
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// The tests of this package use the kit by short names.
type (
	gateway       = gatewaytest.Gateway
	gatewayOption = gatewaytest.Option
	requestOption = gatewaytest.RequestOption
	reply         = gatewaytest.Reply
	key           = gatewaytest.Key
)

const patience = gatewaytest.Patience

func TestMain(m *testing.M) { gatewaytest.Main(m) }

func startGateway(t *testing.T, caddyfile string, options ...gatewayOption) *gateway {
	t.Helper()
	return gatewaytest.Start(t, caddyfile, options...)
}

func newGateway(t *testing.T, caddyfile string, options ...gatewayOption) *gateway {
	t.Helper()
	return gatewaytest.New(t, caddyfile, options...)
}

func withEnv(variables ...string) gatewayOption { return gatewaytest.WithEnv(variables...) }
func withFolder(dir string) gatewayOption       { return gatewaytest.WithFolder(dir) }

func caddyBinary(t *testing.T) string {
	t.Helper()
	return gatewaytest.CaddyBinary(t)
}

func freePort(t *testing.T) int {
	t.Helper()
	return gatewaytest.FreePort(t)
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	gatewaytest.Eventually(t, what, condition)
}

func header(name, value string) requestOption   { return gatewaytest.Header(name, value) }
func bearer(token string) requestOption         { return gatewaytest.Bearer(token) }
func basic(user, password string) requestOption { return gatewaytest.Basic(user, password) }

func call(t *testing.T, method, target string, body any, options ...requestOption) reply {
	t.Helper()
	return gatewaytest.Call(t, method, target, body, options...)
}

func try(t *testing.T, method, target string, body any, options ...requestOption) (reply, error) {
	return gatewaytest.Try(t, method, target, body, options...)
}
