package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// binaries are the servers that are compiled here: as users have them, without the race detector.
type binaries struct {
	stock     string // Caddy's standard modules alone, without a profile
	gateway   string // with the profile of cmd/caddy, if there is one
	noProfile string // the gateway without it
	fosite    string
}

const profile = "cmd/caddy/default.pgo"

// build compiles the binaries, below bin/bench. A first time takes some minutes.
func build(ctx context.Context) (binaries, error) {
	dir, err := filepath.Abs("bin/bench")
	if err != nil {
		return binaries{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return binaries{}, err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	all := binaries{in("stock"), in("gateway"), in("gateway-no-profile"), in("fosite")}
	for _, one := range []struct{ out, module, from, profile string }{
		{all.stock, ".", "./bench/stock", "off"},
		{all.gateway, ".", "./cmd/caddy", "auto"},
		{all.noProfile, ".", "./cmd/caddy", "off"},
		{all.fosite, "bench/fosite", ".", "off"},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-C", one.module, "-race=false", "-trimpath", "-pgo="+one.profile, "-o", one.out, one.from)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := cmd.Run(); err != nil {
			return binaries{}, fmt.Errorf("go build %s: %w", one.from, err)
		}
	}
	return all, nil
}

// hasProfile says whether the gateway is built with a profile.
func hasProfile() bool {
	_, err := os.Stat(profile)
	return err == nil
}
