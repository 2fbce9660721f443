package token_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/deploymentkeys/gateway/token"
)

func TestParseAlgorithm(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		if got, err := token.ParseAlgorithm(string(alg)); err != nil || got != alg {
			t.Errorf("%s: got %q, %v", alg, got, err)
		}
	}
	for _, name := range []string{"", "none", "HS256", "es256", "ES384", "RS512", "PS256", " ES256"} {
		_, err := token.ParseAlgorithm(name)
		if err == nil {
			t.Errorf("%q: no error", name)
			continue
		}
		for _, alg := range algorithms {
			if !strings.Contains(err.Error(), string(alg)) {
				t.Errorf("%q: the error does not offer %s: %v", name, alg, err)
			}
		}
	}
}

func TestKeyRoundTrip(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			key := keys()[alg]
			got, err := token.ParseKey(alg, key.CreatedAt(), must(key.Marshal()))
			if err != nil {
				t.Fatal(err)
			}
			if got.ID() != key.ID() || got.Algorithm() != alg || !got.CreatedAt().Equal(key.CreatedAt()) {
				t.Errorf("got %v of %v, want %v of %v", got, got.CreatedAt(), key, key.CreatedAt())
			}
			if len(key.ID()) != 43 {
				t.Errorf("kid %q is not a SHA-256 in base64url", key.ID())
			}
			if key.CreatedAt().Location() != time.UTC {
				t.Errorf("created at %v, not in UTC", key.CreatedAt())
			}
			// What the parsed key signs, the first one verifies.
			raw := must(must(token.NewRing([]*token.SigningKey{got}, got.ID())).Sign(sampleClaims()))
			if _, err := newVerifier(t, nil).Verify(ringOf(alg), raw); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseKeyRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	der := func(private any) []byte { return must(x509.MarshalPKCS8PrivateKey(private)) }
	ours := func(alg token.Algorithm) []byte { return must(keys()[alg].Marshal()) }
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))

	for _, tc := range []struct {
		name string
		alg  token.Algorithm
		der  []byte
	}{
		{"RFC 7518 section 3.4: P-384 for ES256", token.ES256, der(p384)},
		{"RFC 7518 section 3.3: RSA of 1024 bits", token.RS256, der(must(rsa.GenerateKey(rand.Reader, 1024)))},
		{"RFC 8037 section 2: X25519 cannot sign", token.EdDSA, der(must(ecdh.X25519().GenerateKey(rand.Reader)))},
		{"RSA for ES256", token.ES256, ours(token.RS256)},
		{"Ed25519 for ES256", token.ES256, ours(token.EdDSA)},
		{"P-256 for EdDSA", token.EdDSA, ours(token.ES256)},
		{"P-256 for RS256", token.RS256, ours(token.ES256)},
		{"P-256 for HS256", "HS256", ours(token.ES256)},
		{"P-256 for no algorithm", "", ours(token.ES256)},
		{"empty", token.ES256, nil},
		{"truncated", token.ES256, ours(token.ES256)[:60]},
		{"SEC 1 in place of PKCS #8", token.ES256, must(x509.MarshalECPrivateKey(p384))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if key, err := token.ParseKey(tc.alg, start, tc.der); !errors.Is(err, token.ErrKey) {
				t.Errorf("got %v, %v, want ErrKey", key, err)
			}
		})
	}
	if _, err := token.GenerateKey("HS256", start); err == nil {
		t.Error("a key for HS256 was made")
	}
}

// TestKeyNeverPrinted looks for the private part, in any of the forms that something prints bytes or
// numbers in, in everything that prints.
func TestKeyNeverPrinted(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			key := keys()[alg]
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
				for _, value := range []any{
					key, *key,
					[]*token.SigningKey{key},
					[]token.SigningKey{*key},
					struct{ hidden token.SigningKey }{*key},
					struct{ hidden *token.SigningKey }{key},
					ringOf(alg), *ringOf(alg),
				} {
					fmt.Fprintf(&out, verb+"\n", value)
				}
			}
			fmt.Fprintln(&out, string(must(json.Marshal(map[string]any{"a": key, "b": *key}))))
			slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "key", key, "copy", *key)
			slog.New(slog.NewTextHandler(&out, nil)).Info("m", "key", key, "copy", *key)
			core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel)
			zap.New(core).Info("m", zap.Any("key", key), zap.Any("copy", *key), zap.Stringer("s", key), zap.Reflect("r", key))

			secret := secretPart(key)
			for _, form := range []string{
				string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
				base64.StdEncoding.EncodeToString(secret)[:20], strings.Trim(fmt.Sprint(secret), "[]"),
				strings.Trim(fmt.Sprintf("%#v", secret), "[]byte{}"),
			} {
				if strings.Contains(out.String(), form) {
					t.Errorf("the private part is printed as %.20q…", form)
				}
			}
			if !strings.Contains(out.String(), key.ID()) {
				t.Error("the key ID is not printed")
			}
		})
	}
}

// secretPart is the beginning of the number that is the key.
func secretPart(key *token.SigningKey) []byte {
	switch private := privateOf(key).(type) {
	case *ecdsa.PrivateKey:
		return must(private.Bytes())[:16]
	case *rsa.PrivateKey:
		return private.D.Bytes()[:16]
	default:
		return must(key.Marshal())[16:32] // behind the PKCS #8 prefix: the seed of Ed25519
	}
}
