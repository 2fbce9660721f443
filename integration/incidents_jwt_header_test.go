package integration

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// What the header of a token says, before anything of it is proven.
var jwtHeaderIncidents = []incident{
	{name: "JWT alg none", shared: algorithmNone},
	{name: "JWT alg of the header", shared: algorithmOfHeader},
	{name: "CVE-2026-48526 HMAC with the public key", shared: publicKeyAsSecret},
	{name: "JWT crit that is not understood", shared: criticalHeader},
	{name: "JWT jku x5u jwk in the header", shared: keyInHeader},
	{name: "JWT empty key", shared: emptyKey},
	{name: "JWT kid as a path", shared: keyIDAsPath},
}

// A token that says of itself that it is not signed was believed.
func algorithmNone(t *testing.T, g *incidentSite) {
	f := newForger(t, g)
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		unsigned := f.unsigned(f.with(map[string]any{"alg": alg}))
		g.wantNoToken(t, "alg "+alg+" without a signature", unsigned+".")
		g.wantNoToken(t, "alg "+alg+" without the last dot", unsigned)
		g.wantNoToken(t, "alg "+alg+" with a signature", f.by(f.own, f.with(map[string]any{"alg": alg})))
	}
	g.wantNoToken(t, "no alg", f.unsigned(f.with(map[string]any{"alg": nil}))+".")
}

// The algorithm is a property of the key, not a wish of the sender. The token is signed with the gateway's own key: what
// it is refused for is the algorithm that it names.
func algorithmOfHeader(t *testing.T, g *incidentSite) {
	f, private := newForger(t, g), stolenKey(t, g)
	f.wantForgeable(g, private)
	for _, alg := range []any{"ES384", "ES512", "ES256K", "EdDSA", "RS256", "PS256", "HS256", "HS512", "es256", "ES256 ", []string{"ES256"}, 256} {
		g.wantNoToken(t, "another alg", f.by(private, f.with(map[string]any{"alg": alg})))
	}
}

// PyJWT took a public key for the secret of an HMAC when the header said HS256. The public key is no secret: here it is
// fetched from the gateway, and tried in each form that it can be had in.
func publicKeyAsSecret(t *testing.T, g *incidentSite) {
	f := newForger(t, g)
	der, err := x509.MarshalPKIXPublicKey(f.public)
	if err != nil {
		t.Fatal(err)
	}
	point, err := f.public.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: f.public})
	if err != nil {
		t.Fatal(err)
	}
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for form, secret := range map[string][]byte{
		"DER": der, "PEM": inPEM, "PEM without the last line break": inPEM[:len(inPEM)-1],
		"the key set": f.keySet, "the JWK": jwk, "the point": point, "x of the point": point[1:33], "the kid": []byte(f.header["kid"].(string)),
	} {
		for _, alg := range []string{"HS256", "hs256", "ES256"} {
			g.wantNoToken(t, form+" as the secret of "+alg, f.byHMAC(f.with(map[string]any{"alg": alg}), secret))
		}
	}
}

// RFC 7515 section 4.1.11: who does not understand what crit names must refuse the token. Libraries ignored it. The
// tokens are signed with the gateway's own key, so that there is nothing else to refuse them for.
func criticalHeader(t *testing.T, g *incidentSite) {
	f, private := newForger(t, g), stolenKey(t, g)
	f.wantForgeable(g, private)
	for name, members := range map[string]map[string]any{
		"unknown":          {"crit": []string{"https://example.com/bound-to"}, "https://example.com/bound-to": "10.0.0.1"},
		"unknown, absent":  {"crit": []string{"nowhere"}},
		"unencoded":        {"crit": []string{"b64"}, "b64": false},
		"known":            {"crit": []string{"alg"}},
		"empty":            {"crit": []string{}},
		"no list":          {"crit": "exp"},
		"b64 without crit": {"b64": false},
	} {
		g.wantNoToken(t, "crit "+name, f.by(private, f.with(members)))
	}
}

// The header brings the key along, or says where to fetch it, and servers fetched it. Nobody comes to fetch it here.
func keyInHeader(t *testing.T, g *incidentSite) {
	f, private := newForger(t, g), stolenKey(t, g)
	f.wantForgeable(g, private)
	own := jose.JSONWebKey{Key: f.own.Public(), KeyID: f.header["kid"].(string), Algorithm: "ES256", Use: "sig"}
	ownSet, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{own}})
	if err != nil {
		t.Fatal(err)
	}
	var fetched atomic.Int32
	lair := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(ownSet)
	}))
	defer lair.Close()
	der, err := x509.MarshalPKIXPublicKey(f.own.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, members := range map[string]map[string]any{
		"jwk":          {"jwk": own},
		"jwk, no kid":  {"jwk": own, "kid": nil},
		"jku":          {"jku": lair.URL + "/jwks.json"},
		"jku, own kid": {"jku": lair.URL + "/jwks.json", "kid": "own"},
		"jku as kid":   {"kid": lair.URL + "/jwks.json"},
		"x5u":          {"x5u": lair.URL + "/cert.pem"},
		"x5c":          {"x5c": []string{base64.StdEncoding.EncodeToString(der)}},
		"own kid":      {"kid": "own"},
		"nothing":      nil,
	} {
		g.wantNoToken(t, name+" of the forger", f.by(f.own, f.with(members)))
		if name != "nothing" {
			// Beside a true signature too: what is not understood is not skipped.
			g.wantNoToken(t, name+" with the gateway's signature", f.by(private, f.with(members)))
		}
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("the gateway has fetched the forger's keys %d times", n)
	}
}

// A key that was not found was an empty one, with which anybody can sign.
func emptyKey(t *testing.T, g *incidentSite) {
	f := newForger(t, g)
	for _, kid := range []any{f.header["kid"], "", nil, "unknown", 0} {
		for name, secret := range map[string][]byte{"empty": {}, "NUL": {0}, "32 of NUL": make([]byte, 32)} {
			g.wantNoToken(t, "a secret that is "+name, f.byHMAC(f.with(map[string]any{"alg": "HS256", "kid": kid}), secret))
			g.wantNoToken(t, "a secret that is "+name+", as ES256", f.byHMAC(f.with(map[string]any{"kid": kid}), secret))
		}
		header := f.with(map[string]any{"kid": kid})
		g.wantNoToken(t, "a signature of zeros", f.unsigned(header)+"."+base64.RawURLEncoding.EncodeToString(make([]byte, 64)))
		g.wantNoToken(t, "an empty signature", f.unsigned(header)+".")
	}
}

// The key was read from the file that kid names, of which the forger knows what is in it. The gateway's own files are
// tried too: one that the forger has a copy of, beside its store.
func keyIDAsPath(t *testing.T, g *incidentSite) {
	f := newForger(t, g)
	der, err := x509.MarshalPKIXPublicKey(f.own.Public())
	if err != nil {
		t.Fatal(err)
	}
	planted := filepath.Join(g.Dir(), "planted.pem")
	content := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	writeTestFile(t, planted, content)
	for _, kid := range []string{
		planted, "file://" + planted, "planted.pem", "./planted.pem", "../planted.pem", "../../../../../../../.." + planted,
		f.header["kid"].(string) + "/../" + planted, f.header["kid"].(string) + "\x00", "/dev/null", "../../../../../../../dev/null",
		"{file." + planted + "}", "' UNION SELECT '' --", "{deployment_keys}:r:root",
	} {
		header := f.with(map[string]any{"kid": kid})
		g.wantNoToken(t, "a key in a file", f.by(f.own, header))
		header["alg"] = "HS256"
		g.wantNoToken(t, "a file as the secret", f.byHMAC(header, []byte(content)))
		g.wantNoToken(t, "an empty file as the secret", f.byHMAC(header, nil))
	}
}
