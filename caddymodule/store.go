package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/deploymentkeys/gateway/caddymodule/node"
	"github.com/deploymentkeys/gateway/internal/caddyconf"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
)

// This file finds in a configuration where the store is.

// findStore resolves the placeholders of redis and secret. It opens nothing.
func (a *App) findStore() (node.Place, error) {
	place := node.Place{Directory: node.DefaultDirectory()}
	repl := caddy.NewReplacer()
	if a.Redis != "" {
		address, err := repl.ReplaceOrErr(a.Redis, true, true)
		if err != nil {
			return place, fmt.Errorf("redis: %w", err)
		}
		if err := redisstore.CheckURL(address); err != nil {
			return place, err
		}
		place.Redis, place.Replicas = address, a.Replicas
	}
	if a.Secret == "" {
		if a.Redis != "" {
			return place, errors.New("redis needs a master secret that all nodes share: " + node.HowToMakeSecret +
				" > /run/secrets/deployment_keys, and configure: secret {file./run/secrets/deployment_keys}")
		}
		return place, nil
	}
	// Other placeholders, such as {time.now} or {system.hostname}, hold what others can guess.
	if !caddyconf.IsSecret(a.Secret) {
		return place, errors.New("secret stands in the configuration, where /config/ and the autosave would show it, or is a placeholder of another kind: " +
			"put it into a file or a variable and configure {file./path/to/it} or {env.NAME}")
	}
	master, err := repl.ReplaceOrErr(a.Secret, true, true)
	if err != nil {
		return place, fmt.Errorf("secret: %w", err)
	}
	place.Master = []byte(strings.TrimSpace(master))
	return place, node.CheckSecret("secret: "+a.Secret, place.Master)
}

// ChangeSecret gives the store of a configuration another master secret. The configuration is Caddy's
// JSON; redis and secret are found in it as a gateway finds them, and secret has to be the present
// one. See [node.ChangeSecret].
func ChangeSecret(ctx context.Context, config, newSecret []byte) (next string, err error) {
	if err := node.CheckSecret("the new secret", bytes.TrimSpace(newSecret)); err != nil {
		return "", err
	}
	app, err := configuredApp(config)
	if err != nil {
		return "", err
	}
	place, err := app.findStore()
	if err != nil {
		return "", err
	}
	return node.ChangeSecret(ctx, place, app.Secret, newSecret)
}

// configuredApp is the app of a configuration in Caddy's JSON, not provisioned. A configuration with
// handlers and no app has one with the defaults.
func configuredApp(config []byte) (*App, error) {
	var parts struct {
		Apps map[string]json.RawMessage `json:"apps"`
	}
	if err := json.Unmarshal(config, &parts); err != nil {
		return nil, fmt.Errorf("the configuration: %w", err)
	}
	app := new(App)
	if raw, ok := parts.Apps[appName]; ok {
		if err := caddy.StrictUnmarshalJSON(raw, app); err != nil {
			return nil, fmt.Errorf("the configuration: app %s: %w", appName, err)
		}
		return app, nil
	}
	for _, raw := range parts.Apps {
		var value any
		if err := json.Unmarshal(raw, &value); err == nil && hasHandler(value) {
			return app, nil
		}
	}
	return nil, fmt.Errorf("the configuration has no %s: is it the gateway's?", appName)
}

// hasHandler reports whether a handler of the gateway, whose names all begin with deployment_, is anywhere in a piece of
// configuration.
func hasHandler(value any) bool {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			if hasHandler(element) {
				return true
			}
		}
	case map[string]any:
		if name, _ := value["handler"].(string); strings.HasPrefix(name, "deployment_") {
			return true
		}
		for _, member := range value {
			if hasHandler(member) {
				return true
			}
		}
	}
	return false
}
