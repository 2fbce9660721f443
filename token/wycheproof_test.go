package token_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/deploymentkeys/gateway/token"
)

// The test vectors of project Wycheproof, which collects the mistakes that implementations of
// signatures and JOSE have made. They are a Go module of 109 MB, which no program here needs: so it
// is not in go.mod. What go.mod and go.sum would pin, the version and the checksum, is here.
const (
	wycheproofModule  = "github.com/c2sp/wycheproof"
	wycheproofVersion = "v0.0.0-20260902155932-3fa63dd0344a"
	wycheproofSum     = "h1:pNbL2nztRsWfW/ispAwsvcDFxs9Id38uIsR2/Up5G2c="
)

// fetchWycheproof returns the directory of the module, which it downloads if the module cache does
// not have it.
var fetchWycheproof = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", wycheproofModule+"@"+wycheproofVersion)
	cmd.Dir = os.TempDir() // outside this module, whose go.mod and go.sum are to stay as they are
	// The checksum is compared below, as with a go.sum, so the checksum database need not be asked.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GONOSUMDB="+wycheproofModule)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()

	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(stdout, &module); err == nil {
		err = jsonErr
	}
	if err != nil {
		return "", errors.New(err.Error() + "\n" + module.Error + "\n" + stderr.String())
	}
	if module.Sum != wycheproofSum {
		return "", errors.New("its checksum is " + module.Sum + ", not " + wycheproofSum)
	}
	return module.Dir, nil
})

// readVectors reads one file of test vectors. It fails the test, and does not skip it, if there is
// none: vectors that are not run find nothing.
func readVectors(t *testing.T, file string, into any) {
	t.Helper()
	dir, err := fetchWycheproof()
	if err != nil {
		t.Fatalf("no test vectors: the Go module %s@%s is not in the module cache and cannot be downloaded: %v",
			wycheproofModule, wycheproofVersion, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "testvectors_v1", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// verdicts counts by algorithm and answer. The version of the vectors is pinned, so each number is
// known: a vector that is not run any more is missed.
type verdicts map[string]int

func (v verdicts) add(alg string, err error) {
	name := "another error"
	for sentinel, known := range map[error]string{
		nil: "accepted", token.ErrMalformed: "ErrMalformed", token.ErrAlgorithm: "ErrAlgorithm",
		token.ErrUnknownKey: "ErrUnknownKey", token.ErrSignature: "ErrSignature",
	} {
		if errors.Is(err, sentinel) {
			name = known
		}
	}
	v[alg+" "+name]++
}

func (v verdicts) compare(t *testing.T, want verdicts) {
	t.Helper()
	if !maps.Equal(v, want) {
		t.Errorf("got the verdicts\n%v, want\n%v", v, want)
	}
}

// notBase64 has the vectors that are called valid although they have a question mark in the header or
// the payload. RFC 7515 section 5.2 lets nobody decode them, and we do not.
var notBase64 = map[int]bool{372: true, 373: true}

// TestWycheproofJWS runs the vectors for JSON Web Signatures. None is an access token, so Verify
// refuses all of them. That the valid ones of our algorithms are refused for nothing but the missing
// typ is shown by leaving out that rule: with it gone each vector gets its own verdict.
//
// An algorithm that is none of ours is refused whatever the vector says. The vectors of a key that
// has no alg, or one that we do not have, are presented to a ring with another key of that ID; a
// SigningKey for them cannot be made.
func TestWycheproofJWS(t *testing.T) {
	t.Parallel()
	var file struct {
		Groups []struct {
			Comment string
			Private json.RawMessage
			Tests   []struct {
				ID           int `json:"tcId"`
				Comment, JWS string
				Result       string
			}
		} `json:"testGroups"`
	}
	readVectors(t, "json_web_signature_test.json", &file)

	v, got := newVerifier(t, nil), verdicts{}
	for _, group := range file.Groups {
		var jwk struct{ Alg, Kid string }
		if err := json.Unmarshal(group.Private, &jwk); err != nil {
			t.Fatalf("%s: %v", group.Comment, err)
		}
		alg, err := token.ParseAlgorithm(jwk.Alg)
		ours, key := err == nil, keys()[token.EdDSA] // which is the algorithm of no vector
		if ours {
			key = keyOfJWK(t, alg, group.Private)
		}
		ring := must(token.NewRing([]*token.SigningKey{token.WithID(key, jwk.Kid)}, jwk.Kid))

		for _, vector := range group.Tests {
			valid := vector.Result == "valid"
			if !valid && vector.Result != "invalid" {
				t.Fatalf("%d: no rule for the result %q", vector.ID, vector.Result)
			}
			if _, err := v.Verify(ring, vector.JWS); err == nil || token.Proven(err) || valid && !errors.Is(err, token.ErrMalformed) {
				t.Errorf("%d, %s: taken for an access token: %v", vector.ID, vector.Comment, err)
			}
			err := token.VerifySignature(ring, vector.JWS)
			got.add(cmp.Or(jwk.Alg, "no"), err)
			switch {
			case ours && (err == nil) != valid:
				t.Errorf("%d, %s: got %v, want %s", vector.ID, vector.Comment, err, vector.Result)
			case !ours && (err == nil || valid && !errors.Is(err, token.ErrAlgorithm) && !notBase64[vector.ID]):
				t.Errorf("%d, %s: got %v, want ErrAlgorithm", vector.ID, vector.Comment, err)
			}
		}
	}
	got.compare(t, verdicts{
		"ES256 accepted": 2, "ES256 ErrSignature": 27, "ES256 ErrMalformed": 8, "ES256 ErrUnknownKey": 1, "ES256 ErrAlgorithm": 1,
		"RS256 accepted": 8, "RS256 ErrSignature": 217, "RS256 ErrMalformed": 7, "RS256 ErrUnknownKey": 1,
		// Not ours.
		"HS256 ErrAlgorithm": 16, "HS256 ErrMalformed": 24,
		"RS384 ErrAlgorithm": 4, "RS512 ErrAlgorithm": 4, "ES521 ErrAlgorithm": 2,
		"PS256 ErrAlgorithm": 50, "PS384 ErrAlgorithm": 5, "PS512 ErrAlgorithm": 18, "PS512 ErrMalformed": 2,
		"no ErrAlgorithm": 4, // keys for encryption
	})
}

// keyOfJWK makes a signing key of a private JWK, by the way that a stored key takes.
func keyOfJWK(t *testing.T, alg token.Algorithm, data []byte) *token.SigningKey {
	t.Helper()
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(jwk.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.ParseKey(alg, start, der)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestWycheproofSignatures runs the vectors for the three signature algorithms themselves, in the
// form that RFC 7518 sections 3.3 and 3.4 and RFC 8037 section 3.1 give the signature. What the
// vectors call acceptable is refused: an old form of PKCS #1 v1.5 without the NULL.
func TestWycheproofSignatures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		alg  token.Algorithm
		file string
		want verdicts
	}{
		{token.ES256, "ecdsa_secp256r1_sha256_p1363_test.json", verdicts{"ES256 accepted": 173, "ES256 ErrSignature": 89}},
		{token.EdDSA, "ed25519_test.json", verdicts{"EdDSA accepted": 88, "EdDSA ErrSignature": 63}},
		{token.RS256, "rsa_signature_2048_sha256_test.json", verdicts{"RS256 accepted": 9, "RS256 ErrSignature": 250}},
		{token.RS256, "rsa_signature_4096_sha256_test.json", verdicts{"RS256 accepted": 7, "RS256 ErrSignature": 251}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			t.Parallel()
			var file struct {
				Groups []struct {
					PublicKeyDER string `json:"publicKeyDer"`
					Tests        []struct {
						ID      int `json:"tcId"`
						Comment string
						Msg     string
						Sig     string
						Result  string
					}
				} `json:"testGroups"`
			}
			readVectors(t, tc.file, &file)

			got := verdicts{}
			for _, group := range file.Groups {
				public, err := x509.ParsePKIXPublicKey(must(hex.DecodeString(group.PublicKeyDER)))
				if err != nil {
					t.Fatal(err)
				}
				for _, vector := range group.Tests {
					msg, sig := must(hex.DecodeString(vector.Msg)), must(hex.DecodeString(vector.Sig))
					err := token.VerifyBytes(tc.alg, public, string(msg), sig)
					got.add(string(tc.alg), err)
					if (err == nil) != (vector.Result == "valid") {
						t.Errorf("%d, %s: got %v, want %s", vector.ID, vector.Comment, err, vector.Result)
					}
				}
			}
			got.compare(t, tc.want)
		})
	}
}
