package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/crypto/blake2b"
)

func init() {
	caddy.RegisterModule(new(floor))
	httpcaddyfile.RegisterHandlerDirective("bench_floor", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		f := new(floor)
		if !h.Next() || !h.AllArgs(&f.Does, &f.Algorithm) {
			return nil, h.ArgErr()
		}
		return f, nil
	})
}

// A floor does with each request what cannot be done without, and hands it on: for a token that is issued one signature and
// one keyed hash, for one that is new the check of one signature. It is measured in a server under load, since beside a busy
// core all of that takes longer than alone.
type floor struct {
	Does      string `json:"does"`      // sign or verify
	Algorithm string `json:"algorithm"` // ES256, EdDSA or RS256

	do func(text []byte) error
}

func (*floor) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_floor", New: func() caddy.Module { return new(floor) }}
}

// algorithms are those of tokens, with nothing around them.
var algorithms = map[string]struct {
	hash   crypto.Hash // 0: the whole text is signed
	newKey func() (crypto.Signer, error)
	verify func(key crypto.PublicKey, text, signature []byte) bool
}{
	"ES256": {
		crypto.SHA256,
		func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
		func(key crypto.PublicKey, text, signature []byte) bool {
			digest := sha256.Sum256(text)
			return ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), digest[:], signature)
		},
	},
	"EdDSA": {
		0,
		func() (crypto.Signer, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		},
		func(key crypto.PublicKey, text, signature []byte) bool {
			return ed25519.Verify(key.(ed25519.PublicKey), text, signature)
		},
	},
	"RS256": {
		crypto.SHA256,
		func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		func(key crypto.PublicKey, text, signature []byte) bool {
			digest := sha256.Sum256(text)
			return rsa.VerifyPKCS1v15(key.(*rsa.PublicKey), crypto.SHA256, digest[:], signature) == nil
		},
	},
}

// Provision makes a key, and a signature to check.
func (f *floor) Provision(caddy.Context) error {
	algorithm, ok := algorithms[f.Algorithm]
	if !ok {
		return fmt.Errorf("no algorithm %q", f.Algorithm)
	}
	key, err := algorithm.newKey()
	if err != nil {
		return err
	}
	sign := func(text []byte) ([]byte, error) {
		if algorithm.hash == crypto.SHA256 {
			digest := sha256.Sum256(text)
			text = digest[:]
		}
		return key.Sign(rand.Reader, text, algorithm.hash)
	}
	switch f.Does {
	case "sign":
		f.do = func(text []byte) error {
			hash, err := blake2b.New256(text[:32])
			if err != nil {
				return err
			}
			hash.Write(text[:32])
			hash.Sum(text[:0])
			_, err = sign(text)
			return err
		}
	case "verify":
		signature, err := sign(make([]byte, textSize))
		if err != nil {
			return err
		}
		f.do = func(text []byte) error {
			if !algorithm.verify(key.Public(), text, signature) {
				return errors.New("the signature does not hold")
			}
			return nil
		}
	default:
		return fmt.Errorf("does not know how to %q", f.Does)
	}
	return nil
}

// textSize is as long as a token's header and claims.
const textSize = 600

func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	var text [textSize]byte
	if err := f.do(text[:]); err != nil {
		return err
	}
	return next.ServeHTTP(w, r)
}
