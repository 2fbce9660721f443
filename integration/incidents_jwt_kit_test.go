package integration

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// A forger has a good token to start from, and the public keys, as everybody has.
type forger struct {
	t       *testing.T
	good    string
	header  map[string]any // of the good token
	payload string         // of the good token, encoded
	public  *ecdsa.PublicKey
	keySet  []byte
	own     *ecdsa.PrivateKey // a key of the forger's
}

func newForger(t *testing.T, g *incidentSite) *forger {
	t.Helper()
	f := &forger{t: t, good: g.token(t, g.newKey(t, "prod")), keySet: g.keySet(t)}
	g.wantPasses(t, "prod", f.good)
	encoded, rest, _ := strings.Cut(f.good, ".")
	f.payload, _, _ = strings.Cut(rest, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	if err == nil {
		err = json.Unmarshal(decoded, &f.header)
	}
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(f.keySet, &set); err != nil {
		t.Fatal(err)
	}
	f.public = set.Key(kidOf(t, f.good))[0].Key.(*ecdsa.PublicKey)
	if f.own, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	return f
}

// with is the header of the good token with members added, changed or, with the value nil, left out.
func (f *forger) with(members map[string]any) map[string]any {
	header := maps.Clone(f.header)
	maps.Copy(header, members)
	maps.DeleteFunc(header, func(_ string, value any) bool { return value == nil })
	return header
}

// unsigned is a header and the payload of the good token.
func (f *forger) unsigned(header map[string]any) string {
	f.t.Helper()
	encoded, err := json.Marshal(header)
	if err != nil {
		f.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(encoded) + "." + f.payload
}

// byHMAC signs with a secret as HS256 does.
func (f *forger) byHMAC(header map[string]any, secret []byte) string {
	f.t.Helper()
	text := f.unsigned(header)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// by signs with a private key as the gateway does with ES256.
func (f *forger) by(private *ecdsa.PrivateKey, header map[string]any) string {
	f.t.Helper()
	text := f.unsigned(header)
	sum := sha256.Sum256([]byte(text))
	der, err := private.Sign(nil, sum[:], crypto.SHA256) // nil: RFC 6979
	if err != nil {
		f.t.Fatal(err)
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		f.t.Fatal(err)
	}
	signature := append(pair.R.FillBytes(make([]byte, 32)), pair.S.FillBytes(make([]byte, 32))...)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// stolenKey is the private key that the gateway signs with. No forger has it: a token that it has signed shows that
// nothing but the one thing in it is what it is refused for.
func stolenKey(t *testing.T, g *incidentSite) *ecdsa.PrivateKey {
	t.Helper()
	stored := newRotator(t, g.store, token.ES256, 24*time.Hour).in(keystore.SigningKeySigning)
	private, err := x509.ParsePKCS8PrivateKey(stored.Private)
	if err != nil {
		t.Fatal(err)
	}
	return private.(*ecdsa.PrivateKey)
}

// wantForgeable holds that what the kit signs with the gateway's key is accepted, so that a refusal means something.
func (f *forger) wantForgeable(g *incidentSite, private *ecdsa.PrivateKey) {
	f.t.Helper()
	for range 2 { // the second signature is another text
		call(f.t, http.MethodGet, g.URL(g.port, "/prod/api/x"), nil, bearer(f.by(private, f.header))).Want(http.StatusOK)
		g.to.takeOne(f.t)
	}
}
