package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/deploymentkeys/gateway/keystore"
)

// newLogEncoder is the encoder as a Caddyfile has it.
func newLogEncoder(t *testing.T, format string) *LogEncoder {
	t.Helper()
	e := new(LogEncoder)
	if err := e.UnmarshalCaddyfile(caddyfile.NewTestDispenser(format)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	if err := e.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestLogHasNoCredentials(t *testing.T) {
	t.Parallel()
	secret := keystore.NewSecret().Reveal()
	jwt := "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0x.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
	for _, format := range []string{"deployment_keys", "deployment_keys {\n wrap json\n}", "deployment_keys {\n wrap console\n}"} {
		var written strings.Builder
		logger := zap.New(zapcore.NewCore(newLogEncoder(t, format), zapcore.AddSync(&written), zap.DebugLevel))
		r := httptest.NewRequest("GET", "/"+secret+"/api?token="+jwt, nil)
		r.Header.Set("X-Api-Key", secret)
		logger.With(zap.String("before", secret)).Named("x").Info("a message with "+jwt,
			zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r}), zap.Error(errors.New(secret)), zap.Any("any", map[string]string{secret: jwt}),
			// As long as what is put into its place.
			zap.String("short", "dks_abcdefghij"), zap.String("kept", "06h00b4li1ssr29iei493tap"))
		got := written.String()
		for _, part := range []string{secret[4:], jwt[20:], jwt[:30], "abcdefghij"} {
			if strings.Contains(got, part) {
				t.Errorf("%s: %q is in %s", format, part, got)
			}
		}
		for _, part := range []string{"/dks_[redacted]/api?token=eyJ[redacted]", "06h00b4li1ssr29iei493tap", "X-Api-Key", "a message with eyJ[redacted]"} {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q is not in %s", format, part, got)
			}
		}
		if strings.Contains(format, "json") && !json.Valid([]byte(got)) {
			t.Errorf("%s: it is no JSON: %s", format, got)
		}
	}
}

func TestLogFormatThatIsNone(t *testing.T) {
	t.Parallel()
	for format, part := range map[string]string{
		"deployment_keys json":                                "argument",
		"deployment_keys {\n unwrap json\n}":                  "unknown option",
		"deployment_keys {\n wrap\n}":                         "argument",
		"deployment_keys {\n wrap json\n wrap console\n}":     "more than once",
		"deployment_keys {\n wrap no_such_format_anywhere\n}": "no_such_format_anywhere",
	} {
		err := new(LogEncoder).UnmarshalCaddyfile(caddyfile.NewTestDispenser(format))
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want %q", format, err, part)
		}
	}
}
