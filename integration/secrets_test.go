package integration

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// loud makes a config log all that it can, and count.
func loud(caddyfile string) string {
	caddyfile = strings.Replace(caddyfile, "{\n", "{\n\tdebug\n\tmetrics\n", 1)
	return strings.Replace(caddyfile, "deployment_token\n", "log\n\tdeployment_token\n", 1)
}

// leaks are the places in which secrets must not be.
type leaks struct {
	secrets map[string][]byte // what it is: the bytes to look for
	places  map[string][]byte
}

// keep adds an answer of the gateway, which the client may log.
func (l *leaks) keep(name string, answer reply) reply {
	l.places["answer to "+name] = append(fmt.Appendf(nil, "%v\n", answer.Header), answer.Body...)
	return answer
}

// add adds a secret, and what is in its text form.
func (l *leaks) add(name, secret string) {
	l.secrets[name] = []byte(secret)
	if text, ok := strings.CutPrefix(secret, "dks_"); ok {
		alphabet := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
		if random, err := alphabet.DecodeString(text); err == nil {
			l.secrets[name+", its random bytes"] = random[:32]
		}
	}
	if decoded, err := base64.StdEncoding.DecodeString(secret); err == nil {
		l.secrets[name+", its random bytes"] = decoded
		l.secrets[name+", in hexadecimal"] = fmt.Appendf(nil, "%x", decoded)
	}
}

func (l *leaks) check(t *testing.T) {
	t.Helper()
	for place, content := range l.places {
		for name, secret := range l.secrets {
			if at := bytes.Index(content, secret); at >= 0 {
				from, to := bytes.LastIndexByte(content[:at], '\n')+1, at
				t.Errorf("%s is in %s, after %.300q", name, place, content[from:to])
			}
		}
	}
}

func TestSecretsAreNowhere(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		port := freePort(t)
		g := &site{startGateway(t, loud(tourCaddyfile(port, s)), withEnv(s.env...)), port}
		l := &leaks{make(map[string][]byte), make(map[string][]byte)}
		g.newDeployment(t, "dep1")
		g.newDeployment(t, "dep2")
		k, deleted, reader := g.newKey(t, "dep1"), g.newKey(t, "dep1"), g.newKey(t, "dep2", "airflow:read")
		token, deletedToken, readerToken := g.token(t, k), g.token(t, deleted), g.token(t, reader)
		for name, secret := range map[string]string{
			"the secret of a key": k.Secret, "the secret of a deleted key": deleted.Secret, "the secret of a reader": reader.Secret,
			"an access token": token, "the token of a deleted key": deletedToken, "the token of a reader": readerToken,
			// Half a token that is shown is a token if the other half is shown elsewhere.
			"the signature of a token": token[strings.LastIndexByte(token, '.')+1:],
		} {
			l.add(name, secret)
		}
		g.deleteKey(t, deleted)
		useWellAndBadly(t, g, l, k, deleted, token, deletedToken, readerToken)

		// A restart reads what is stored, and a failed reload prints what Caddy made of the config.
		g.Restart()
		g.get(t, "dep1", token).Want(http.StatusOK)
		if err := g.TryReload(strings.Replace(tourCaddyfile(port, s), "issuer ", "token_lifetime 0\n\t\tissuer ", 1)); err == nil {
			t.Error("a reload with a bad config succeeded")
		} else {
			l.places["error of a reload"] = []byte(err.Error())
		}
		for _, path := range []string{"/config/", "/metrics", "/deployments", "/deployments/dep1/keys", "/deployments/dep1/keys/" + k.ID, "/debug/vars"} {
			l.keep(path, call(t, http.MethodGet, g.Admin(path), nil).Want(http.StatusOK))
		}

		master := s.master
		if s.redis == nil {
			content, err := os.ReadFile(dataFile(g.gateway, "secret"))
			if err != nil {
				t.Fatal(err)
			}
			master = strings.TrimSpace(string(content))
		} else {
			l.places["Redis"] = redisBytes(t, s)
		}
		l.add("the master secret", master)
		g.Stop()
		readFiles(t, g, l)
		l.places["the log"] = []byte(g.Logs())

		// What is looked for would be found: each place has what it should have.
		for place, want := range map[string]string{"the log": `"level":"debug"`, "answer to /config/": "deployment_auth", "answer to /metrics": "caddy_"} {
			if !bytes.Contains(l.places[place], []byte(want)) {
				t.Errorf("%s does not have %s: the test looks at the wrong thing", place, want)
			}
		}
		inStore := 0
		for place, content := range l.places {
			if bytes.Contains(content, []byte(reader.ID)) && (place == "Redis" || strings.HasSuffix(place, "keys.db")) {
				inStore++
			}
		}
		if inStore != 1 {
			t.Errorf("%d stores have the key ID, want 1: the test looks at the wrong thing", inStore)
		}
		l.check(t)
	})
}

// useWellAndBadly sends what clients send, also those that mix up what they were given.
func useWellAndBadly(t *testing.T, g *site, l *leaks, k, deleted key, token, deletedToken, readerToken string) {
	t.Helper()
	tokenURL, apiURL, deployURL := g.URL(g.port, "/oauth/token"), g.URL(g.port, "/dep1/api/x"), g.URL(g.port, "/deploy/dep1/x")
	form := func(pairs ...string) url.Values {
		values := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i < len(pairs); i += 2 {
			values[pairs[i]] = append(values[pairs[i]], pairs[i+1])
		}
		return values
	}
	id, secret := k.ID, k.Secret
	mistyped := secret[:len(secret)-1]
	l.add("a mistyped secret", mistyped)
	authorization := func(value string) requestOption { return header("Authorization", value) }
	for i, request := range []struct {
		method, target string
		body           any
		option         requestOption
		status         int
	}{
		{"POST", tokenURL, form("client_id", deleted.ID, "client_secret", deleted.Secret), nil, 401},
		{"POST", tokenURL, form("client_id", id, "client_secret", deleted.Secret), nil, 401},
		{"POST", tokenURL, form("client_id", id, "client_secret", mistyped), nil, 401},
		{"POST", tokenURL, form("client_id", secret, "client_secret", id), nil, 401},
		{"POST", tokenURL, form("client_id", secret), nil, 401},
		{"POST", tokenURL, form("client_id", id, "client_secret", secret, "client_secret", secret), nil, 400},
		{"POST", tokenURL, form("client_id", id, "client_secret", secret, "scope", secret), nil, 400},
		{"POST", tokenURL, form("client_id", id, "client_secret", secret, "audience", secret), nil, 400},
		{"POST", tokenURL, form("client_id", id, "client_secret", secret, "client_assertion", token), nil, 200},
		{"POST", tokenURL, url.Values{"grant_type": {secret}, "client_id": {id}, "client_secret": {secret}}, nil, 400},
		{"POST", tokenURL, form(), basic(id, secret), 200},
		{"POST", tokenURL, form(), basic(secret, id), 401},
		{"POST", tokenURL, form("client_secret", secret), basic(id, secret), 400},
		{"POST", tokenURL, form(), bearer(token), 401},
		{"POST", tokenURL, map[string]any{"client_id": id, "client_secret": []string{secret}}, nil, 400},
		{"POST", tokenURL, `{"client_id": "` + id + `", "client_secret": "` + secret, asJSON, 400},
		{"POST", tokenURL, `{"client_id": "` + id + `", "client_secret": ` + secret + `}`, asJSON, 400},
		{"POST", tokenURL, secret, header("Content-Type", "text/plain"), 400},
		{"GET", apiURL, nil, bearer(token), 200},
		{"POST", apiURL, nil, bearer(token), 200},
		{"GET", apiURL, nil, bearer(deletedToken), 401},
		{"GET", apiURL, nil, bearer(readerToken), 403},
		{"GET", g.URL(g.port, "/dep2/api/x"), nil, bearer(token), 403},
		{"POST", g.URL(g.port, "/dep2/api/x"), nil, bearer(readerToken), 403},
		{"GET", apiURL, nil, bearer(token[:len(token)-4] + "AAAA"), 401},
		{"GET", apiURL, nil, bearer(secret), 401},
		{"GET", apiURL, nil, bearer(id + ":" + secret), 400},
		{"GET", apiURL, nil, authorization(token), 400},
		{"GET", apiURL, nil, authorization(token + " x"), 400},
		{"GET", apiURL, nil, authorization(secret), 400},
		{"GET", apiURL, nil, authorization(secret + " " + id), 400},
		{"GET", apiURL, nil, authorization("Token " + token), 401},
		{"GET", apiURL, nil, basic(id, secret), 401},
		{"GET", g.URL(g.port, "/elsewhere"), nil, bearer(token), 404},
		{"GET", deployURL, nil, basic(id, secret), 200},
		{"GET", deployURL, nil, basic("cli", token), 200},
		{"GET", deployURL, nil, basic(id, deleted.Secret), 401},
		{"GET", deployURL, nil, basic(secret, id), 401},
		{"GET", deployURL, nil, basic(token, ""), 401},
		{"POST", g.Admin("/deployments/dep1/keys"), `{"name":"a","secret":"` + secret + `"}`, asJSON, 400},
		{"POST", g.Admin("/deployments/dep1/keys"), `{"name":"a","scopes":"` + secret + `"}`, asJSON, 400},
		{"POST", g.Admin("/deployments/dep1/keys"), `{"name":"a","scopes":["` + secret + `"]}`, asJSON, 400},
		{"PUT", g.Admin("/deployments/dep1/members/bob"), `{"role":"` + secret + `"}`, asJSON, 400},
		{"GET", g.Admin("/deployments/dep1/keys"), nil, basic(id, secret), 200},
		{"GET", g.Admin("/deployments/dep1/keys"), nil, bearer(token), 200},
	} {
		if request.option == nil {
			request.option = func(*http.Request) {}
		}
		answer := call(t, request.method, request.target, request.body, request.option)
		name := fmt.Sprintf("request %d to %s", i, request.target)
		if answer.Status != request.status {
			t.Errorf("%s: status %d, want %d", name, answer.Status, request.status)
		}
		var issued grant
		if answer.Status == http.StatusOK && json.Unmarshal(answer.Body, &issued) == nil && issued.AccessToken != "" {
			l.add("the token of "+name, issued.AccessToken) // the one answer that has it
			continue
		}
		l.keep(name, answer)
	}
}

// redisBytes is all that Redis would write to its disk, not compressed.
func redisBytes(t *testing.T, s store) []byte {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.redis.Addr()})
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "rdbcompression", "no").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	dir, err := client.ConfigGet(t.Context(), "dir").Result()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir["dir"], "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// readFiles adds all files that the gateway has left behind, but for the one that holds the master secret.
func readFiles(t *testing.T, g *site, l *leaks) {
	t.Helper()
	autosaves := 0
	err := filepath.WalkDir(g.Dir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || path == dataFile(g.gateway, "secret") {
			return err
		}
		if entry.Name() == "autosave.json" {
			autosaves++
		}
		content, err := os.ReadFile(path)
		l.places["the file "+path] = content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if autosaves != 1 {
		t.Errorf("there are %d autosave.json, want 1: the test looks at the wrong thing", autosaves)
	}
}
