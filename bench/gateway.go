package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A caddy is a Caddy with one site for each thing that is measured of it, each at a port of its own.
type caddy struct {
	*process
	admin string // addresses
	sites map[string]string
	text  string // its Caddyfile
}

// startCaddy starts a Caddy with global options and sites, each by its name: the directives of a Caddyfile.
func (b *bench) startCaddy(ctx context.Context, name, binary string, environment []string, global string, sites map[string]string) (*caddy, error) {
	ports, err := freePorts(1 + len(sites))
	if err != nil {
		return nil, err
	}
	c := &caddy{admin: loopback(ports[0]), sites: make(map[string]string)}
	text := fmt.Sprintf("{\n\tadmin %s\n%s\n}\n", c.admin, global)
	for site, directives := range sites {
		port := ports[1+len(c.sites)]
		c.sites[site] = loopback(port)
		text += fmt.Sprintf("\nhttp://:%d {\n\tbind 127.0.0.1\n%s\n}\n", port, directives)
	}
	c.text = text
	file := filepath.Join(b.dir, name+".caddyfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	c.process, err = b.processes.start(name, serverCore, environment, binary, "run", "--config", file, "--adapter", "caddyfile")
	if err != nil {
		return nil, err
	}
	return c, c.waitFor(ctx, "it serves its configuration", func() bool { return c.serves(ctx) })
}

// reload has it load its configuration anew. A gateway has then forgotten every token.
func (c *caddy) reload(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.admin+"/load", strings.NewReader(c.text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "text/caddyfile")
	r.Header.Set("Cache-Control", "must-revalidate") // although it is the same
	return exchange(r, nil)
}

// serves says whether the configuration is loaded. Caddy's admin endpoint answers before that, with null.
func (c *caddy) serves(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+"/config/", nil)
	if err != nil {
		return false
	}
	var configuration map[string]any
	return exchange(r, &configuration) == nil && configuration != nil
}

// The sites of a gateway: the bearer check in front of an upstream, the same proxy without it, and the token endpoint.
const (
	siteAuth  = "auth"
	siteOpen  = "open"
	siteToken = "token"
)

// startGateway starts a gateway with these options of deployment_keys. Without redis it has a file of its own.
func (b *bench) startGateway(ctx context.Context, name, binary string, redis string, options ...string) (*caddy, error) {
	var environment []string
	if redis != "" {
		options = append(options, "redis "+redis, "secret {env.DEPLOYMENT_KEYS_SECRET}")
		environment = append(environment, "DEPLOYMENT_KEYS_SECRET="+b.master)
	}
	global := "\tdeployment_keys {\n\t\tissuer https://auth.example.com\n\t\t" + strings.Join(options, "\n\t\t") + "\n\t}"
	proxy := "\treverse_proxy " + b.upstream
	c, err := b.startCaddy(ctx, name, binary, environment, global, map[string]string{
		siteAuth:  "\tdeployment_auth {path.0} {\n\t\tscope airflow:read GET HEAD\n\t\tscope airflow:write POST PUT PATCH DELETE\n\t}\n" + proxy,
		siteOpen:  proxy,
		siteToken: "\tdeployment_token",
	})
	if err == nil {
		b.gateways[c.process] = true
	}
	return c, err
}

// client is for what is not measured.
var client = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true},
}

// A key is what the admin API answers for a key that was made.
type key struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// manage calls the admin API.
func (c *caddy) manage(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.admin+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	return exchange(r, into)
}

// exchange sends a request, and reads the JSON of an answer that says that it was good. While a busy machine keeps a gateway
// from its store, that answers 503, and is asked again.
func exchange(r *http.Request, into any) error {
	answer, err := client.Do(r)
	for try := 0; try < 10 && err == nil && answer.StatusCode == http.StatusServiceUnavailable && r.Method == http.MethodPost; try++ {
		answer.Body.Close()
		if r.Body, err = r.GetBody(); err == nil {
			answer, err = client.Do(r)
		}
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", r.Method, r.URL, answer.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

func (c *caddy) newDeployment(ctx context.Context, id string) error {
	return c.manage(ctx, http.MethodPost, "/deployments", map[string]string{"id": id, "name": id}, nil)
}

// newKey makes a key of a Deployment, with all scopes unless some are named.
func (c *caddy) newKey(ctx context.Context, deployment string, scopes ...string) (k key, err error) {
	body := map[string]any{"name": "CI"}
	if len(scopes) > 0 {
		body["scopes"] = scopes
	}
	err = c.manage(ctx, http.MethodPost, "/deployments/"+deployment+"/keys", body, &k)
	return k, err
}

// newKeys makes a number of keys of a Deployment.
func (c *caddy) newKeys(ctx context.Context, deployment string, count int) ([]key, error) {
	keys := make([]key, count)
	err := inParallel(count, func(i int) (err error) {
		keys[i], err = c.newKey(ctx, deployment)
		return err
	})
	return keys, err
}

// tokens gets access tokens, of the keys in turn.
func (c *caddy) tokens(ctx context.Context, keys []key, count int) ([]string, error) {
	tokens := make([]string, count)
	err := inParallel(count, func(i int) error {
		k := keys[i%len(keys)]
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret}}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.sites[siteToken]+"/oauth/token", strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		var answer struct {
			AccessToken string `json:"access_token"`
		}
		err = exchange(r, &answer)
		tokens[i] = answer.AccessToken
		return err
	})
	return tokens, err
}

// inParallel does something so many times, some at a time, until one fails.
func inParallel(count int, do func(i int) error) error {
	var workers sync.WaitGroup
	var next atomic.Int64
	var first error
	var once sync.Once
	for range min(connections, count) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				if err := do(int(i)); err != nil {
					once.Do(func() { first = err })
					next.Store(int64(count))
				}
			}
		})
	}
	workers.Wait()
	return first
}

// randomSecret is a master secret.
func randomSecret() string {
	secret := make([]byte, 32)
	rand.Read(secret)
	return base64.StdEncoding.EncodeToString(secret)
}
