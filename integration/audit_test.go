package integration

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
)

// An auditEvent is what the tests look at of an entry of the audit log.
type auditEvent struct {
	Hash, Kind, Outcome, By, Via, Address, Deployment, Key, User string
	Handler, Error                                               string
	Set                                                          map[string]string
	Seq, Change, Count                                           uint64
	Fault                                                        string
}

// audit reads the audit log of a Deployment to its end, newest first.
func (s *site) audit(t *testing.T, deployment string) []auditEvent {
	t.Helper()
	var all []auditEvent
	for cursor := ""; ; {
		var page struct {
			Events []auditEvent
			Next   string `json:"next_cursor"`
		}
		call(t, http.MethodGet, s.Admin("/deployments/"+deployment+"/audit?limit=500"+cursor), nil).Want(http.StatusOK).JSON(&page)
		all = append(all, page.Events...)
		if page.Next == "" {
			return all
		}
		cursor = "&cursor=" + page.Next
	}
}

// changesOf are the changes of a Deployment, oldest first, each as "kind by".
func changesOf(events []auditEvent) []string {
	var kinds []string
	for _, event := range slices.Backward(events) {
		if event.Outcome == "done" {
			kinds = append(kinds, event.Kind+" "+event.By)
		}
	}
	return kinds
}

// wantAudit waits until the audit log of a Deployment has these changes.
func (s *site) wantAudit(t *testing.T, deployment string, want ...string) {
	t.Helper()
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("the audit log of %s has %q", deployment, got)
		}
	}()
	eventually(t, fmt.Sprintf("the audit log of %s has %q", deployment, want), func() bool {
		got = changesOf(s.audit(t, deployment))
		return slices.Equal(got, want)
	})
}

var auditHash = regexp.MustCompile(`^\{"hash":"([0-9a-f]{64})",`)

// checkAudit exports the audit log and checks the chain as anybody can, without a key. It returns the entries.
func (s *site) checkAudit(t *testing.T) []auditEvent {
	t.Helper()
	answer := call(t, http.MethodGet, s.Admin("/audit/export"), nil).Want(http.StatusOK)
	var all []auditEvent
	var next uint64
	var previous string
	if _, err := fmt.Sscanf(answer.Header.Get("Audit-First"), "%d %s", &next, &previous); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(answer.Body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		var event auditEvent
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum := sha256.Sum256([]byte(auditHash.ReplaceAllString(line, "{")))
		if event.Seq != next || event.Fault != "" || event.Hash != hex.EncodeToString(sum[:]) || !strings.Contains(line, `"previous_hash":"`+previous+`"`) {
			t.Fatalf("the chain is broken at %d: %s", next, line)
		}
		next, previous = next+1, event.Hash
		all = append(all, event)
	}
	if got, want := answer.Header.Get("Audit-Head"), fmt.Sprintf("%d %s", next-1, previous); got != want {
		t.Fatalf("the head is %s, and the export ends at %s", got, want)
	}
	return all
}

func TestAuditTellsWhoDidWhat(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1")
		token := g.token(t, k)
		g.patchKey(t, k, map[string]any{"scopes": []string{"deploy"}})
		call(t, http.MethodPut, g.Admin("/deployments/dep1/members/carol"), map[string]any{"role": "admin"}).Want(http.StatusOK)
		call(t, http.MethodGet, g.URL(g.port, "/dep2/api/v2/dags"), nil, bearer(token)).Want(http.StatusForbidden)
		g.askToken(t, key{ID: k.ID, Secret: keystore.NewSecret().Reveal()}).Want(http.StatusUnauthorized)
		// Of whose key a wrong secret is, is not known when the key is gone.
		eventually(t, "the refusals are entered", func() bool { return len(g.audit(t, "dep1")) == 6 })
		g.deleteKey(t, k)
		call(t, http.MethodGet, g.URL(g.port, "/dep1/api/v2/dags"), nil, bearer(token)).Want(http.StatusUnauthorized)
		changes := []string{"deployment.created admin", "key.created admin", "key.updated admin", "member.put admin", "key.deleted admin"}
		g.wantAudit(t, "dep1", changes...)

		refusals := map[string]bool{}
		eventually(t, "the refusals are entered", func() bool {
			for _, event := range g.audit(t, "dep1") {
				if event.Outcome == "refused" {
					refusals[event.Handler+" "+event.Error+" "+event.Key+" "+event.Address] = true
				}
				if event.Kind == "member.put" && (event.Set["role"] != "admin" || event.User != "carol" || event.Address != "127.0.0.1") {
					t.Errorf("a member is put by %+v", event)
				}
			}
			return len(refusals) == 3
		})
		for _, want := range []string{"auth insufficient_scope", "token invalid_client", "auth invalid_token"} {
			if !refusals[want+" "+k.ID+" 127.0.0.1"] {
				t.Errorf("%q is not among the refusals %v", want, refusals)
			}
		}

		g.deleteDeployment(t, "dep1")
		g.wantAudit(t, "dep1", append(changes, "deployment.deleted admin")...)
		call(t, http.MethodGet, g.Admin("/deployments/dep2/audit"), nil).Want(http.StatusNotFound)
		g.checkAudit(t)
		for _, secret := range []string{k.Secret, token} {
			if bytes.Contains(call(t, http.MethodGet, g.Admin("/audit/export"), nil).Body, []byte(secret)) {
				t.Error("the audit log has a secret or a token")
			}
		}
	})
}

// What was refused in the last second before the end, or before a reload, is entered too.
func TestAuditLosesNothingAtReloadAndStop(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := startSite(t, s)
		g.newDeployment(t, "dep1")
		k := g.newKey(t, "dep1")
		token := g.token(t, k)
		refused := func(path string) {
			call(t, http.MethodGet, g.URL(g.port, path), nil, bearer(token)).Want(http.StatusForbidden)
		}
		g.newDeployment(t, "dep2")
		g.newDeployment(t, "dep3")
		refused("/dep2/api/v2/dags")
		g.Reload(strings.Replace(tourCaddyfile(g.port, s), "issuer ", "audit_retention 24h\n\t\tissuer ", 1))
		refused("/dep3/api/v2/dags")
		g.newDeployment(t, "dep4")
		g.Restart()
		for id, want := range map[string]int{"dep2": 1, "dep3": 1, "dep4": 0} {
			eventually(t, "the audit log of "+id+" is whole", func() bool {
				events := g.audit(t, id)
				return len(events) == 1+want && len(changesOf(events)) == 1
			})
		}
		g.checkAudit(t)
	})
}

// All nodes write one audit log, while the changes are made on all of them, and one of them is killed.
func TestAuditOfManyNodesHasEveryChangeOnce(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	nodes := []*site{startSite(t, s), startSite(t, s), startSite(t, s)}
	nodes[0].newDeployment(t, "dep1")
	each := scaled(30, 300)
	var group sync.WaitGroup
	made := make([][]string, len(nodes))
	for n, node := range nodes {
		c := keepAlive(t)
		group.Go(func() {
			for i := range each {
				name := fmt.Sprintf("%d-%d", n, i)
				status, err := send(c, http.MethodPost, node.Admin("/deployments/dep1/keys"), map[string]any{"name": name}, nil)
				if err != nil {
					return // that node was killed
				}
				if status != http.StatusCreated {
					t.Errorf("a key on node %d: %d", n, status)
				}
				made[n] = append(made[n], name)
			}
		})
	}
	eventually(t, "changes are under way", func() bool { return len(nodes[1].audit(t, "dep1")) > 5 })
	nodes[2].Kill()
	group.Wait()
	times := map[string]int{}
	eventually(t, "every change is entered", func() bool {
		clear(times)
		for _, event := range nodes[0].audit(t, "dep1") {
			times[event.Set["name"]]++
		}
		return !slices.ContainsFunc(slices.Concat(made...), func(name string) bool { return times[name] == 0 })
	})
	for name, n := range times {
		if n != 1 {
			t.Errorf("%s is entered %d times", name, n)
		}
	}
	nodes[1].checkAudit(t)
}

// Whoever can write Redis can take entries out, and cannot hide it.
func TestAuditTamperedWithInRedisIsFound(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	g := startSite(t, s)
	for _, id := range []string{"dep1", "dep2", "dep3"} {
		g.newDeployment(t, id)
	}
	g.wantAudit(t, "dep3", "deployment.created admin")
	c := redis.NewClient(&redis.Options{Addr: s.redis.Addr()})
	defer c.Close()
	entries := c.Keys(t.Context(), "*audit/000000000000000*").Val()
	slices.Sort(entries)
	if len(entries) < 4 {
		t.Fatalf("Redis has %q", entries)
	}
	text := c.Get(t.Context(), entries[2]).Val()
	if err := c.Set(t.Context(), entries[2], strings.Replace(text, "admin", "carol", 1), 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Del(t.Context(), entries[3]).Err(); err != nil {
		t.Fatal(err)
	}
	body := string(call(t, http.MethodGet, g.Admin("/audit/export"), nil).Want(http.StatusOK).Body)
	for _, want := range []string{`{"seq":3,"fault":"altered"}`, `{"seq":4,"fault":"missing"}`} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("the export has not %s:\n%s", want, body)
		}
	}
	eventually(t, "the log says so", func() bool { return strings.Contains(g.Logs(), "entries of the audit log were removed or altered") })
	// It goes on.
	g.newDeployment(t, "dep4")
	g.wantAudit(t, "dep4", "deployment.created admin")
}

// How much later a change is in the audit log of another node.
func TestAuditFollowsChangesOnOtherNodes(t *testing.T) {
	t.Parallel()
	s := onRedis(t)
	a, b := startSite(t, s), startSite(t, s)
	a.newDeployment(t, "dep1")
	var took []time.Duration
	for i := range scaled(5, 50) {
		began := time.Now()
		a.newKey(t, "dep1")
		eventually(t, "the key is in the audit log", func() bool { return len(b.audit(t, "dep1")) == i+2 })
		took = append(took, time.Since(began))
	}
	figures(t, "a change is in the audit log after", took)
}
