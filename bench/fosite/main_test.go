package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ory/fosite"
	"golang.org/x/crypto/bcrypt"
)

const (
	testID     = "key-1"
	testSecret = "a secret + 100% of it"
)

// asProgram makes the test binary the program.
const asProgram = "BENCH_FOSITE_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// form is a request for a token, with the credentials in it, and with what is to be added or replaced.
func form(pairs ...string) url.Values {
	values := url.Values{"grant_type": {"client_credentials"}, "client_id": {testID}, "client_secret": {testSecret}}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

// inBasic moves the credentials of a form to where RFC 6749, section 2.3.1, has them.
func inBasic(values url.Values) (id, secret string) {
	id, secret = url.QueryEscape(values.Get("client_id")), url.QueryEscape(values.Get("client_secret"))
	values.Del("client_id")
	values.Del("client_secret")
	return id, secret
}

type answer struct {
	status int
	header http.Header
	body   struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
		Scope       string `json:"scope"`
		Error       string `json:"error"`
	}
}

// ask posts a form to the token endpoint of an address.
func ask(ctx context.Context, address string, values url.Values, basic bool) (answer, error) {
	var id, secret string
	if basic {
		id, secret = inBasic(values)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/oauth/token", strings.NewReader(values.Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		request.SetBasicAuth(id, secret)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	got := answer{status: response.StatusCode, header: response.Header}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	return got, json.Unmarshal(body, &got.body)
}

// startServer returns the address of a server, and the key with which its tokens are verified.
func startServer(t *testing.T) (string, *ecdsa.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := newProvider(testID, testSecret, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(newHandler(provider))
	t.Cleanup(server.Close)
	return server.URL, &key.PublicKey
}

// part decodes a part of a token that is JSON.
func part(t *testing.T, encoded string) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

// verify checks the signature of a token by RFC 7518, section 3.4, and returns its claims.
func verify(t *testing.T, token string, key *ecdsa.PublicKey) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts, want 3", len(parts))
	}
	if got, want := part(t, parts[0]), (map[string]any{"alg": "ES256", "typ": "JWT", "kid": "1"}); !reflect.DeepEqual(got, want) {
		t.Errorf("the header is %v, want %v", got, want)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		t.Fatalf("the signature has %d bytes (%v), want 64", len(signature), err)
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(key, hash[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		t.Error("the signature is not of the server's key")
	}
	return part(t, parts[1])
}

func TestToken(t *testing.T) {
	t.Parallel()
	address, key := startServer(t)
	tests := map[string]struct {
		form  url.Values
		basic bool
		scope string
	}{
		"form":         {form: form(), scope: "deploy airflow:read airflow:write"},
		"Basic":        {form: form(), basic: true, scope: "deploy airflow:read airflow:write"},
		"scope":        {form: form("scope", "airflow:read"), scope: "airflow:read"},
		"its audience": {form: form("audience", audience), scope: "deploy airflow:read airflow:write"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ask(t.Context(), address, test.form, test.basic)
			if err != nil {
				t.Fatal(err)
			}
			if got.status != http.StatusOK || got.body.TokenType != "bearer" || got.body.Scope != test.scope {
				t.Fatalf("the answer is %d %+v, want 200 and scope %q", got.status, got.body, test.scope)
			}
			if lifetime := int(tokenLifetime.Seconds()); got.body.ExpiresIn < lifetime-60 || got.body.ExpiresIn > lifetime {
				t.Errorf("expires_in is %d, want %d", got.body.ExpiresIn, lifetime)
			}
			if got := got.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q", got)
			}
			claims := verify(t, got.body.AccessToken, key)
			issuedAt, _ := claims["iat"].(float64)
			expires, _ := claims["exp"].(float64)
			if lifetime := time.Duration(expires-issuedAt) * time.Second; (lifetime - tokenLifetime).Abs() > time.Minute {
				t.Errorf("the token is valid for %s, want %s", lifetime, tokenLifetime)
			}
			if id, _ := claims["jti"].(string); id == "" {
				t.Error("the token has no jti")
			}
			for _, checked := range []string{"iat", "exp", "jti"} {
				delete(claims, checked)
			}
			want := map[string]any{"iss": issuer, "sub": testID, "aud": []any{audience}, "scope": test.scope}
			if !reflect.DeepEqual(claims, want) {
				t.Errorf("the claims are %v, want %v", claims, want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	address, _ := startServer(t)
	tests := map[string]struct {
		form   url.Values
		basic  bool
		status int
		reason string
	}{
		"wrong secret":          {form("client_secret", "another"), false, http.StatusUnauthorized, "invalid_client"},
		"wrong secret in Basic": {form("client_secret", "another"), true, http.StatusUnauthorized, "invalid_client"},
		"no secret":             {form("client_secret", ""), false, http.StatusUnauthorized, "invalid_client"},
		"unknown client":        {form("client_id", "key-2"), false, http.StatusUnauthorized, "invalid_client"},
		"unknown scope":         {form("scope", "everything"), false, http.StatusBadRequest, "invalid_scope"},
		"unknown audience":      {form("audience", "others"), false, http.StatusBadRequest, "invalid_request"},
		"another grant":         {form("grant_type", "password"), false, http.StatusBadRequest, "invalid_request"},
		"large body":            {form("scope", strings.Repeat(" ", maxBody)), false, http.StatusBadRequest, "invalid_request"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ask(t.Context(), address, test.form, test.basic)
			if err != nil {
				t.Fatal(err)
			}
			if got.status != test.status || got.body.Error != test.reason || got.body.AccessToken != "" {
				t.Errorf("the answer is %d %+v, want %d %s", got.status, got.body, test.status, test.reason)
			}
		})
	}
}

// TestFairness holds what the comparison says of this server: the cheapest hash, and no session for each token.
func TestFairness(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := newProvider(testID, testSecret, key)
	if err != nil {
		t.Fatal(err)
	}
	store := provider.(*fosite.Fosite).Store.(memory)
	client, err := store.GetClient(t.Context(), testID)
	if err != nil {
		t.Fatal(err)
	}
	if cost, err := bcrypt.Cost(client.GetHashedSecret()); err != nil || cost != bcrypt.MinCost {
		t.Errorf("the cost of bcrypt is %d (%v), want %d", cost, err, bcrypt.MinCost)
	}

	server := httptest.NewServer(newHandler(provider))
	defer server.Close()
	if got, err := ask(t.Context(), server.URL, form(), false); err != nil || got.status != http.StatusOK {
		t.Fatalf("the answer is %d, %v", got.status, err)
	}
	if kept := len(store.AccessTokens) + len(store.AccessTokenRequestIDs); kept > 0 {
		t.Errorf("the store has %d records of one access token, want none", kept)
	}
}

func TestLongSecret(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), []string{"-listen", "127.0.0.1:0", "-client-id", testID, "-client-secret", strings.Repeat("s", 73)})
	if !errors.Is(err, bcrypt.ErrPasswordTooLong) || !strings.Contains(err.Error(), "-client-secret of 73 bytes") {
		t.Errorf("the error is %v, want %v", err, bcrypt.ErrPasswordTooLong)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	whole := []string{"-listen", "127.0.0.1:0", "-client-id", testID, "-client-secret", testSecret}
	for name, args := range map[string][]string{
		"nothing":      nil,
		"no address":   whole[2:],
		"no secret":    whole[:4],
		"an argument":  append(whole[:6:6], "more"),
		"unknown flag": append(whole[:6:6], "-fast"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := run(t.Context(), args); !errors.Is(err, errUsage) {
				t.Errorf("the error is %v, want %v", err, errUsage)
			}
		})
	}
}

// TestProgramEndsOnSignal runs the program as make bench does, and wants it to end well and to have printed nothing.
func TestProgramEndsOnSignal(t *testing.T) {
	t.Parallel()
	for _, sent := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(sent.String(), func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := listener.Addr().String()
			listener.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			program := exec.CommandContext(ctx, os.Args[0], "-listen", address, "-client-id", testID, "-client-secret", testSecret)
			program.Env = append(os.Environ(), asProgram+"=1")
			var printed bytes.Buffer
			program.Stdout, program.Stderr = &printed, &printed
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			for {
				got, err := ask(ctx, "http://"+address, form(), false)
				if err == nil {
					if got.status != http.StatusOK {
						t.Errorf("the answer is %d %+v, want 200", got.status, got.body)
					}
					break
				}
				select {
				case <-ctx.Done():
					program.Wait()
					t.Fatalf("no answer within a minute: %v; it printed %q", err, printed.String())
				case <-time.After(20 * time.Millisecond):
				}
			}
			if err := program.Process.Signal(sent); err != nil {
				t.Fatal(err)
			}
			if err := program.Wait(); err != nil || printed.Len() > 0 {
				t.Errorf("it ended with %v and printed %q", err, printed.String())
			}
		})
	}
}
