package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// setUpRefused adds requests that are refused, one variant for each reason. They go to the gateway on Redis. What they may
// cost at most is a request that is accepted: one with a remembered token, or, where a signature has to be checked before it can
// be known that the token is bad, one with a token that is new.
func (b *bench) setUpRefused(ctx context.Context) error {
	good := b.tokens[:fewTokens]
	expired, err := b.expired(ctx)
	if err != nil {
		return err
	}
	narrow, err := b.onRedis.newKey(ctx, deployment, "deploy")
	if err != nil {
		return err
	}
	withoutScope, err := b.onRedis.tokens(ctx, []key{narrow}, fewTokens)
	if err != nil {
		return err
	}
	deleted, ofDeleted, err := b.deleted(ctx)
	if err != nil {
		return err
	}
	revoked, err := b.revoked(ctx)
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		name     string
		base     string // what is accepted with as much to prove
		status   int
		requests []string
	}{
		{"no credentials", onRedis, http.StatusUnauthorized, []string{read(deployment, "")}},
		{"no token at all", onRedis, http.StatusUnauthorized, []string{read(deployment, "rubbish")}},
		{"a bad signature", newVariant("ES256"), http.StatusUnauthorized, reads(deployment, forged(good))},
		{"an expired token", newVariant("ES256"), http.StatusUnauthorized, reads(deployment, expired)},
		{"a revoked token", onRedis, http.StatusUnauthorized, reads(deployment, revoked)},
		{"the token of a deleted key", onRedis, http.StatusUnauthorized, reads(deployment, ofDeleted)},
		{"another Deployment", onRedis, http.StatusForbidden, reads(other, good)},
		{"without the scope", onRedis, http.StatusForbidden, reads(deployment, withoutScope)},
	} {
		err := b.add(variant{
			name: kind.name, base: kind.base, group: refused, server: b.onRedis.process, address: b.onRedis.sites[siteAuth], status: kind.status,
		}, kind.requests)
		if err != nil {
			return err
		}
	}
	for _, kind := range []struct {
		name string
		keys []key
	}{
		{"token endpoint, a wrong secret", wrongSecrets(b.keys)},
		{"token endpoint, a deleted key", []key{deleted}},
	} {
		err := b.add(variant{
			name: kind.name, base: issueVariant("ES256"), group: refused, server: b.onRedis.process, address: b.onRedis.sites[siteToken],
			status: http.StatusUnauthorized,
		}, asks(kind.keys))
		if err != nil {
			return err
		}
	}
	return nil
}

// wrongSecrets are keys with the secret of the next one.
func wrongSecrets(keys []key) []key {
	wrong := make([]key, len(keys))
	for i, k := range keys {
		wrong[i] = key{ID: k.ID, Secret: keys[(i+1)%len(keys)].Secret}
	}
	return wrong
}

// deleted is a key that was deleted, and tokens of it.
func (b *bench) deleted(ctx context.Context) (k key, tokens []string, err error) {
	if k, err = b.onRedis.newKey(ctx, deployment); err != nil {
		return k, nil, err
	}
	if tokens, err = b.onRedis.tokens(ctx, []key{k}, fewTokens); err != nil {
		return k, nil, err
	}
	return k, tokens, b.onRedis.manage(ctx, http.MethodDelete, "/deployments/"+deployment+"/keys/"+k.ID, nil, nil)
}

// revoked are tokens that their own key has revoked, of a key that lives.
func (b *bench) revoked(ctx context.Context) ([]string, error) {
	k, err := b.onRedis.newKey(ctx, deployment)
	if err != nil {
		return nil, err
	}
	tokens, err := b.onRedis.tokens(ctx, []key{k}, 100)
	if err != nil {
		return nil, err
	}
	for _, token := range tokens { // one after the other: each changes the record of the key
		form := url.Values{"client_id": {k.ID}, "client_secret": {k.Secret}, "token": {token}}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.onRedis.sites[siteToken]+"/oauth/revoke", strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := exchange(r, nil); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}
