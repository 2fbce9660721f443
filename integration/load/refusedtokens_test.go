//go:build linux

package load

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// refusedTokens are the refusals of deployment_auth, with all that stands in for a token.
func (s *site) refusedTokens(t *testing.T, token string) []kind {
	t.Helper()
	owner := s.NewKey(t, deployment)
	revoked, expired := s.revokedToken(t, owner), s.expiredToken(t)
	_, ofDeleted := s.deletedKey(t)
	ofOther := s.token(t, s.NewKey(t, other))
	narrow := s.token(t, s.NewKey(t, deployment, "airflow:read"))
	unknownKid, otherAlgorithm := withHeader(t, token, "kid", "unknown"), withHeader(t, token, "alg", "HS256")
	notSignedNow := badSignature(t, token)
	asks := func(token string) func() []byte { return always(get(airflowPath, bearer(token))) }
	refused := []kind{
		{name: "no credentials", status: 401, request: always(get(airflowPath))},
		{name: "a malformed header", status: 400, request: always(get(airflowPath, "Authorization: Bearer not,a token"))},
		{name: "no scheme", status: 400, request: always(get(airflowPath, "Authorization: "+token))},
		{name: "another scheme", status: 401, request: always(get(airflowPath, "Authorization: Digest x"))},
		{name: "two Authorization headers", status: 400, request: always(get(airflowPath, bearer(token), bearer(token)))},
		{name: "a path with two readings", status: 400, request: always(get("/"+deployment+"/api/a%2fb", bearer(token)))},
		{name: "a header of 12 KiB that is no token", status: 401, beside: largeHeader, request: asks(strings.Repeat("a", 12<<10))},
		{name: "a token of 12 KiB", status: 401, beside: largeHeader, request: asks(token + strings.Repeat("a", 12<<10))},
		{name: "12 KiB of dots", status: 401, beside: largeHeader, request: asks(strings.Repeat(".", 12<<10))},
		{name: "a header of 32 KiB, refused by Caddy", status: 431, request: asks(strings.Repeat("a", 32<<10))},
		{name: "garbage, another each time", status: 401, request: func() []byte { return get(airflowPath, bearer(randomText(200))) }},
		{name: "an unknown kid", status: 401, request: asks(unknownKid)},
		{name: "another algorithm", status: 401, request: asks(otherAlgorithm)},
		{name: "revoked", status: 401, request: asks(revoked)},
		{name: "of a deleted key", status: 401, request: asks(ofDeleted)},
		{name: "of another Deployment", status: 403, request: asks(ofOther)},
		{name: "without the scope", status: 403, request: always(request("POST", airflowPath, "", bearer(narrow)))},
		{name: "no scope for the method", status: 403, request: always(request("DELETE", airflowPath, "", bearer(token)))},
		{name: "a bad signature, another each time", status: 401, beside: firstSeen, request: func() []byte {
			return get(airflowPath, bearer(badSignature(t, token)))
		}},
		{name: "the same bad signature again", status: 401, beside: firstSeen, request: asks(notSignedNow)},
		{name: "expired", status: 401, beside: firstSeen, request: asks(expired)},
	}
	for i := range refused {
		refused[i].name = "deployment_auth: " + refused[i].name
		if refused[i].beside == "" && refused[i].status != http.StatusRequestHeaderFieldsTooLarge {
			refused[i].beside = proxied
		}
	}
	return refused
}

// refusedBasic are those of a route that takes HTTP Basic.
func (s *site) refusedBasic(t *testing.T, k gatewaytest.Key) []kind {
	t.Helper()
	deleted, _ := s.deletedKey(t)
	refused := []kind{
		{name: "no credentials", status: 401, request: always(get(deployPath))},
		{name: "malformed", status: 400, request: always(get(deployPath, "Authorization: Basic !"))},
		{name: "a made-up key ID", status: 401, request: func() []byte { return get(deployPath, basic(madeUpID(k.ID), k.Secret)) }},
		{name: "a wrong secret", status: 401, request: always(get(deployPath, basic(k.ID, deleted.Secret)))},
		{name: "a deleted key", status: 401, request: always(get(deployPath, basic(deleted.ID, deleted.Secret)))},
		{name: "a password that is no secret", status: 401, request: func() []byte { return get(deployPath, basic("cli", randomText(20))) }},
	}
	for i := range refused {
		refused[i].name, refused[i].beside = "deployment_auth, basic: "+refused[i].name, basicSecret
	}
	return refused
}

// madeUpID is an ID like another, with other random characters: no store has made it.
func madeUpID(id string) string {
	return id[:len(id)-12] + randomText(12)
}

// randomText is of the letters and figures that IDs have.
func randomText(length int) string {
	const letters = "0123456789abcdefghijklmnopqrstuv"
	random := make([]byte, length)
	rand.Read(random)
	for i, b := range random {
		random[i] = letters[int(b)%len(letters)]
	}
	return string(random)
}

// withHeader is a token with another value in its header. It is not signed anew: it must be refused before that.
func withHeader(t *testing.T, token, name string, value any) string {
	t.Helper()
	encoded, rest, _ := strings.Cut(token, ".")
	var header map[string]any
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	if err == nil {
		err = json.Unmarshal(decoded, &header)
	}
	if err != nil {
		t.Fatal(err)
	}
	header[name] = value
	changed, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(changed) + "." + rest
}

// badSignature is a token with another signature in the place of its own, one whose numbers are in range: to know that it
// is none, it must be computed.
func badSignature(t *testing.T, token string) string {
	t.Helper()
	signature := make([]byte, 64) // ES256: r and s
	for _, half := range [][]byte{signature[:32], signature[32:]} {
		number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 255)) // below the order of P-256
		if err != nil {
			t.Fatal(err)
		}
		number.FillBytes(half)
	}
	end := strings.LastIndexByte(token, '.')
	if end < 0 {
		t.Fatal(fmt.Errorf("%d characters are no token", len(token)))
	}
	return token[:end+1] + base64.RawURLEncoding.EncodeToString(signature)
}
