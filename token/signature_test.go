package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/deploymentkeys/gateway/token"
)

// rfc6979Key is the one of RFC 6979 appendix A.2.5.
func rfc6979Key(t *testing.T) *token.SigningKey {
	t.Helper()
	private := must(ecdsa.ParseRawPrivateKey(elliptic.P256(), must(hex.DecodeString("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"))))
	return must(token.ParseKey(token.ES256, start, must(x509.MarshalPKCS8PrivateKey(private))))
}

// TestES256OfRFC6979 has the signatures of RFC 6979 appendix A.2.5, with SHA-256.
func TestES256OfRFC6979(t *testing.T) {
	t.Parallel()
	key := rfc6979Key(t)
	for text, want := range map[string]string{
		"sample": "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" + "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
		"test":   "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367" + "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
	} {
		if got := hex.EncodeToString(must(token.SignText(key, text))); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// TestES256IsOfFixedLength finds signatures with a number that begins with zeros, which ASN.1 leaves out and RFC 7518
// section 3.4 does not.
func TestES256IsOfFixedLength(t *testing.T) {
	t.Parallel()
	key, public := rfc6979Key(t), privateOf(rfc6979Key(t)).Public()
	shortR, shortS := 0, 0
	for i := 0; shortR == 0 || shortS == 0; i++ {
		if i == 10_000 {
			t.Fatalf("of %d signatures %d have a short r and %d a short s", i, shortR, shortS)
		}
		text := strconv.Itoa(i)
		signature := must(token.SignText(key, text))
		if len(signature) != 64 {
			t.Fatalf("%q: %d bytes", text, len(signature))
		}
		if signature[0] != 0 && signature[32] != 0 {
			continue
		}
		if !bareVerify(public, text, signature) {
			t.Errorf("%q: crypto/ecdsa does not take the signature %x", text, signature)
		}
		if signature[0] == 0 {
			shortR++
		}
		if signature[32] == 0 {
			shortS++
		}
	}
}

// TestOneSignatureOfEachText holds what everybody takes who has the public key against what the ring takes: of ES256 and
// EdDSA the one signature that it makes itself.
func TestOneSignatureOfEachText(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		ring := ringOf(alg)
		raw := must(ring.Sign(sampleClaims()))
		signed := raw[:strings.LastIndexByte(raw, '.')]
		if again := string(bareSign(privateOf(ring.Signer()), signed)); raw != signed+"."+b64(again) {
			t.Errorf("%s: the standard library makes another signature", alg)
		}
		if err := token.VerifySignature(ring, raw); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}

	ring := ringOf(token.ES256)
	private := privateOf(ring.Signer()).(*ecdsa.PrivateKey)
	raw := must(ring.Sign(sampleClaims()))
	signed := raw[:strings.LastIndexByte(raw, '.')]
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*big.Int{"another one of the same key": s, "the second form of that": new(big.Int).Sub(private.Params().N, s)} {
		other := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		if err := jwt.SigningMethodES256.Verify(signed, other, private.Public()); err != nil {
			t.Fatalf("%s: golang-jwt refuses it: %v", name, err)
		}
		if _, err := newVerifier(t, nil).Verify(ring, signed+"."+b64(string(other))); !errors.Is(err, token.ErrSignature) || token.Proven(err) {
			t.Errorf("%s: got %v, want ErrSignature", name, err)
		}
	}
}

// TestSignaturesAreComparedInConstantTime looks into the source: the signature that is made to prove a token is a secret, and
// what is done with it besides the one comparison would be told by its time.
func TestSignaturesAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	file := must(parser.ParseFile(gotoken.NewFileSet(), "signature.go", nil, parser.SkipObjectResolution))
	used, compared := 0, 0
	for _, declared := range file.Decls {
		prove, ok := declared.(*ast.FuncDecl)
		if !ok || prove.Name.Name != "prove" {
			continue
		}
		ast.Inspect(prove.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if n.Name == "own" {
					used++
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "ConstantTimeCompare" {
					compared++
				}
			}
			return true
		})
	}
	if used != 2 || compared != 1 {
		t.Errorf("the signature is named %d times and compared in constant time %d times, want it made and compared", used, compared)
	}
}
