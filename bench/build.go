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
	stock    string // Caddy's standard modules alone, without a profile
	gateway  string
	profiled string // the gateway, compiled with its profile
	fosite   string
}

// profile is the one that make pgo writes. Its name is not default.pgo, with which the go command would take it by itself: whether it
// pays is for users to try.
const profile = "cmd/caddy/gateway.pgo"

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
	all := binaries{in("stock"), in("gateway"), in("gateway-profiled"), in("fosite")}
	for _, one := range []struct{ out, module, from, profile string }{
		{all.stock, ".", "./bench/stock", "off"},
		{all.gateway, ".", "./cmd/caddy", "off"},
		{all.profiled, ".", "./cmd/caddy", profile},
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
