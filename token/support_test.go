package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/token"
)

const (
	issuer   = "https://auth.example.com"
	audience = "astronomer-ee"
)

var algorithms = []token.Algorithm{token.ES256, token.EdDSA, token.RS256}

// start is when the tests' clocks begin. In the middle of a second, as times are.
var start = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)

// fakeClock is a clock that is moved by hand.
type fakeClock struct{ offset atomic.Int64 }

func (c *fakeClock) Now() time.Time          { return start.Add(time.Duration(c.offset.Load())) }
func (c *fakeClock) Advance(d time.Duration) { c.offset.Add(int64(d)) }

// keys are made once: RSA takes its time.
var keys = sync.OnceValue(func() map[token.Algorithm]*token.SigningKey {
	made := make(map[token.Algorithm]*token.SigningKey)
	for _, alg := range algorithms {
		made[alg] = must(token.GenerateKey(alg, start))
	}
	return made
})

// ringOf is a ring of one key of each algorithm, which signs by alg.
func ringOf(alg token.Algorithm) *token.Ring {
	return must(token.NewRing([]*token.SigningKey{
		keys()[token.ES256], keys()[token.EdDSA], keys()[token.RS256],
	}, keys()[alg].ID()))
}

func newVerifier(tb testing.TB, change func(*token.Options)) *token.Verifier {
	tb.Helper()
	options := token.Options{Issuer: issuer, Audiences: []string{"other", audience}, Now: new(fakeClock).Now}
	if change != nil {
		change(&options)
	}
	v, err := token.NewVerifier(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(v.Close)
	return v
}

func sampleClaims() token.Claims {
	return token.Claims{
		Issuer:       issuer,
		Subject:      "QkVnJpT3TgKz0vYbXhWd2A",
		Audience:     audience,
		ID:           token.NewID(),
		ClientID:     "QkVnJpT3TgKz0vYbXhWd2A",
		Scope:        "deploy airflow:read airflow:write",
		DeploymentID: "quasarian-nebula-4211",
		Permissions:  []string{"deploymentId:quasarian-nebula-4211"},
		Epochs:       token.Epochs{Key: 3, Deployment: 0, All: 12},
		IssuedAt:     start.Truncate(time.Second),
		ExpiresAt:    start.Truncate(time.Second).Add(24 * time.Hour),
	}
}

// object is a JSON object that a test changes member by member.
type object map[string]any

func (o object) with(name string, value any) object {
	changed := maps.Clone(o)
	changed[name] = value
	return changed
}

func (o object) without(name string) object {
	changed := maps.Clone(o)
	delete(changed, name)
	return changed
}

func (o object) String() string { return string(must(json.Marshal(o))) }

func headerOf(key *token.SigningKey) object {
	return object{"alg": string(key.Algorithm()), "kid": key.ID(), "typ": "at+jwt"}
}

func payloadOf(c token.Claims) object {
	var o object
	if err := json.Unmarshal(must(json.Marshal(c)), &o); err != nil {
		panic(err)
	}
	return o
}

func b64(data string) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

// forge makes a token of any header and payload, with a true signature of the key over them.
func forge(key *token.SigningKey, header, payload string) string {
	signed := b64(header) + "." + b64(payload)
	return signed + "." + b64(string(bareSign(privateOf(key), signed)))
}

func privateOf(key *token.SigningKey) crypto.Signer {
	return must(x509.ParsePKCS8PrivateKey(must(key.Marshal()))).(crypto.Signer)
}

// bareSign signs with the standard library alone.
func bareSign(private crypto.Signer, signed string) []byte {
	sum := sha256.Sum256([]byte(signed))
	switch private := private.(type) {
	case *ecdsa.PrivateKey:
		var pair struct{ R, S *big.Int }
		if rest := must(asn1.Unmarshal(must(private.Sign(nil, sum[:], crypto.SHA256)), &pair)); len(rest) > 0 {
			panic("something is behind the signature")
		}
		return append(pair.R.FillBytes(make([]byte, 32)), pair.S.FillBytes(make([]byte, 32))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(private, []byte(signed))
	default:
		return must(rsa.SignPKCS1v15(rand.Reader, private.(*rsa.PrivateKey), crypto.SHA256, sum[:]))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
