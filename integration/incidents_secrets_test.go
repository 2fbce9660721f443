package integration

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// How secrets are checked and kept, and where they may be sent.
var secretIncidents = []incident{
	{name: "hydra#1438 secret cut off at 72 bytes", shared: wholeSecretCounts},
	{name: "hydra#1438 master secret cut off at 72 bytes", alone: wholeMasterSecretCounts},
	{name: "hydra#168 processor time goes into hashing", shared: cheapSecretCheck},
	{name: "keycloak#15567 secrets stored in clear", alone: secretsAtRest},
	{name: "Kong secrets in URLs", shared: secretsInURLs},
}

var secretAlphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// secretText is the text form of a secret of these random bytes, with the right checksum, which anybody can make.
func secretText(random []byte) string {
	const prefix = "dks_"
	sum := crc32.Update(crc32.ChecksumIEEE([]byte(prefix)), crc32.IEEETable, random)
	return prefix + secretAlphabet.EncodeToString(binary.BigEndian.AppendUint32(append([]byte{}, random...), sum))
}

// randomOf is what is in a secret's text form.
func randomOf(t *testing.T, secret string) []byte {
	t.Helper()
	decoded, err := secretAlphabet.DecodeString(strings.TrimPrefix(secret, "dks_"))
	if err != nil {
		t.Fatal(err)
	}
	random := decoded[:32]
	if secretText(random) != secret {
		t.Fatal("the form of secrets is not the one that this test knows")
	}
	return random
}

// bcrypt looks at 72 bytes: a longer secret was as good with anything behind them. Every byte of a secret counts here,
// and what is longer is another text. The changed ones have the right checksum, so that it is the hash that tells them apart.
func wholeSecretCounts(t *testing.T, g *incidentSite) {
	k := g.newKey(t, "prod")
	random := randomOf(t, k.Secret)
	g.token(t, k)
	wrong := func(what, secret string) {
		t.Helper()
		other := k
		other.Secret = secret
		wantRefusal(t, g.askToken(t, other), http.StatusUnauthorized, "invalid_client")
		answer := call(t, http.MethodGet, g.URL(g.port, basicRoute+"/prod/x"), nil, basic(k.ID, secret))
		if answer.Status != http.StatusUnauthorized {
			t.Errorf("%s is answered %d as a password", what, answer.Status)
		}
	}
	for i := range random {
		changed := append([]byte{}, random...)
		changed[i] ^= 1
		wrong(fmt.Sprintf("a secret with byte %d changed", i), secretText(changed))
	}
	for n := range k.Secret {
		wrong("the beginning of a secret", k.Secret[:n])
	}
	for _, more := range []string{"a", " ", "\x00", "=", strings.Repeat("a", 72-len(k.Secret)), strings.Repeat("a", 200), k.Secret} {
		wrong("a secret with more behind it", k.Secret+more)
	}
	wrong("a secret with 33 bytes", secretText(append(append([]byte{}, random...), 0)))
	wrong("a secret in capitals", strings.ToUpper(k.Secret))
	g.wantNothingPassed(t, "a wrong secret")
	g.token(t, k)
}

// The master secret may be of any length. Two that agree in their first 72 bytes, or in more, are two.
func wholeMasterSecretCounts(t *testing.T) {
	begin := strings.Repeat("0123456789abcdef", 16)
	s := store{options: "secret {env.DK_SECRET}", env: []string{"DK_SECRET=" + begin + "A"}}
	g := startSite(t, s)
	g.newDeployment(t, "dep1")
	token := g.token(t, g.newKey(t, "dep1"))
	g.Stop()
	for _, end := range []string{"B", "", "AA"} {
		other := store{options: s.options, env: []string{"DK_SECRET=" + begin + end}}
		wantStartError(t, newSite(t, other, withFolder(g.Dir())).gateway, "wrong master secret")
	}
	g.Start()
	g.get(t, "dep1", token).Want(http.StatusOK)
}

// Hydra spent 93 % of its processor time in bcrypt, which is made to be slow for passwords that people choose. A secret is
// 256 random bits, so nobody guesses it however quick the check is. What bcrypt would take is measured in the same
// process: Caddy checks the passwords of users with it, here at the least cost, which is 64 times less than the usual one.
func cheapSecretCheck(t *testing.T, g *incidentSite) {
	k, other := g.newKey(t, "prod"), g.newKey(t, "prod")
	g.token(t, k)
	c := keepAlive(t)
	cost := func(requests, want int, ask func() (int, error)) time.Duration {
		t.Helper()
		begin := processorTime(t, g.PID())
		for range requests {
			status, err := ask()
			if err := wanted(want, status, err); err != nil {
				t.Fatal(err)
			}
		}
		return (processorTime(t, g.PID()) - begin) / time.Duration(requests)
	}
	guess := 0 // Caddy remembers which passwords it has looked at
	slow := cost(20, http.StatusUnauthorized, func() (int, error) {
		guess++
		return send(c, http.MethodPost, g.URL(g.port, "/token"), nil, nil, basic("alice", strconv.Itoa(guess)))
	}) << (bcrypt.DefaultCost - bcrypt.MinCost)
	figure(t, "a request with bcrypt, processor time", slow)
	for name, took := range map[string]time.Duration{
		"a token request with the wrong secret": cost(100, http.StatusUnauthorized, func() (int, error) {
			_, status, err := g.fetchToken(c, key{ID: k.ID, Secret: other.Secret})
			return status, err
		}),
		"a token request": cost(100, http.StatusOK, func() (int, error) {
			_, status, err := g.fetchToken(c, k)
			return status, err
		}),
		"a request by Basic": cost(100, http.StatusOK, func() (int, error) {
			return send(c, http.MethodGet, g.URL(g.port, basicRoute+"/prod/x"), nil, nil, basic(k.ID, k.Secret))
		}),
	} {
		figure(t, name+", processor time", took)
		if took > slow/10 {
			t.Errorf("%s takes the gateway %s, and one with bcrypt %s", name, took, slow)
		}
	}
	g.to.take()
}

// processorTime is what a process has used, as Linux counts it: in hundredths of a second.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	// The name of the program, in parentheses, may have spaces in it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// Keycloak kept the secrets of clients as they are: a copy of its database is a copy of them. In what is left of a gateway
// there is no secret, in no encoding, and no hash of one that is computed without a key and could be looked up.
func secretsAtRest(t *testing.T) {
	onEachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1")
		token := g.token(t, k)
		rotated := g.rotate(t, k, map[string]any{"overlap": "1h"})
		g.get(t, "dep1", token).Want(http.StatusOK)
		g.get(t, "dep1", g.token(t, rotated)).Want(http.StatusOK)
		l := newLeaks()
		l.secret("an access token", token)
		for name, secret := range map[string]string{"the first secret": k.Secret, "the second secret": rotated.Secret} {
			l.secret(name, secret)
			for form, content := range map[string][]byte{"as text": []byte(secret), "as bytes": randomOf(t, secret)} {
				md5, sha1, sha256, sha512 := md5.Sum(content), sha1.Sum(content), sha256.Sum256(content), sha512.Sum512(content)
				for hash, sum := range map[string][]byte{"MD5": md5[:], "SHA-1": sha1[:], "SHA-256": sha256[:], "SHA-512": sha512[:]} {
					l.secret(name+" "+form+" by "+hash, string(sum))
				}
			}
		}
		if s.redis != nil {
			l.place("Redis", redisBytes(t, s))
			g.Restart() // what is left behind is there when it has ended
			l.place("Redis: after a restart", redisBytes(t, s))
		}
		g.Stop()
		readFiles(t, g.gateway, l)
		found := 0
		for place, content := range l.places {
			if strings.Contains(string(content), k.ID) && (strings.HasPrefix(place, "Redis") || strings.HasSuffix(place, "keys.db")) {
				found++
			}
		}
		if found == 0 {
			t.Error("the key is in no store: the test looks at the wrong thing")
		}
		l.check(t)
		for place, content := range l.places {
			if strings.Contains(string(content), "PRIVATE KEY") {
				t.Errorf("%s has a private key", place)
			}
		}
	})
}

// Kong takes keys from the query of a URL, and URLs get into logs, histories and referrers. Here a credential in a URL is
// none, the answer does not repeat it, and the gateway's own URLs have none.
func secretsInURLs(t *testing.T, g *incidentSite) {
	k := g.newKey(t, "prod")
	token := g.token(t, k)
	inQuery := url.Values{"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret}}.Encode()
	for _, request := range []struct {
		method, target string
		body           any
		statuses       []int
	}{
		{"POST", "/oauth/token?" + inQuery, url.Values{}, []int{400}},
		{"POST", "/oauth/token?" + inQuery, nil, []int{400}},
		{"POST", "/oauth/token?client_secret=" + k.Secret, url.Values{"grant_type": {"client_credentials"}, "client_id": {k.ID}}, []int{400}},
		{"GET", "/oauth/token?" + inQuery, nil, []int{405}},
		{"POST", "/oauth/revoke?token=" + token, url.Values{"client_id": {k.ID}, "client_secret": {k.Secret}}, []int{400}},
		{"POST", "/oauth/introspect?token=" + token, url.Values{"client_id": {k.ID}, "client_secret": {k.Secret}}, []int{400}},
		{"GET", "/prod/api/x?access_token=" + token, nil, []int{401}},
		{"GET", "/prod/api/x?apikey=" + k.Secret + "&key=" + k.Secret + "&token=" + token, nil, []int{401}},
		{"GET", basicRoute + "/prod/x?" + inQuery, nil, []int{401}},
		{"POST", "/prod/api/x", url.Values{"access_token": {token}}, []int{401}}, // RFC 6750 section 2.2
		{"GET", "/" + k.Secret + "/prod/api/x", nil, []int{401}},
	} {
		answer := call(t, request.method, g.URL(g.port, request.target), request.body).Want(request.statuses...)
		for _, secret := range []string{k.Secret, token} {
			if strings.Contains(string(answer.Body)+fmt.Sprint(answer.Header), secret) {
				t.Errorf("%s %s: the answer repeats it", request.method, strings.ReplaceAll(request.target, secret, "SECRET"))
			}
		}
		g.wantNothingPassed(t, request.method+" of a URL with a secret")
	}
	// The operator's, too: what is asked of a token or done with it is in the body.
	for _, path := range []string{"/tokens/revoke", "/tokens/introspect", "/tokens/explain"} {
		call(t, http.MethodPost, g.Admin(path+"?token="+token), nil).Want(http.StatusBadRequest, http.StatusUnsupportedMediaType)
	}
	made := call(t, http.MethodPost, g.Admin("/deployments/prod/keys"), map[string]string{"name": "CI"}).Want(http.StatusCreated)
	if location := made.Header.Get("Location"); location == "" || strings.Contains(location, "dks_") || strings.Contains(location, "?") {
		t.Errorf("the Location of a key is %q", location)
	}
	g.wantPasses(t, "prod", token)
}
