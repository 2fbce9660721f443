package cli_test

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	_ "github.com/deploymentkeys/gateway" // all its modules
	"github.com/deploymentkeys/gateway/caddymodule"
)

// A configuration need not have the app: each handler has one with the defaults, and so has its store.
func TestSecretIsChangedWhateverHandlerIsConfigured(t *testing.T) {
	directory := t.TempDir()
	t.Setenv("XDG_DATA_HOME", directory)
	handlers := 0
	for _, module := range caddy.GetModules("http.handlers") {
		of := reflect.TypeOf(module.New())
		if !strings.HasPrefix(of.Elem().PkgPath(), "github.com/deploymentkeys/gateway") {
			continue
		}
		handlers++
		for place, config := range map[string]string{
			"alone":         `[{"handler":%q}]`,
			"in a subroute": `[{"handler":"subroute","routes":[{"handle":[{"handler":"headers"},{"handler":%q}]}]}]`,
		} {
			config = `{"apps":{"http":{"servers":{"s":{"routes":[{"handle":` + fmt.Sprintf(config, module.ID.Name()) + `}]}}}}}`
			_, err := caddymodule.ChangeSecret(t.Context(), []byte(config), []byte(strings.Repeat("n", 32)))
			if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), directory) { // there is no store yet
				t.Errorf("%s, %s: %v, want that the store in %s is looked for", module.ID, place, err, directory)
			}
		}
	}
	if handlers < 6 {
		t.Errorf("the gateway has %d handlers", handlers)
	}
}
