package access

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/deploymentkeys/gateway/internal/propertytest"
	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/token"
)

// TestNodesWalk has two nodes change and ask at once, while their ways to the store are slow, cut, or lose answers, and
// holds each answer against what was really changed by then: what was ended on one node is refused there at once, on the
// other one as soon as that has heard of it, and never later than after max_staleness. Whoever cannot know says that. When
// the faults are over, both nodes know.
func TestNodesWalk(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	var counts walkCounts
	propertytest.Check(t, func(rt *rapid.T) {
		file := filepath.Join(directory, "keys.db")
		defer os.Remove(file)
		propertytest.InBubble(t, func() {
			w := newNodesWalk(rt, file, &counts)
			defer w.close()
			w.begins(t)
			rt.Repeat(w.actions())
			w.rest()
		})
	})
	t.Logf("answers: %d accepted, %d refused, %d unanswered", counts[accepted].Load(), counts[refused].Load(), counts[unknown].Load())
	for kind := range counts {
		if counts[kind].Load() == 0 {
			t.Errorf("no answer of kind %d in all walks: they show nothing", kind)
		}
	}
}

type walkCounts [3]atomic.Int64

var (
	walkDeployments = []string{"dep1", "dep2"}
	walkUsers       = []string{"bob", "carol"}
)

// mostCredentials bounds a walk.
const mostCredentials = 24

type nodesWalk struct {
	t            *rapid.T
	database     *walkDatabase
	nodes        []*walkNode
	maxStaleness time.Duration
	counts       *walkCounts
	running      sync.WaitGroup
	changes      int

	mu          sync.Mutex
	credentials []*walkCredential
	made        map[string]map[string]bool // by node: names of the changes that it has answered as made
	wrong       string                     // the first wrong answer
}

func newNodesWalk(rt *rapid.T, file string, counts *walkCounts) *nodesWalk {
	store, err := boltstore.Open(file, boltstore.Options{})
	if err != nil {
		rt.Fatal(err)
	}
	return &nodesWalk{t: rt, database: &walkDatabase{Store: store}, counts: counts, made: map[string]map[string]bool{}}
}

// begins starts the nodes, and makes what there is at first.
func (w *nodesWalk) begins(t *testing.T) {
	w.maxStaleness = rapid.SampledFrom([]time.Duration{time.Second, 3 * time.Second, 10 * time.Second}).Draw(w.t, "max_staleness")
	for _, name := range []string{"A", "B"} {
		w.nodes = append(w.nodes, newWalkNode(t, name, w.database, w.maxStaleness))
		w.made[name] = map[string]bool{}
	}
	for _, id := range walkDeployments {
		w.createDeployment(w.nodes[0], id)
		w.createKey(w.nodes[0], id)
	}
	w.running.Wait()
	for _, node := range w.nodes {
		if _, err := node.Ring(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *nodesWalk) close() {
	for _, node := range w.nodes {
		node.link.heal()
	}
	w.running.Wait()
	for _, node := range w.nodes {
		node.close()
	}
	if err := w.database.Store.Close(); err != nil {
		w.t.Error(err)
	}
}

// begin makes a change on a node, while other things go on. The change is named by its caller, so that it is known again in
// the log.
func (w *nodesWalk) begin(node *walkNode, change func(ctx context.Context, by keystore.Caller) error) {
	w.changes++
	by := keystore.Caller{Name: fmt.Sprintf("change %d", w.changes)}
	w.running.Go(func() {
		if err := change(context.Background(), by); err == nil {
			w.mu.Lock()
			w.made[node.name][by.Name] = true
			w.mu.Unlock()
		}
	})
}

func (w *nodesWalk) add(c *walkCredential) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.credentials) < mostCredentials {
		c.name = fmt.Sprintf("%s %d", c.name, len(w.credentials))
		w.credentials = append(w.credentials, c)
	}
}

// seqOf is the number of a change that was made.
func (w *nodesWalk) seqOf(by keystore.Caller) uint64 {
	for _, change := range w.database.made() {
		if change.By == by.Name {
			return change.seq
		}
	}
	return 0
}

func (w *nodesWalk) createDeployment(node *walkNode, id string) {
	w.begin(node, func(ctx context.Context, by keystore.Caller) error {
		_, err := node.node.Keys.CreateDeployment(ctx, by, keystore.Deployment{ID: id, Name: id})
		return err
	})
	w.running.Wait() // keys come after it
}

func (w *nodesWalk) createKey(node *walkNode, deployment string) {
	began := time.Now()
	w.begin(node, func(ctx context.Context, by keystore.Caller) error {
		key, secret, err := node.node.Keys.CreateKey(ctx, by, keystore.Key{DeploymentID: deployment, Name: "k"})
		if err == nil {
			w.add(&walkCredential{
				name: "secret", deployment: deployment, key: key.ID, secret: secret.Reveal(),
				began: began, made: time.Now(), seq: w.seqOf(by),
			})
		}
		return err
	})
}

// one draws a credential.
func (w *nodesWalk) one(rt *rapid.T, which func(*walkCredential) bool) *walkCredential {
	w.mu.Lock()
	var some []*walkCredential
	for _, c := range w.credentials {
		if which(c) {
			some = append(some, c)
		}
	}
	w.mu.Unlock()
	if len(some) == 0 {
		rt.Skip()
	}
	return some[rapid.IntRange(0, len(some)-1).Draw(rt, "credential")]
}

func isSecret(c *walkCredential) bool { return c.secret != "" }
func isToken(c *walkCredential) bool  { return c.raw != "" }

func (w *nodesWalk) node(rt *rapid.T) *walkNode {
	return w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(rt, "node")]
}

// exchange gets an access token for a secret.
func (w *nodesWalk) exchange(node *walkNode, c *walkCredential) {
	w.running.Go(func() {
		began := time.Now()
		q := w.question(node, c)
		key, _, err := node.authenticate(context.Background(), c.key, c.secret)
		raw := ""
		if err == nil {
			raw, _, err = node.issue(context.Background(), key, "astronomer-ee", key.Scopes)
		}
		q.answer = accepted
		switch {
		case errors.Is(err, keystore.ErrUnavailable):
			q.answer = unknown
		case err != nil:
			q.answer, q.reason = refused, err.Error()
		}
		w.judge(q, (*question).wrong)
		if raw != "" {
			w.addToken(node, &walkCredential{name: "token", deployment: c.deployment, key: c.key, raw: raw, began: began})
		}
	})
}

func (w *nodesWalk) userToken(node *walkNode, user, deployment string) {
	w.running.Go(func() {
		began := time.Now()
		if raw, err := node.IssueForUser(context.Background(), user); err == nil {
			w.addToken(node, &walkCredential{name: "token of " + user, deployment: deployment, user: user, raw: raw, began: began})
		}
	})
}

func (w *nodesWalk) addToken(node *walkNode, c *walkCredential) {
	c.made = time.Now()
	said, err := token.Peek(c.raw) // which asks nobody
	if err != nil {
		w.fail("a token that was just issued cannot be read: " + err.Error())
		return
	}
	c.jti = said.Claims.ID
	w.add(c)
}

// question begins a question.
func (w *nodesWalk) question(node *walkNode, c *walkCredential) *question {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := &question{node: node, credential: c, at: time.Now(), own: map[string]bool{}}
	for by := range w.made[node.name] {
		q.own[by] = true
	}
	if stats := node.node.View.Stats(); stats.Heard {
		node.heard = max(node.heard, stats.Seq)
	}
	q.heard = node.heard
	return q
}

// ask asks a node about a credential, as a request to an upstream does.
func (w *nodesWalk) ask(node *walkNode, c *walkCredential, wrong func(*question, []walkChange, time.Duration) string) {
	w.running.Go(func() {
		q := w.question(node, c)
		cred := credential{bearer: c.raw}
		if c.secret != "" {
			cred = credential{keyID: c.key, secret: c.secret, basic: true}
		}
		_, refusal := node.identify(context.Background(), cred, c.deployment)
		switch {
		case refusal == nil:
			q.answer = accepted
		case refusal.Code == CodeUnavailable:
			q.answer, q.reason = unknown, fmt.Sprint(refusal.Cause)
		default:
			q.answer, q.reason = refused, refusal.Description
		}
		w.judge(q, wrong)
	})
}

func (w *nodesWalk) judge(q *question, wrong func(*question, []walkChange, time.Duration) string) {
	w.counts[q.answer].Add(1)
	if what := wrong(q, w.database.made(), w.maxStaleness); what != "" {
		w.fail(what)
	}
}

func (w *nodesWalk) fail(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong == "" {
		w.wrong = what
	}
}

func (w *nodesWalk) check(rt *rapid.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong != "" {
		rt.Fatal(w.wrong)
	}
}

// askAll asks all nodes about all credentials.
func (w *nodesWalk) askAll(wrong func(*question, []walkChange, time.Duration) string) {
	w.mu.Lock()
	credentials := slices.Clone(w.credentials)
	w.mu.Unlock()
	for _, c := range credentials {
		for _, node := range w.nodes {
			w.ask(node, c, wrong)
		}
	}
}

// rest ends all faults, and looks at what the nodes know then.
func (w *nodesWalk) rest() {
	for _, node := range w.nodes {
		node.link.heal()
	}
	w.running.Wait()
	time.Sleep(4*w.maxStaleness + 10*time.Second) // until what was sent late is done, and all have heard of it
	w.check(w.t)
	w.askAll((*question).wrongAtRest)
	w.running.Wait()
	w.check(w.t)
}
