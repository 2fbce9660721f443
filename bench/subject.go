package main

import "context"

// How many tokens a load has. A turn with new tokens ends with the last of them.
const (
	fewTokens    = 1_000
	manyTokens   = 20_000
	issuedTokens = 5_000
)

// A subject is a gateway and its loads. It starts again before each round, because two processes of the same binary differ by
// some percents as long as they run. At first its cache is empty.
type subject struct {
	gateway *gateway

	newToken, issuedHere, issue, respond                                        *load // while the cache is empty
	proxy, headers, forwardAuth, cachedOne, cachedFew, cachedMany, none, forged *load
}

// setUp starts the gateway and prepares its loads. The proxies get the same requests as the sites that authorize, with the
// token in them.
func (s *subject) setUp(ctx context.Context, upstream string) error {
	g := s.gateway
	if err := g.setUp(ctx, upstream); err != nil {
		return err
	}
	tokens, err := g.tokens(ctx, manyTokens)
	if err != nil {
		return err
	}
	on := func(site, name, answer string, requests []string) *load {
		return &load{gateway: g, site: site, name: name, answer: answer, requests: requests}
	}
	many := apiRequests(tokens...)
	few := many[:fewTokens]
	s.newToken = on("auth", "new tokens", "200 ok", many)
	s.issuedHere = on("auth", "tokens just issued", "200 ok", nil)
	s.issue = on("token", "`POST /oauth/token`", `200 {"access_token"`, tokenRequests(g.keys))
	s.respond = on("respond", "`respond`, one signature, one hash", "200 ", tokenRequests(g.keys))
	s.proxy = on("proxy", "`reverse_proxy`", "200 ok", few)
	s.headers = on("headers", "`reverse_proxy`, the same headers by `request_header`", "200 ok", few)
	s.forwardAuth = on("forward", "`forward_auth`", "200 ok", few)
	s.cachedOne = on("auth", "1 cached token", "200 ok", few[:1])
	s.cachedFew = on("auth", "1,000 cached tokens", "200 ok", few)
	s.cachedMany = on("auth", "20,000 cached tokens", "200 ok", many)
	s.none = on("auth", "401, no token", `401 {"error"`, apiRequests(""))
	s.forged = on("auth", "401, a token that nobody signed", `401 {"error"`, apiRequests(forged(tokens[:fewTokens])...))
	s.newToken.once, s.issuedHere.once = true, true
	return nil
}

// restart starts the gateway again, and has it issue tokens.
func (s *subject) restart(ctx context.Context) error {
	s.gateway.stop()
	if err := s.gateway.start(ctx); err != nil {
		return err
	}
	tokens, err := s.gateway.tokens(ctx, issuedTokens)
	if err != nil {
		return err
	}
	s.issuedHere.requests = apiRequests(tokens...)
	s.issuedHere.taken.Store(0)
	s.newToken.taken.Store(0)
	_, err = s.proxy.cost() // so that it gets going
	return err
}

// fillCache sends the tokens that are still new.
func (s *subject) fillCache() error {
	for s.newToken.taken.Load() < manyTokens {
		if _, err := s.newToken.cost(); err != nil {
			return err
		}
	}
	return nil
}
