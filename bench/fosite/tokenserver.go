package main

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/crypto/bcrypt"
)

// What a token says is what the gateway's says by default, where fosite can say it.
const (
	issuer        = "http://127.0.0.1"
	audience      = "astronomer-ee"
	tokenLifetime = 24 * time.Hour
)

// scopes are what the client may have, and has when it asks for nothing in particular.
var scopes = []string{"deploy", "airflow:read", "airflow:write"}

// maxBody is how many bytes a request may have; the gateway takes as many. fosite itself puts what is beyond a mebibyte of a
// multipart body into files.
const maxBody = 16 << 10

// newProvider returns a fosite that knows one client, and signs with key, which is of P-256. bcrypt refuses a secret of more
// than 72 bytes.
//
// What fosite lets choose is chosen to be fast: bcrypt at its cheapest cost, where fosite's default is 256 times as dear;
// scopes and audiences compared as they are, not as patterns and URLs; one grant; no catalog of languages for errors.
func newProvider(clientID, clientSecret string, key *ecdsa.PrivateKey) (fosite.OAuth2Provider, error) {
	config := &fosite.Config{
		HashCost:                 bcrypt.MinCost,
		ScopeStrategy:            fosite.ExactScopeStrategy,
		AudienceMatchingStrategy: fosite.ExactAudienceMatchingStrategy,
		AccessTokenLifespan:      tokenLifetime,
		AccessTokenIssuer:        issuer,
		JWTScopeClaimKey:         jwt.JWTScopeFieldString,
	}
	ctx := context.Background()
	hashed, err := config.GetSecretsHasher(ctx).Hash(ctx, []byte(clientSecret))
	if err != nil {
		return nil, fmt.Errorf("-client-secret of %d bytes: %w", len(clientSecret), err)
	}
	store := memory{storage.NewMemoryStore()}
	store.Clients[clientID] = &fosite.DefaultClient{
		ID:         clientID,
		Secret:     hashed,
		GrantTypes: []string{"client_credentials"},
		Scopes:     scopes,
		Audience:   []string{audience},
	}

	// The header names the key, as it has to wherever keys are rotated.
	signingKey := &jose.JSONWebKey{Key: key, KeyID: "1", Algorithm: string(jose.ES256), Use: "sig"}
	getKey := func(context.Context) (any, error) { return signingKey, nil }
	strategy := compose.NewOAuth2JWTStrategy(getKey, compose.NewOAuth2HMACStrategy(config), config)
	return compose.Compose(config, store, strategy, compose.OAuth2ClientCredentialsGrantFactory), nil
}

// newHandler returns the handler of POST /oauth/token.
func newHandler(provider fosite.OAuth2Provider) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /oauth/token", &tokenServer{provider})
	return mux
}

// tokenServer is fosite with as little around it as it can do with.
type tokenServer struct {
	provider fosite.OAuth2Provider
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	session := &oauth2.JWTSession{JWTClaims: &jwt.JWTClaims{}, JWTHeader: &jwt.Headers{}}
	request, err := s.provider.NewAccessRequest(ctx, r, session)
	if err != nil {
		s.refuse(ctx, w, request, err)
		return
	}
	// fosite has checked that the client may have what it asks for, and leaves it to its user to grant that.
	session.JWTClaims.Subject = request.GetClient().GetID()
	granted := request.GetRequestedScopes()
	if len(granted) == 0 {
		granted = request.GetClient().GetScopes()
	}
	for _, scope := range granted {
		request.GrantScope(scope)
	}
	request.GrantAudience(audience)
	response, err := s.provider.NewAccessResponse(ctx, request)
	if err != nil {
		s.refuse(ctx, w, request, err)
		return
	}
	s.provider.WriteAccessResponse(ctx, w, request, response)
}

func (s *tokenServer) refuse(ctx context.Context, w http.ResponseWriter, request fosite.AccessRequester, err error) {
	if refusal := fosite.ErrorToRFC6749Error(err); refusal.CodeField >= http.StatusInternalServerError {
		log.Printf("fosite: %v", err)
	}
	s.provider.WriteAccessError(ctx, w, request, err)
}

// memory is fosite's storage in memory, but for the sessions of access tokens, which it would keep for ever: a run would get
// slower and larger as it goes on. Whoever verifies JWTs by their signature needs none of them.
type memory struct{ *storage.MemoryStore }

// CreateAccessTokenSession implements oauth2.AccessTokenStorage.
func (memory) CreateAccessTokenSession(context.Context, string, fosite.Requester) error { return nil }
