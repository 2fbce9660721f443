package integration

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// An ending is a way to end the tokens of a key before they expire.
type ending struct {
	name string
	// end makes the change by way of a node, and returns when that has acknowledged it.
	end func(t *testing.T, c *http.Client, at *site, k key, token string)
	// Whether it ends other tokens of the same key as well.
	all bool
}

// endings are all there are, for keys.
var endings = []ending{
	{"RFC 7009 revocation", func(t *testing.T, c *http.Client, at *site, k key, token string) {
		t.Helper()
		status, err := send(c, http.MethodPost, at.URL(at.port, "/oauth/revoke"), url.Values{"token": {token}}, nil, basic(k.ID, k.Secret))
		if err := wanted(http.StatusOK, status, err); err != nil {
			t.Fatal(err)
		}
	}, false},
	{"revocation by the operator", func(t *testing.T, c *http.Client, at *site, _ key, token string) {
		t.Helper()
		postAdmin(t, c, at, "/tokens/revoke", map[string]string{"token": token})
	}, false},
	{"cutoff of a key", func(t *testing.T, c *http.Client, at *site, k key, _ string) {
		t.Helper()
		postAdmin(t, c, at, "/deployments/"+k.DeploymentID+"/keys/"+k.ID+"/revoke_tokens", nil)
	}, true},
	{"cutoff of a Deployment", func(t *testing.T, c *http.Client, at *site, k key, _ string) {
		t.Helper()
		postAdmin(t, c, at, "/deployments/"+k.DeploymentID+"/revoke_tokens", nil)
	}, true},
	{"cutoff of all tokens", func(t *testing.T, c *http.Client, at *site, _ key, _ string) {
		t.Helper()
		postAdmin(t, c, at, "/tokens/revoke_all", nil)
	}, true},
}

// postAdmin makes a change that is answered 204.
func postAdmin(t *testing.T, c *http.Client, at *site, path string, body any) {
	t.Helper()
	status, err := send(c, http.MethodPost, at.Admin(path), body, nil)
	if err := wanted(http.StatusNoContent, status, err); err != nil {
		t.Fatal(err)
	}
}

// Whatever ends a token on one node ends it on the other within the time that a deleted key takes; and a token that is
// issued after it, in the same second, is good on both.
func TestEndedTokenIsRefusedAtOnceOnOtherNodes(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a := oauthSite(t, s)
	b := nodeBeside(t, a, s)
	c := keepAlive(t)
	for _, way := range endings {
		t.Run(way.name, func(t *testing.T) { // one after the other: one of them ends everybody's tokens
			k := a.newKey(t, "dep1")
			var refused, accepted []time.Duration
			for range scaled(25, 200) {
				token, sibling := a.token(t, k), b.token(t, k)
				for _, g := range []*site{a, b} {
					g.get(t, "dep1", token).Want(http.StatusOK)
					g.get(t, "dep1", sibling).Want(http.StatusOK)
				}
				way.end(t, c, a, k, token)
				from := time.Now()
				var d deletion
				var done sync.WaitGroup
				done.Go(func() { d = untilRefused(b, c, "dep1", token, from) })
				// The node that made the change knows of it, and what it issues now is good, also where that is not known.
				after := a.token(t, k)
				wantRefusal(t, a.get(t, "dep1", token), http.StatusUnauthorized, "invalid_token")
				a.get(t, "dep1", after).Want(http.StatusOK)
				b.get(t, "dep1", after).Want(http.StatusOK)
				done.Wait()
				if d.err != nil {
					t.Fatal(d.err)
				}
				refused, accepted = append(refused, d.refused), append(accepted, d.accepted)
				wantSibling := http.StatusOK
				if way.all {
					wantSibling = http.StatusUnauthorized
				}
				there := b.token(t, k)
				for _, g := range []*site{a, b} {
					g.get(t, "dep1", sibling).Want(wantSibling)
					g.get(t, "dep1", after).Want(http.StatusOK)
					g.get(t, "dep1", there).Want(http.StatusOK)
					g.get(t, "dep1", token).Want(http.StatusUnauthorized)
				}
			}
			figures(t, way.name+", from the answer to the first 401 elsewhere", refused)
			figure(t, way.name+", last request accepted elsewhere", percentile(accepted, 1))
		})
	}
}

// What was ended stays so when no process is left that remembers it.
func TestEndedTokensStayDeadAfterARestart(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := oauthSite(t, s)
		c := keepAlive(t)
		ended := make(map[string]string, len(endings))
		k := g.newKey(t, "dep1")
		for _, way := range endings {
			token := g.token(t, k)
			g.get(t, "dep1", token).Want(http.StatusOK)
			way.end(t, c, g, k, token)
			ended[way.name] = token
		}
		alive := g.token(t, k)
		for _, how := range []string{"restart", "crash"} {
			if how == "restart" {
				g.Restart()
			} else {
				g.Kill()
				g.Start()
			}
			for name, token := range ended {
				if status := g.get(t, "dep1", token).Status; status != http.StatusUnauthorized {
					t.Errorf("after a %s, a token ended by %s: %d", how, name, status)
				}
			}
			g.get(t, "dep1", alive).Want(http.StatusOK)
			if live := g.introspect(t, k, ended["RFC 7009 revocation"]); live.Active {
				t.Errorf("after a %s, introspection says %+v of a revoked token", how, live)
			}
		}
	})
}

// Who has ended a token is told what became of it, and nobody is told whether somebody else's exists.
func TestRevocationOfWhatIsNoToken(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := oauthSite(t, s, "token_lifetime 2s")
		k := g.newKey(t, "dep1")
		expired := g.token(t, k)
		eventually(t, "the token expires", func() bool { return g.get(t, "dep1", expired).Status == http.StatusUnauthorized })
		for name, token := range map[string]string{
			"unknown": "unknown", "of another gateway": tampered(g.token(t, k)), "expired": expired, "the secret": k.Secret,
		} {
			t.Run(name, func(t *testing.T) {
				if answer := g.revoke(t, k, token).Want(http.StatusOK); string(answer.Body) != "{}\n" {
					t.Errorf("RFC 7009 section 2.2: the answer is %q", answer.Body)
				}
				// The operator, who is no stranger, is told that there was nothing to end.
				call(t, http.MethodPost, g.Admin("/tokens/revoke"), map[string]string{"token": token}).Want(http.StatusNotFound)
			})
		}
	})
}

// RFC 7662 section 4: a key learns of the tokens of its Deployment, also when another node has issued them or has heard
// of their end.
func TestIntrospectionOnEveryNode(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a := oauthSite(t, s)
	b := nodeBeside(t, a, s)
	k, asker, stranger := a.newKey(t, "dep1"), a.newKey(t, "dep1", "airflow:read"), a.newKey(t, "dep2")
	a.putMember(t, "dep1", "alice", "editor")
	token, ofAlice := a.token(t, k), a.userToken(t, "alice")
	for i, g := range []*site{a, b} {
		want := introspected{true, allScopes, k.ID, "", k.ID, "dep1"}
		if got := g.introspect(t, asker, token); got != want {
			t.Errorf("node %d says %+v, want %+v", i, got, want)
		}
		if got := g.introspect(t, stranger, token); got != (introspected{}) {
			t.Errorf("node %d says %+v to a key of another Deployment", i, got)
		}
		want = introspected{true, allScopes, users.ID, "alice", "alice", "dep1"}
		if got := g.introspect(t, asker, ofAlice); got != want {
			t.Errorf("node %d says %+v of a user's token, want %+v", i, got, want)
		}
		if got := g.introspect(t, stranger, ofAlice); got != (introspected{}) {
			t.Errorf("node %d says %+v of a user's token to a key of another Deployment", i, got)
		}
	}
	a.revoke(t, k, token).Want(http.StatusOK)
	a.deleteMember(t, "dep1", "alice")
	from := time.Now()
	for name, token := range map[string]string{"a revoked token": token, "a token of one who was a member": ofAlice} {
		eventually(t, name+" is inactive on the other node", func() bool { return !b.introspect(t, asker, token).Active })
	}
	if took := time.Since(from); took > promised {
		t.Errorf("the other node said that they are active for %s", took)
	}
}
