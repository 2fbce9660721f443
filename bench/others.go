package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/go-jose/go-jose/v4"
)

// What is measured beside the gateway, and what stands behind all.

// haproxy starts a HAProxy of one thread that does these things with each request at one address, which it returns.
func (b *bench) haproxy(ctx context.Context, name string, core int, directives string) (*process, string, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, "", err
	}
	address := loopback(ports[0])
	file := filepath.Join(b.dir, name+".cfg")
	text := fmt.Sprintf(`global
	nbthread 1
	maxconn 4096
defaults
	mode http
	timeout connect 10s
	timeout client 60s
	timeout server 60s
	http-reuse always
frontend all
	bind %s
%s
`, address, directives)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, "", err
	}
	p, err := b.processes.start(name, core, nil, "haproxy", "-db", "-f", file)
	if err != nil {
		return nil, "", err
	}
	return p, address, p.answers(ctx, address)
}

// startUpstream starts what stands behind every proxy, on the core of the load: a HAProxy that answers a few bytes to
// everything, which takes a tenth of the time of the fastest that is measured in front of it.
func (b *bench) startUpstream(ctx context.Context) (err error) {
	_, b.upstream, err = b.haproxy(ctx, "upstream", loadCore, `	http-request return status 200 content-type "text/plain" string "ok"`)
	return err
}

// startRedis starts a Redis that keeps nothing on the disk, on the core of the load, and returns its address.
func (b *bench) startRedis(ctx context.Context, name string) (*process, string, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, "", err
	}
	p, err := b.processes.start(name, loadCore, nil, "redis-server", "--port", fmt.Sprint(ports[0]), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no")
	if err != nil {
		return nil, "", err
	}
	return p, loopback(ports[0]), p.waitFor(ctx, "it accepts connections", func() bool { return connects(loopback(ports[0])) })
}

// startProxy starts a HAProxy in front of the upstream, and with a key in front of a gateway's tokens: each is verified.
func (b *bench) startProxy(ctx context.Context, name, keyFile string) (*process, string, error) {
	check := ""
	if keyFile != "" {
		check = fmt.Sprintf(`	http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
	http-request deny deny_status 401 unless { var(txn.alg) -m str ES256 RS256 }
	http-request deny deny_status 401 unless { http_auth_bearer,jwt_verify(txn.alg,"%s") -m int 1 }
`, keyFile)
	}
	return b.haproxy(ctx, name, serverCore, check+fmt.Sprintf("\tdefault_backend upstream\nbackend upstream\n\tserver upstream %s", b.upstream))
}

// publicKey writes the key that a gateway's tokens are signed with into a file, as PEM.
func (b *bench) publicKey(ctx context.Context, c *caddy) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.sites[siteToken]+"/.well-known/jwks.json", nil)
	if err != nil {
		return "", err
	}
	var text json.RawMessage
	if err := exchange(r, &text); err != nil {
		return "", err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		return "", err
	}
	if len(set.Keys) != 1 {
		return "", fmt.Errorf("%s publishes %d keys, want 1", c.name, len(set.Keys))
	}
	der, err := x509.MarshalPKIXPublicKey(set.Keys[0].Key)
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.dir, c.name+".pem")
	return file, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
}

// startFosite starts the token server that is made of fosite, with one client.
func (b *bench) startFosite(ctx context.Context, binary string, client key) (*process, string, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, "", err
	}
	address := loopback(ports[0])
	p, err := b.processes.start("fosite", serverCore, nil, binary, "-listen", address, "-client-id", client.ID, "-client-secret", client.Secret)
	if err != nil {
		return nil, "", err
	}
	return p, address, p.answers(ctx, address)
}
