package integration

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// The form of a token.
var jwtFormIncidents = []incident{
	{name: "CVE-2025-30204 token of dots", shared: tokenOfDots},
	{name: "JWT JWE", shared: encryptedToken},
}

// golang-jwt cut a token at every dot: some sixteen bytes of memory for each byte that a client sends, who needs no
// credential for it. A token as long, without a dot, says what it costs to read one at all. Both are about as long as a
// header may be; what is longer, Caddy refuses.
//
// That it can fail was seen with strings.Split in the place where the token's dots are counted.
func tokenOfDots(t *testing.T, g *incidentSite) {
	const size = 12 << 10
	const rounds = 50
	asker := g.newKey(t, "prod")
	c := keepAlive(t)
	for name, ask := range map[string]func(text string) error{
		"a bearer": func(text string) error {
			status, err := send(c, http.MethodGet, g.URL(g.port, "/prod/api/x"), nil, nil, bearer(text))
			return wanted(http.StatusUnauthorized, status, err)
		},
		"introspection": func(text string) error {
			var told introspected
			form := url.Values{"token": {text}}
			status, err := send(c, http.MethodPost, g.URL(g.port, "/oauth/introspect"), form, &told, basic(asker.ID, asker.Secret))
			if told.Active {
				t.Error("introspection says that it is active")
			}
			return wanted(http.StatusOK, status, err)
		},
	} {
		allocated := func(text string) int {
			t.Helper()
			before := g.metric(t, "go_memstats_alloc_bytes_total")
			for range rounds {
				if err := ask(text); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			return int(g.metric(t, "go_memstats_alloc_bytes_total")-before) / rounds
		}
		letters := strings.Repeat("A", size)
		allocated(letters) // what is allocated once
		without, with := allocated(letters), allocated(strings.Repeat(".", size))
		figure(t, name+", bytes allocated for 12 KiB without dots", without)
		figure(t, name+", bytes allocated for 12 KiB of dots", with)
		if with > without+6*size {
			t.Errorf("%s of %d dots takes %d bytes, and one without %d", name, size, with, without)
		}
	}
	for _, text := range []string{".", "..", "...", strings.Repeat(".", 8<<10)} {
		g.wantNoToken(t, "only dots", text)
	}
	call(t, http.MethodGet, g.URL(g.port, "/prod/api/x"), nil, bearer(strings.Repeat(".", 512<<10))).Want(http.StatusRequestHeaderFieldsTooLarge)
	g.wantNothingPassed(t, "dots")
}

// An encrypted token has five parts. Whoever has the public key can encrypt, so that it decrypts says nothing about
// who it is from.
func encryptedToken(t *testing.T, g *incidentSite) {
	f := newForger(t, g)
	payload, err := base64.RawURLEncoding.DecodeString(f.payload)
	if err != nil {
		t.Fatal(err)
	}
	kid := f.header["kid"].(string)
	for _, content := range [][]byte{payload, []byte(f.good)} {
		for _, typ := range []jose.ContentType{"at+jwt", "JWT"} {
			options := new(jose.EncrypterOptions).WithType(typ)
			recipient := jose.Recipient{Algorithm: jose.ECDH_ES, Key: f.public, KeyID: kid}
			encrypter, err := jose.NewEncrypter(jose.A256GCM, recipient, options)
			if err != nil {
				t.Fatal(err)
			}
			encrypted, err := encrypter.Encrypt(content)
			if err != nil {
				t.Fatal(err)
			}
			text, err := encrypted.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(text, ".") != 4 {
				t.Fatalf("a JWE with %d dots", strings.Count(text, "."))
			}
			g.wantNoToken(t, "a JWE", text)
			// As a signed token with a header that says that it is encrypted.
			g.wantNoToken(t, "enc in the header", f.by(f.own, f.with(map[string]any{"alg": "ECDH-ES", "enc": "A256GCM"})))
			g.wantNoToken(t, "zip in the header", f.by(f.own, f.with(map[string]any{"zip": "DEF"})))
		}
	}
	// The other form of RFC 7515 has no dots to count.
	parts := strings.Split(f.good, ".")
	g.wantNoToken(t, "the JSON form", `{"protected":"`+parts[0]+`","payload":"`+parts[1]+`","signature":"`+parts[2]+`"}`)
}
