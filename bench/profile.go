package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profileTime is how long the gateway is looked at with each kind of requests.
const profileTime = 20 * time.Second

// profile writes what the compiler is to know of the gateway: where it spends its time with the requests of the bench, the
// common ones more than others. It is made of a gateway without a profile, so that a profile does not feed on itself.
func (b *bench) profile(ctx context.Context, file string) error {
	if err := b.startUpstream(ctx); err != nil {
		return err
	}
	_, redis, err := b.startRedis(ctx, "redis")
	if err != nil {
		return err
	}
	b.redis = "redis://" + redis
	gateway, err := b.startGateway(ctx, "gateway", b.binaries.gateway, b.redis)
	if err != nil {
		return err
	}
	tokens, keys, err := b.fill(ctx, gateway, fewTokens)
	if err != nil {
		return err
	}
	var parts []string
	for i, load := range []struct {
		site     string
		requests []string
		lasting  time.Duration
	}{
		{siteAuth, reads(deployment, tokens), 2 * profileTime},
		{siteToken, asks(keys), profileTime},
	} {
		v := &variant{name: load.site, server: gateway.process, address: gateway.sites[load.site], status: http.StatusOK}
		if v.requests, err = b.requestFile(load.site, load.requests); err != nil {
			return err
		}
		part := b.path(fmt.Sprintf("profile-%d", i))
		if err := b.profileUnder(ctx, gateway, v, load.lasting, part); err != nil {
			return err
		}
		parts = append(parts, part)
	}
	merged, err := b.run(ctx, "go", append([]string{"tool", "pprof", "-proto", "-output", file}, parts...)...)
	if err != nil {
		return err
	}
	fmt.Println(merged)
	return nil
}

// profileUnder saves a CPU profile of a Caddy, taken while it answers a variant's requests.
func (b *bench) profileUnder(ctx context.Context, c *caddy, v *variant, lasting time.Duration, file string) error {
	ended := make(chan error, 1)
	go func() {
		report, err := b.load(ctx, v, lasting+2*time.Second)
		if err == nil {
			err = report.check(v.status)
		}
		ended <- err
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", c.admin, int(lasting.Seconds())), nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Timeout: lasting + 30*time.Second}).Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", answer.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, answer.Body); err != nil {
		return err
	}
	return <-ended
}
