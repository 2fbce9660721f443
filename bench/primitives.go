package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/blake2b"
)

// primitives are what a token cannot do without, in microseconds: a signature, and the keyed hash of a secret.
type primitives struct {
	Signature map[string]float64 `json:"signature"` // by algorithm
	KeyedHash float64            `json:"keyed_hash"`
}

// measurePrimitives has another process measure them on the core of the servers: once a round, since the machine drifts.
func (b *bench) measurePrimitives(ctx context.Context) (p primitives, err error) {
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	out, err := b.run(ctx, "taskset", "--cpu-list", strconv.Itoa(serverCore), self, "-primitives")
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal([]byte(out), &p)
}

// printPrimitives is that process.
func printPrimitives() {
	text, err := json.Marshal(timePrimitives())
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Stdout.Write(text)
}

func timePrimitives() primitives {
	signed := make([]byte, 600) // as long as a token's header and claims
	onCurve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	withPrimes, _ := rsa.GenerateKey(rand.Reader, 2048)
	hash := make([]byte, blake2b.Size256)
	digest := func() []byte {
		sum := sha256.Sum256(signed)
		return sum[:]
	}
	return primitives{
		Signature: map[string]float64{
			"ES256": microseconds(func() { _, _ = ecdsa.SignASN1(rand.Reader, onCurve, digest()) }),
			"EdDSA": microseconds(func() { _ = ed25519.Sign(edwards, signed) }),
			"RS256": microseconds(func() { _, _ = rsa.SignPKCS1v15(nil, withPrimes, crypto.SHA256, digest()) }),
		},
		KeyedHash: microseconds(func() {
			h, err := blake2b.New256(hash)
			if err == nil {
				h.Write(signed[:32])
				hash = h.Sum(hash[:0])
			}
		}),
	}
}

// microseconds is how long something takes, on average over a tenth of a second.
func microseconds(do func()) float64 {
	do()
	count := 0
	begin := time.Now()
	for time.Since(begin) < 100*time.Millisecond {
		for range 10 {
			do()
		}
		count += 10
	}
	return float64(time.Since(begin).Nanoseconds()) / 1000 / float64(count)
}

// randomSecret is a master secret.
func randomSecret() string {
	secret := make([]byte, 32)
	rand.Read(secret)
	return base64.StdEncoding.EncodeToString(secret)
}
