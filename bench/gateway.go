package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

//go:embed Caddyfile
var caddyfile string

// A gateway is a process with the sites of the Caddyfile, each at an address of its own, and an embedded store.
type gateway struct {
	binary, dir string
	addresses   map[string]string // of the sites, and of the upstream
	keys        []key

	pid  int
	stop func() // ends the process, and returns when it has ended
}

// A key is what the admin API answers for a new key.
type key struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// The Deployment of all tokens, and how many keys they are of.
const (
	deployment = "etl"
	keyCount   = 100
)

// setUp starts the gateway and creates the Deployment and its keys.
func (g *gateway) setUp(ctx context.Context, upstream string) error {
	g.stop, g.addresses, g.keys = func() {}, map[string]string{"upstream": upstream}, make([]key, keyCount)
	// Ports below those that the system gives to clients: one of these could be taken while a gateway starts again.
	next := 20_000 + rand.IntN(11_000)
	for _, site := range []string{"admin", "proxy", "auth", "headers", "forward", "token", "respond"} {
		for g.addresses[site] == "" {
			next++
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", next)); err == nil {
				g.addresses[site] = l.Addr().String()
				l.Close()
			}
		}
	}
	if err := g.start(ctx); err != nil {
		return err
	}
	if err := g.call(ctx, "admin", "/deployments", map[string]string{"id": deployment, "name": deployment}, new(any)); err != nil {
		return err
	}
	for i := range g.keys {
		if err := g.call(ctx, "admin", "/deployments/"+deployment+"/keys", map[string]string{"name": "CI"}, &g.keys[i]); err != nil {
			return err
		}
	}
	return nil
}

// start starts the process, and returns when the gateway is ready.
func (g *gateway) start(ctx context.Context) error {
	var log bytes.Buffer
	alive, end := context.WithCancel(ctx)
	cmd := exec.CommandContext(alive, "taskset", "--cpu-list", gatewayCore, g.binary, "run", "--config", "-", "--adapter", "caddyfile")
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, 10*time.Second
	cmd.Stdin, cmd.Stderr = strings.NewReader(caddyfile), &log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir}
	for site, address := range g.addresses {
		cmd.Env = append(cmd.Env, site+"="+strings.TrimPrefix(address, "127.0.0.1:"))
	}
	if err := cmd.Start(); err != nil {
		end()
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the log says why
		close(exited)
	}()
	g.pid, g.stop = cmd.Process.Pid, func() { end(); <-exited }
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for g.call(ctx, "admin", "/deployments/-/ready", nil, new(any)) != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-exited:
			return fmt.Errorf("%s ended: %s", g.binary, log.String())
		}
	}
	return nil
}

// client is for what is not measured.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}

// call sends JSON to a site, POST with a body and GET without, and reads JSON.
func (g *gateway) call(ctx context.Context, site, path string, body, into any) error {
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+g.addresses[site]+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if text, err = io.ReadAll(answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	return json.Unmarshal(text, into)
}

// tokens gets access tokens, of the keys in turn.
func (g *gateway) tokens(ctx context.Context, count int) ([]string, error) {
	tokens := make([]string, count)
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(connections)
	for i := range tokens {
		all.Go(func() error {
			k := g.keys[i%keyCount]
			var answer struct {
				AccessToken string `json:"access_token"`
			}
			err := g.call(ctx, "token", "/oauth/token", map[string]string{"grant_type": "client_credentials", "client_id": k.ID, "client_secret": k.Secret}, &answer)
			tokens[i] = answer.AccessToken
			return err
		})
	}
	return tokens, all.Wait()
}
