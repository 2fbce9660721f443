package admin

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

// This file ends access tokens, and says what they are good for. A token is in the body of a
// request and nowhere else: the path is logged.

// revokeKeyTokens is POST /deployments/{deployment}/keys/{key}/revoke_tokens. 204: the tokens that
// were issued until now are dead, the key lives.
func revokeKeyTokens(c *callContext) (int, any, error) {
	if err := readNoBody(c.w, c.r); err != nil {
		return 0, nil, err
	}
	if err := c.keys.RevokeKeyTokens(c.r.Context(), c.by, c.deployment(), c.key()); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

// revokeDeploymentTokens is POST /deployments/{deployment}/revoke_tokens. 204: the same for all keys
// of the Deployment.
func revokeDeploymentTokens(c *callContext) (int, any, error) {
	if err := readNoBody(c.w, c.r); err != nil {
		return 0, nil, err
	}
	if err := c.keys.RevokeDeploymentTokens(c.r.Context(), c.by, c.deployment()); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

// revokeAllTokens is POST /tokens/revoke_all. 204: the same for all keys and users.
func revokeAllTokens(c *callContext) (int, any, error) {
	if err := readNoBody(c.w, c.r); err != nil {
		return 0, nil, err
	}
	if err := c.keys.RevokeAllTokens(c.r.Context(), c.by); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

var errNoToken = badRequest("token is missing")

// checkDeployment refuses what can be the ID of no Deployment. One that is there and empty is a
// mistake, not the wish for none.
func checkDeployment(id *string) (string, error) {
	if id == nil {
		return "", nil
	}
	return *id, keystore.ValidateDeploymentID(*id)
}

// introspectToken is POST /tokens/introspect: {"token","deployment"?}. 200 with what the token is
// good for now, whoever's it is (RFC 7662 section 2.2). Of a user's token that is what they may do in
// the Deployment.
func introspectToken(c *callContext) (int, any, error) {
	c.question = true
	var body TokenIntrospection
	if err := readBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	deployment, err := checkDeployment(body.Deployment)
	if err != nil {
		return 0, nil, err
	}
	if body.Token == "" {
		return 0, nil, errNoToken
	}
	tokens, err := c.tokens()
	if err != nil {
		return 0, nil, err
	}
	answer, err := tokens.Introspect(c.r.Context(), body.Token, deployment)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, answer, nil
}

// revokeToken is POST /tokens/revoke: {"token"}. 204: this one token is dead. 404 for what is no
// token of this gateway, or has expired: who has a leaked one to end must not believe that they did.
func revokeToken(c *callContext) (int, any, error) {
	var body TokenRevocation
	if err := readBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	if body.Token == "" {
		return 0, nil, errNoToken
	}
	tokens, err := c.tokens()
	if err != nil {
		return 0, nil, err
	}
	// It tells of the change itself: it alone knows whose token it was.
	if err := tokens.RevokeToken(c.r.Context(), c.by, body.Token); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

// explainToken is POST /tokens/explain: {"token","deployment"?,"scopes"?,"address"?}. 200 with how the
// token fares in each check, for a request to the Deployment that needs the scopes and comes from the
// IP address.
func explainToken(c *callContext) (int, any, error) {
	c.question = true
	var body TokenQuestion
	if err := readBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	deployment, err := checkDeployment(body.Deployment)
	if err != nil {
		return 0, nil, err
	}
	var need keystore.Scopes
	if body.Scopes != nil {
		if need = *body.Scopes; need == 0 {
			return 0, nil, badRequest("scopes is empty: leave it out for no check of them, or name some")
		}
	}
	var from netip.Addr
	if body.Address != nil {
		if from, err = netip.ParseAddr(*body.Address); err != nil {
			return 0, nil, badRequest("address must be an IP address, that of a client")
		}
	}
	if body.Token == "" {
		return 0, nil, errNoToken
	}
	tokens, err := c.tokens()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, tokens.Explain(c.r.Context(), body.Token, deployment, need, from), nil
}

// A TokenService is what the API asks of the part of the gateway that makes and checks access
// tokens: those of [caddymodule.App] and [access.Authority].
type TokenService interface {
	RotateSigningKey(ctx context.Context, by keystore.Caller) (keystore.SigningKey, error)
	ReplaceSigningKeys(ctx context.Context, by keystore.Caller) (keystore.SigningKey, error)
	Introspect(ctx context.Context, raw, deployment string) (access.Introspection, error)
	RevokeToken(ctx context.Context, by keystore.Caller, raw string) error
	Explain(ctx context.Context, raw, deployment string, need keystore.Scopes, from netip.Addr) access.Explanation
}
