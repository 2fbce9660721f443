package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A variant is one thing that is measured: requests of one kind, to one server.
type variant struct {
	name     string
	group    group
	server   *process
	address  string
	requests string                      // a file for wrk.lua
	status   int                         // the right one, of every answer
	base     string                      // the variant that it is compared with; none: of itself
	quick    bool                        // measured by make bench-quick too
	latency  bool                        // measured at a steady rate too
	before   func(context.Context) error // is done before each sample; nil: nothing

	sent    int       // how many of the requests were sent so far
	samples []*sample // of all heats
}

// A group is a table of the report.
type group string

const (
	proxied group = "A request to an upstream"
	refused group = "A request that is refused"
	issued  group = "A token"
)

// Names of variants that others are compared with, or that a goal is about.
const (
	bareProxy     = "bare Caddy"
	sameBuild     = "the gateway's build, reverse_proxy alone"
	sameHeaders   = "the same, the identity headers by request_header"
	openProxy     = "the gateway, no authorization"
	rememberedOne = "remembered, 1 token"
	rememberedFew = "remembered, 1,000 tokens"
	onRedis       = "remembered, 1,000 tokens, Redis"
	profiledProxy = "the gateway's build with its profile, reverse_proxy alone"
	profiledFew   = "remembered, 1,000 tokens, Redis, built with its profile"
	bareHAProxy   = "bare HAProxy"
	respondToPost = "Caddy, respond to the same POST"
	forwardAuth   = "Caddy, forward_auth to a trivial service"
	fositeES256   = "token issued by fosite, ES256"
)

// Names of variants that there is one of for each algorithm. The floors are what cannot be done without: for a token that is
// issued an answer to the same POST, one signature, and one keyed hash; for one that is new, of whoever has only the
// public key, the check of one signature.
func newVariant(algorithm string) string   { return "every token new, " + algorithm }
func issueVariant(algorithm string) string { return "token issued, " + algorithm }
func floorVariant(algorithm string) string {
	return "Caddy, respond, one signature and one keyed hash, " + algorithm
}
func checkVariant(algorithm string) string   { return "Caddy, one signature checked, " + algorithm }
func haproxyVariant(algorithm string) string { return "HAProxy, jwt_verify, " + algorithm }

// rememberedAll is the variant with as many tokens as there are.
func (b *bench) rememberedAll() string { return "remembered, " + thousands(b.plan.many) + " tokens" }

// How many keys the tokens are of, and how many tokens are few.
const (
	keyCount  = 100
	fewTokens = 1_000
)

// add adds a variant with these requests.
func (b *bench) add(v variant, requests []string) error {
	var err error
	v.requests, err = b.requestFile(fmt.Sprintf("variant-%d", len(b.variants)), requests)
	b.variants = append(b.variants, &v)
	return err
}

// find returns a variant by its name, or nil.
func (b *bench) find(name string) *variant {
	i := slices.IndexFunc(b.variants, func(v *variant) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return b.variants[i]
}

// setUp starts everything, and lists what is measured.
func (b *bench) setUp(ctx context.Context) error {
	steps := []func(context.Context) error{b.startUpstream, b.setUpBare, b.setUpEmbedded, b.setUpRedis, b.setUpIssue, b.setUpOthers}
	if b.plan.whole {
		steps = slices.Insert(steps, len(steps)-1, b.setUpRefused, b.setUpAlgorithms)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if !b.plan.whole {
		b.variants = slices.DeleteFunc(b.variants, func(v *variant) bool { return !v.quick })
	}
	return nil
}

// setUpBare starts Caddy as it comes, and the gateway's binary with nothing in it but a reverse_proxy.
func (b *bench) setUpBare(ctx context.Context) (err error) {
	sites := map[string]string{
		"proxy":   "\treverse_proxy " + b.upstream,
		"respond": "\trespond 200",
		"forward": "\tforward_auth " + b.upstream + " {\n\t\turi /auth\n\t\tcopy_headers X-Deployment-Id\n\t}\n\treverse_proxy " + b.upstream,
	}
	for _, algorithm := range algorithms {
		sites["sign "+algorithm] = fmt.Sprintf("\troute {\n\t\tbench_floor sign %s\n\t\t%s\n\t}", algorithm, strings.TrimSpace(sites["respond"]))
		sites["verify "+algorithm] = fmt.Sprintf("\troute {\n\t\tbench_floor verify %s\n\t\t%s\n\t}", algorithm, strings.TrimSpace(sites["proxy"]))
	}
	if b.bare, err = b.startCaddy(ctx, "stock", b.binaries.stock, nil, "", sites); err != nil {
		return err
	}
	if b.profiled, err = b.startCaddy(ctx, "same-build-profiled", b.binaries.profiled, nil, "", map[string]string{"proxy": sites["proxy"]}); err != nil {
		return err
	}
	b.same, err = b.startCaddy(ctx, "same-build", b.binaries.gateway, nil, "", map[string]string{
		"proxy": sites["proxy"],
		"headers": "\trequest_header -Authorization\n\trequest_header X-Deployment-Id " + deployment +
			"\n\trequest_header X-Deployment-Key-Id AAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\trequest_header X-Deployment-Scopes \"deploy airflow:read airflow:write\"\n" + sites["proxy"],
	})
	return err
}

// deployment is that of the tokens; other is another one.
const (
	deployment = "etl"
	other      = "reports"
)

// setUpEmbedded adds what is measured on the embedded store, and the proxies that it is compared with, which get the same
// requests.
func (b *bench) setUpEmbedded(ctx context.Context) error {
	gateway, err := b.startGateway(ctx, "embedded", b.binaries.gateway, "")
	if err != nil {
		return err
	}
	tokens, _, err := b.fill(ctx, gateway, fewTokens)
	if err != nil {
		return err
	}
	requests := reads(deployment, tokens)
	for _, v := range []variant{
		{name: bareProxy, server: b.bare.process, address: b.bare.sites["proxy"], quick: true, latency: true},
		{name: sameBuild, base: bareProxy, server: b.same.process, address: b.same.sites["proxy"], quick: true},
		{name: profiledProxy, base: bareProxy, server: b.profiled.process, address: b.profiled.sites["proxy"]},
		{name: sameHeaders, base: sameBuild, server: b.same.process, address: b.same.sites["headers"], quick: true},
		{name: openProxy, base: sameBuild, server: gateway.process, address: gateway.sites[siteOpen], quick: true},
		{name: rememberedFew, base: sameBuild, server: gateway.process, address: gateway.sites[siteAuth], quick: true, latency: true},
	} {
		v.group, v.status = proxied, http.StatusOK
		if err := b.add(v, requests); err != nil {
			return err
		}
	}
	return b.add(variant{
		name: rememberedOne, base: sameBuild, group: proxied, server: gateway.process, address: gateway.sites[siteAuth],
		status: http.StatusOK, quick: true,
	}, requests[:1])
}

// fill makes the Deployments and keys of a gateway, and gets tokens.
func (b *bench) fill(ctx context.Context, gateway *caddy, count int) ([]string, []key, error) {
	for _, id := range []string{deployment, other} {
		if err := gateway.newDeployment(ctx, id); err != nil {
			return nil, nil, err
		}
	}
	keys, err := gateway.newKeys(ctx, deployment, keyCount)
	if err != nil {
		return nil, nil, err
	}
	tokens, err := gateway.tokens(ctx, keys, count)
	return tokens, keys, err
}

// setUpRedis adds what is measured on Redis: gateways on one Redis take the same tokens, so that the one which remembers all
// and the one which has forgotten them get the same requests.
func (b *bench) setUpRedis(ctx context.Context) error {
	_, redis, err := b.startRedis(ctx, "redis")
	if err != nil {
		return err
	}
	b.redis = "redis://" + redis
	if b.onRedis, err = b.startGateway(ctx, "on-redis", b.binaries.gateway, b.redis); err != nil {
		return err
	}
	tokens, keys, err := b.fill(ctx, b.onRedis, b.plan.many)
	if err != nil {
		return err
	}
	b.tokens, b.keys = tokens, keys
	// Caches make room a moment after they were filled, so there is room for twice as many.
	roomy, err := b.startGateway(ctx, "roomy", b.binaries.gateway, b.redis, fmt.Sprintf("cache_size %d", max(1_000, 2*b.plan.many)))
	if err != nil {
		return err
	}
	forgetful, err := b.startGateway(ctx, "forgetful", b.binaries.gateway, b.redis)
	if err != nil {
		return err
	}
	profiled, err := b.startGateway(ctx, "profiled", b.binaries.profiled, b.redis)
	if err != nil {
		return err
	}
	b.roomy = roomy
	all, few := reads(deployment, tokens), reads(deployment, tokens[:fewTokens])
	for _, v := range []struct {
		variant
		requests []string
	}{
		{variant{name: onRedis, server: b.onRedis.process, address: b.onRedis.sites[siteAuth], latency: true}, few},
		{variant{name: b.rememberedAll(), server: roomy.process, address: roomy.sites[siteAuth], quick: true, latency: true}, all},
		{variant{name: newVariant("ES256"), server: forgetful.process, address: forgetful.sites[siteAuth], before: forgetful.reload, quick: true, latency: true}, all},
		{variant{name: checkVariant("ES256"), server: b.bare.process, address: b.bare.sites["verify ES256"], quick: true}, few},
		{variant{name: profiledFew, server: profiled.process, address: profiled.sites[siteAuth]}, few},
	} {
		v.base, v.group, v.status = sameBuild, proxied, http.StatusOK
		if err := b.add(v.variant, v.requests); err != nil {
			return err
		}
	}
	b.find(profiledFew).base, b.find(checkVariant("ES256")).base = bareProxy, bareProxy
	return nil
}

// setUpAlgorithms adds what is measured with the other algorithms. They have a Redis each, since the gateways on one sign
// with one algorithm.
func (b *bench) setUpAlgorithms(ctx context.Context) error {
	for _, algorithm := range []string{"EdDSA", "RS256"} {
		_, redis, err := b.startRedis(ctx, "redis-"+algorithm)
		if err != nil {
			return err
		}
		gateway, err := b.startGateway(ctx, algorithm, b.binaries.gateway, "redis://"+redis, "signing_algorithm "+algorithm)
		if err != nil {
			return err
		}
		tokens, keys, err := b.fill(ctx, gateway, b.plan.pools[algorithm])
		if err != nil {
			return err
		}
		b.byAlgorithm[algorithm], b.tokensBy[algorithm] = gateway, tokens
		err = b.add(variant{
			name: newVariant(algorithm), base: sameBuild, group: proxied, server: gateway.process, address: gateway.sites[siteAuth],
			status: http.StatusOK, before: gateway.reload,
		}, reads(deployment, tokens))
		if err != nil {
			return err
		}
		if err := b.addIssue(algorithm, gateway, keys); err != nil {
			return err
		}
	}
	return nil
}

// setUpOthers adds what users would pick instead.
func (b *bench) setUpOthers(ctx context.Context) error {
	few := reads(deployment, b.tokens[:fewTokens])
	err := b.add(variant{
		name: forwardAuth, base: bareProxy, group: proxied, server: b.bare.process, address: b.bare.sites["forward"],
		status: http.StatusOK, quick: true,
	}, few)
	if err != nil || !b.plan.whole {
		return err
	}
	p, address, err := b.startProxy(ctx, "haproxy", "")
	if err != nil {
		return err
	}
	if err := b.add(variant{name: bareHAProxy, group: proxied, server: p, address: address, status: http.StatusOK}, few); err != nil {
		return err
	}
	for _, one := range []struct {
		algorithm string
		gateway   *caddy
		tokens    []string
	}{{"ES256", b.onRedis, b.tokens}, {"RS256", b.byAlgorithm["RS256"], b.tokensBy["RS256"]}} {
		file, err := b.publicKey(ctx, one.gateway)
		if err != nil {
			return err
		}
		p, address, err := b.startProxy(ctx, "haproxy-"+one.algorithm, file)
		if err != nil {
			return err
		}
		err = b.add(variant{
			name: haproxyVariant(one.algorithm), base: bareHAProxy, group: proxied, server: p, address: address, status: http.StatusOK,
		}, reads(deployment, one.tokens[:fewTokens]))
		if err != nil {
			return err
		}
	}
	return nil
}

// setUpIssue adds tokens that are issued, beside what answers the same POST with nothing, and beside fosite.
func (b *bench) setUpIssue(ctx context.Context) error {
	err := b.add(variant{
		name: respondToPost, group: issued, server: b.bare.process, address: b.bare.sites["respond"], status: http.StatusOK, quick: true,
	}, asks(b.keys))
	if err != nil {
		return err
	}
	if err := b.addIssue("ES256", b.onRedis, b.keys); err != nil {
		return err
	}
	p, address, err := b.startFosite(ctx, b.binaries.fosite, b.keys[0])
	if err != nil {
		return err
	}
	return b.add(variant{
		name: fositeES256, base: issueVariant("ES256"), group: issued, server: p, address: address, status: http.StatusOK, quick: true,
	}, asks(b.keys[:1]))
}

// addIssue adds tokens of an algorithm that are issued, and what they cannot do without.
func (b *bench) addIssue(algorithm string, gateway *caddy, keys []key) error {
	err := b.add(variant{
		name: floorVariant(algorithm), base: respondToPost, group: issued, server: b.bare.process, address: b.bare.sites["sign "+algorithm],
		status: http.StatusOK, quick: algorithm == "ES256",
	}, asks(keys))
	if err != nil {
		return err
	}
	return b.add(variant{
		name: issueVariant(algorithm), base: floorVariant(algorithm), group: issued, server: gateway.process, address: gateway.sites[siteToken],
		status: http.StatusOK, quick: algorithm == "ES256", latency: algorithm == "ES256",
	}, asks(keys))
}

// expired returns tokens that have expired a moment ago.
func (b *bench) expired(ctx context.Context) ([]string, error) {
	short, err := b.startGateway(ctx, "short", b.binaries.gateway, b.redis, "token_lifetime 1s")
	if err != nil {
		return nil, err
	}
	tokens, err := short.tokens(ctx, b.keys, fewTokens)
	b.processes.end(short.process)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Second): // a token's lifetime, and the second that is rounded up
	}
	return tokens, ctx.Err()
}
