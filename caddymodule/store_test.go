package caddymodule

import (
	"strings"
	"testing"
)

var (
	secretA = strings.Repeat("a", 32)
	secretB = strings.Repeat("b", 32)
)

func TestChangeSecretArguments(t *testing.T) {
	t.Parallel()
	const good = `{"apps":{"deployment_keys":{"redis":"redis://127.0.0.1:1","secret":"{env.DK_NONE}"}}}`
	for name, test := range map[string]struct{ config, secret, says string }{
		"short":                             {good, " " + strings.Repeat("x", 32-1) + "\n", "has 31 characters"},
		"empty":                             {good, "", "has 0 characters"},
		"no JSON":                           {"{", secretB, "the configuration"},
		"no apps":                           {`{}`, secretB, "is it the gateway's?"},
		"other apps":                        {`{"apps":{"http":{"servers":{"s":{"routes":[{"handle":[{"handler":"static_response"}]}]}}}}}`, secretB, "is it the gateway's?"},
		"unknown option":                    {`{"apps":{"deployment_keys":{"redsi":"x"}}}`, secretB, `unknown field "redsi"`},
		"secret not set":                    {good, secretB, "secret"},
		"secret in clear":                   {`{"apps":{"deployment_keys":{"secret":"` + secretA + `"}}}`, secretB, "stands in the configuration"},
		"a placeholder that can be guessed": {`{"apps":{"deployment_keys":{"secret":"{time.now}"}}}`, secretB, "{env.NAME}"},
		"another placeholder that can be guessed": {`{"apps":{"deployment_keys":{"secret":"{system.hostname}{system.hostname}{system.hostname}"}}}`, secretB, "{env.NAME}"},
		"a file and a text":                       {`{"apps":{"deployment_keys":{"secret":"{file./etc/hostname}0123456789012345678901234567890123"}}}`, secretB, "{env.NAME}"},
		"redis alone":                             {`{"apps":{"deployment_keys":{"redis":"redis://127.0.0.1:1"}}}`, secretB, "redis needs a master secret"},
		"no URL of Redis":                         {`{"apps":{"deployment_keys":{"redis":"http://127.0.0.1"}}}`, secretB, "redis"},
	} {
		next, err := ChangeSecret(t.Context(), []byte(test.config), []byte(test.secret))
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), secretA) || strings.Contains(err.Error(), secretB) {
			t.Errorf("%s: %q, %v, want an error with %q", name, next, err, test.says)
		}
	}
}
