package integration

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/token"
)

// explanation is what the command prints with --json.
type explanation struct {
	Verdict string
	Status  int
	Error   string
	Checks  []struct{ Check, Result, Detail string }
	Token   *struct{ Sub string }
}

// result is how a check came out, and what was said to it.
func (e explanation) result(check string) (result, detail string) {
	for _, c := range e.Checks {
		if c.Check == check {
			return c.Result, c.Detail
		}
	}
	return "", ""
}

// explain asks the command about a token.
func (s *site) explain(token string, arguments ...string) (stdout, stderr string, code int) {
	return s.Command(token+"\n", append([]string{"deployment-key", "explain"}, arguments...)...)
}

// signedInThePast is a token with the gateway's own signature that expired two hours ago. The gateway
// must be stopped.
func signedInThePast(t *testing.T, g *site, k key) string {
	t.Helper()
	master, err := os.ReadFile(dataFile(g.gateway, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := boltstore.Open(dataFile(g.gateway, "keys.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	stored, err := keystore.New(store, bytes.TrimSpace(master)).SigningKeys(t.Context())
	if err != nil || len(stored) != 1 {
		t.Fatalf("%d signing keys: %v", len(stored), err)
	}
	signing, err := token.ParseKey(token.ES256, stored[0].CreatedAt, stored[0].Private)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := token.NewRing([]*token.SigningKey{signing}, stored[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	expired := time.Now().Add(-2 * time.Hour)
	raw, err := ring.Sign(token.Claims{
		Issuer: "https://auth.example.com", Subject: k.ID, Audience: "astronomer-ee", ID: token.NewID(), ClientID: k.ID,
		Scope: allScopes, DeploymentID: k.DeploymentID, IssuedAt: expired.Add(-time.Hour), ExpiresAt: expired,
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestExplainCommand(t *testing.T) {
	t.Parallel()
	_, foreign := aKey(t)
	g := startSite(t, embedded(t))
	g.newDeployment(t, "dep1")
	k, gone, cut := g.newKey(t, "dep1"), g.newKey(t, "dep1"), g.newKey(t, "dep1")
	reader := g.newKey(t, "dep1", "airflow:read")
	g.Stop()
	expired := signedInThePast(t, g, k)
	g.Start()
	good, ofGone, ofCut, single, narrow := g.token(t, k), g.token(t, gone), g.token(t, cut), g.token(t, k), g.token(t, reader)
	g.deleteKey(t, gone)
	g.post(t, "/deployments/dep1/keys/"+cut.ID+"/revoke_tokens").Want(http.StatusNoContent)
	call(t, http.MethodPost, g.Admin("/tokens/revoke"), map[string]string{"token": single}).Want(http.StatusNoContent)

	for name, test := range map[string]struct {
		token     string
		arguments []string
		code      int
		check     string // that fails
		detail    string
		status    int
	}{
		"accepted":            {good, nil, 0, "", "", 0},
		"accepted, a request": {good, []string{"--deployment", "dep1", "--scope", "deploy", "--scope", "airflow:read"}, 0, "", "", 0},
		"another Deployment":  {good, []string{"--deployment", "dep2"}, 1, "deployment", "dep1", 403},
		"missing scope":       {narrow, []string{"--deployment", "dep1", "--scope", "airflow:read,deploy"}, 1, "scope", "deploy", 403},
		"expired":             {expired, nil, 1, "time", "expired", 401},
		"deleted key":         {ofGone, nil, 1, "holder", "deleted", 401},
		"revoked with others": {ofCut, nil, 1, "revocation", "all access tokens of its key were revoked", 401},
		"revoked alone":       {single, nil, 1, "revocation", "revoked", 401},
		"of another gateway":  {foreign, nil, 1, "signature", "", 401},
		"forged":              {good[:len(good)-4] + "AAAA", nil, 1, "signature", "", 401},
		"garbage":             {"garbage", nil, 1, "form", "", 401},
		"the key's secret":    {k.Secret, nil, 1, "form", "", 401},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := g.explain(test.token, append(test.arguments, "--json")...)
			var e explanation
			if err := json.Unmarshal([]byte(out), &e); err != nil {
				t.Fatalf("exit %d, %v: %s\n%s", code, err, out, errs)
			}
			if code != test.code || e.Status != test.status || (e.Verdict == "accepted") != (test.code == 0) || errs != "" {
				t.Errorf("exit %d, want %d, with status %d: %s\n%s", code, test.code, test.status, out, errs)
			}
			for _, check := range e.Checks {
				if failed := check.Result == "failed"; failed != (check.Check == test.check) {
					t.Errorf("%s is %s", check.Check, check.Result)
				}
			}
			if _, detail := e.result(test.check); test.check != "" && !strings.Contains(detail, test.detail) {
				t.Errorf("%s says %q, want %q", test.check, detail, test.detail)
			}
			if strings.Contains(out, test.token) {
				t.Error("the token is in the answer")
			}

			// The same for people.
			out, errs, code = g.explain(test.token, test.arguments...)
			if code != test.code || errs != "" || !strings.HasPrefix(out, "CHECK ") {
				t.Errorf("exit %d: %s\n%s", code, out, errs)
			}
			verdict := "\nVerdict: " + e.Verdict + ". A request with this token is "
			if !strings.Contains(out, verdict) || strings.Contains(out, test.token) {
				t.Errorf("the table does not say %q, or has the token in it:\n%s", verdict, out)
			}
			failed := 0
			for line := range strings.Lines(out) {
				if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "FAILED" {
					failed++
					if fields[0] != test.check || !strings.Contains(line, test.detail) {
						t.Errorf("the table says %q, want %s and %q", line, test.check, test.detail)
					}
				}
			}
			if failed != min(test.code, 1) {
				t.Errorf("%d lines say FAILED:\n%s", failed, out)
			}
		})
	}
	if logs := g.Logs(); strings.Contains(logs, good[strings.LastIndexByte(good, '.'):]) {
		t.Error("a token is in the gateway's log")
	}
}

func TestExplainCommandThatCannotAsk(t *testing.T) {
	t.Parallel()
	g := startSite(t, embedded(t))
	g.newDeployment(t, "dep1")
	raw := g.token(t, g.newKey(t, "dep1"))
	for name, test := range map[string]struct {
		stdin     string
		arguments []string
		says      string
	}{
		"token as an argument": {"", []string{raw}, "standard input"},
		"nothing":              {"", nil, "no token on standard input"},
		"blanks":               {" \n\t\n", nil, "no token on standard input"},
		"too long":             {strings.Repeat("a", 40<<10), nil, "longer than"},
		"unknown flag":         {raw, []string{"--token"}, "unknown flag"},
		"unknown scope":        {raw, []string{"--scope", "admin"}, "deploy, airflow:read, airflow:write"},
		"no Deployment's ID":   {raw, []string{"--deployment", "Dep 1"}, "DNS label"},
		"empty Deployment":     {raw, []string{"--deployment", ""}, "DNS label"},
		"nobody there":         {raw, []string{"--address", "127.0.0.1:1"}, "127.0.0.1:1"},
		"no address":           {raw, []string{"--address", "127.0.0.1:1-9"}, "invalid admin address"},
		"no configuration":     {raw, []string{"--config", "none.json"}, "none.json"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := g.Command(test.stdin, append([]string{"deployment-key", "explain"}, test.arguments...)...)
			if code != 2 || out != "" || !strings.HasPrefix(errs, "Error: ") || !strings.Contains(errs, test.says) || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit %d, want 2 and one line with %q: %s%s", code, test.says, out, errs)
			}
			if strings.Contains(errs, raw) {
				t.Error("the error shows the token")
			}
		})
	}
	for _, arguments := range [][]string{{"deployment-key", "unknown"}, {"deployment-secret", "unknown"}} {
		if out, errs, code := g.Command("", arguments...); code != 2 || !strings.HasPrefix(errs, "Error: ") {
			t.Errorf("%q: exit %d: %s%s", arguments, code, out, errs)
		}
	}
	for _, arguments := range [][]string{{"deployment-key"}, {"deployment-secret"}, {"help", "deployment-key", "explain"}, {"deployment-secret", "change", "--help"}} {
		if out, errs, code := g.Command("", arguments...); code != 0 || !strings.Contains(out, "Usage:") {
			t.Errorf("%q: exit %d: %s%s", arguments, code, out, errs)
		}
	}
}

// When the store cannot be asked, that is neither yes nor no.
func TestExplainCommandInAnOutage(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	s.options += "\n\t\tmax_staleness 1s"
	g := startSite(t, s)
	g.newDeployment(t, "dep1")
	raw := g.token(t, g.newKey(t, "dep1"))
	if out, errs, code := g.explain(raw); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	s.redis.Stop()
	eventually(t, "what the gateway knows is too old", func() bool {
		return g.get(t, "dep1", raw).Status == http.StatusServiceUnavailable
	})
	out, errs, code := g.explain(raw)
	if code != 2 || !strings.Contains(out, "UNKNOWN") || !strings.Contains(out, "Verdict: unknown. A request with this token is answered 503 temporarily_unavailable: ") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
