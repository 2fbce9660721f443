package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/token"
)

// The benchmarks named Bare do what cannot be saved: the primitive of the standard library, base64
// and encoding/json on structs. They check nothing. The others are to be within 10 % of them.

type bareHeader struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

type barePayload struct {
	Issuer       string   `json:"iss"`
	Subject      string   `json:"sub"`
	Audience     string   `json:"aud"`
	ExpiresAt    int64    `json:"exp"`
	IssuedAt     int64    `json:"iat"`
	ID           string   `json:"jti"`
	ClientID     string   `json:"client_id"`
	Scope        string   `json:"scope"`
	DeploymentID string   `json:"deployment_id"`
	Permissions  []string `json:"permissions"`
	Epochs       []uint64 `json:"epochs"`
}

func perAlgorithm(b *testing.B, run func(b *testing.B, ring *token.Ring)) {
	for _, alg := range algorithms {
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			run(b, ringOf(alg))
		})
	}
}

func BenchmarkSign(b *testing.B) {
	perAlgorithm(b, func(b *testing.B, ring *token.Ring) {
		claims := sampleClaims()
		for b.Loop() {
			if _, err := ring.Sign(claims); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBareSign(b *testing.B) {
	perAlgorithm(b, func(b *testing.B, ring *token.Ring) {
		key, claims := ring.Signer(), sampleClaims()
		private := privateOf(key)
		encode := base64.RawURLEncoding.EncodeToString
		for b.Loop() {
			header := must(json.Marshal(bareHeader{string(key.Algorithm()), key.ID(), "at+jwt"}))
			payload := must(json.Marshal(barePayload{
				claims.Issuer, claims.Subject, claims.Audience, claims.ExpiresAt.Unix(), claims.IssuedAt.Unix(),
				claims.ID, claims.ClientID, claims.Scope, claims.DeploymentID, claims.Permissions,
				[]uint64{claims.Epochs.Key, claims.Epochs.Deployment, claims.Epochs.All},
			}))
			signed := encode(header) + "." + encode(payload)
			_ = signed + "." + encode(bareSign(private, signed))
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	perAlgorithm(b, func(b *testing.B, ring *token.Ring) {
		v := newVerifier(b, func(o *token.Options) { o.CacheSize = -1 })
		raw := must(ring.Sign(sampleClaims()))
		for b.Loop() {
			if _, err := v.Verify(ring, raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBareVerify(b *testing.B) {
	perAlgorithm(b, func(b *testing.B, ring *token.Ring) {
		raw := must(ring.Sign(sampleClaims()))
		public := privateOf(ring.Signer()).Public()
		decode := base64.RawURLEncoding.DecodeString
		for b.Loop() {
			parts := strings.Split(raw, ".")
			var header bareHeader
			var payload barePayload
			errHeader := json.Unmarshal(must(decode(parts[0])), &header)
			errPayload := json.Unmarshal(must(decode(parts[1])), &payload)
			fits := bareVerify(public, raw[:strings.LastIndexByte(raw, '.')], must(decode(parts[2])))
			if errHeader != nil || errPayload != nil || !fits {
				b.Fatal(errHeader, errPayload, fits)
			}
		}
	})
}

// bareVerify verifies with the standard library alone.
func bareVerify(public crypto.PublicKey, signed string, signature []byte) bool {
	sum := sha256.Sum256([]byte(signed))
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return ecdsa.Verify(public, sum[:], r, s)
	case ed25519.PublicKey:
		return ed25519.Verify(public, []byte(signed), signature)
	default:
		return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), crypto.SHA256, sum[:], signature) == nil
	}
}

// BenchmarkVerifyRemembered is what all but the first request with a token pay: one token, and 10,000 in turn, on one
// core and on all.
func BenchmarkVerifyRemembered(b *testing.B) {
	ring := ringOf(token.ES256)
	v := newVerifier(b, func(o *token.Options) { o.Now = nil })
	raws := make([]string, 10_000)
	for i := range raws {
		claims := sampleClaims()
		claims.IssuedAt, claims.ExpiresAt = start.AddDate(-1, 0, 0), start.AddDate(50, 0, 0)
		raws[i] = must(ring.Sign(claims))
		must(v.Verify(ring, raws[i]))
	}
	for name, raws := range map[string][]string{"one": raws[:1], "many": raws} {
		verify := func(i int) {
			if _, err := v.Verify(ring, raws[i%len(raws)]); err != nil {
				b.Error(err)
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				verify(i)
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.IntN(len(raws)); pb.Next(); i++ {
					verify(i)
				}
			})
		})
	}
}

// BenchmarkVerifyRefused is what a token costs that is refused before its signature is looked at.
func BenchmarkVerifyRefused(b *testing.B) {
	v, ring := newVerifier(b, nil), ringOf(token.ES256)
	header := headerOf(ring.Signer())
	for name, raw := range map[string]string{
		"dots":       strings.Repeat(".", token.MaxTokenSize),
		"unknownkey": forge(ring.Signer(), header.with("kid", "unknown").String(), payloadOf(sampleClaims()).String()),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(ring, raw); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
