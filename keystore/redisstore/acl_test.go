package redisstore_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// documented reads the rights that the documentation gives to a user: the words of the command
// that begins with ACL SETUSER and has a word in it.
func documented(t *testing.T, with string) []any {
	t.Helper()
	doc := storetest.Must(os.ReadFile("doc.go"))
	for _, block := range regexp.MustCompile(`(?m)^//\tACL SETUSER(.*\n)(?://\t  .*\n)*`).FindAllString(string(doc), -1) {
		if !strings.Contains(block, with) {
			continue
		}
		var words []any
		for _, word := range strings.Fields(strings.ReplaceAll(block, "//", "")) {
			words = append(words, strings.ReplaceAll(word, "PASSWORD", "p@ss"))
		}
		return words
	}
	t.Fatalf("no ACL SETUSER with %q is documented", with)
	return nil
}

// grant makes the documented user on a server, with further rights.
func grant(t *testing.T, server *storetest.Redis, words []any, more ...any) {
	t.Helper()
	storetest.OK(t, server.Client().Do(t.Context(), append(words[:len(words):len(words)], more...)...).Err())
}

// withUser puts the user into a URL.
func withUser(url string) string { return strings.Replace(url, "://", "://gateway:p%40ss@", 1) }

// everything makes all kinds of calls and gives back the errors.
func everything(ctx context.Context, store *redisstore.Store) error {
	var errs []error
	do := func(err error) { errs = append(errs, err) }
	do(store.Apply(ctx, keystore.Change{
		Conditions: []keystore.Condition{
			{Kind: keystore.RecordAbsent, Name: "none"},
			{Kind: keystore.SizeBelow, Name: "index", Limit: 100},
		},
		Steps: []keystore.Step{put("a", "1"), put("b", "2"), add("index", "a"), add("index", "b")},
		Event: []byte("one"),
	}))
	do(store.Apply(ctx, keystore.Change{
		Conditions: []keystore.Condition{
			{Kind: keystore.RecordExists, Name: "a"},
			{Kind: keystore.RecordEquals, Name: "a", Value: []byte("1")},
			{Kind: keystore.IsMember, Name: "index", Member: "a"},
		},
		Steps: []keystore.Step{
			{Kind: keystore.DeleteRecord, Name: "b"},
			{Kind: keystore.RemoveMember, Name: "index", Member: "b"},
			{Kind: keystore.RemoveFromEach, Name: "index", Prefix: "of/", Member: "m"},
			{Kind: keystore.DropIndex, Name: "index", Prefix: ""},
		},
		Event: []byte("two"),
	}))
	_, err := store.Get(ctx, "a")
	do(err)
	_, err = store.Get(ctx, "a", "b")
	do(err)
	_, err = store.Members(ctx, "index", "", 10)
	do(err)
	_, err = store.Sizes(ctx, "index")
	do(err)
	_, err = store.Log(ctx, 0, 10)
	do(err)
	_, err = store.Time(ctx)
	do(err)
	at, err := store.Head(ctx)
	do(err)
	_, _, err = store.Next(ctx, at, time.Millisecond)
	do(err)
	return errors.Join(errs...)
}

// TestLeastRights has the documented user do everything, and miss each single right.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	words := documented(t, "+xadd")
	grant(t, server, words)
	url := withUser(server.URL())
	if err := everything(t.Context(), open(t, redisstore.Options{URL: url, Timeout: patient})); err != nil {
		t.Errorf("the documented user cannot do everything: %v", err)
	}
	other := open(t, redisstore.Options{URL: url, Prefix: "other", Timeout: patient})
	if _, err := other.Get(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("the documented user reads other keys: %v", err)
	}
	client := server.Client()
	for _, word := range words {
		right, ok := strings.CutPrefix(word.(string), "+")
		if !ok {
			continue
		}
		grant(t, server, words, "-"+right)
		storetest.OK(t, client.ScriptFlush(t.Context()).Err())
		err := everything(t.Context(), open(t, redisstore.Options{URL: url, Timeout: patient}))
		storetest.FailIf(t, !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "can't run this command"), "without %s: %v", right, err)
	}

	// What is needed besides, for a database and for replicas.
	grant(t, server, words)
	for _, tt := range []struct {
		right string
		opts  redisstore.Options
	}{
		{"+select", redisstore.Options{URL: url + "/3"}},
		{"+wait", redisstore.Options{URL: url, Replicas: 1, ReplicaTimeout: time.Millisecond}},
	} {
		grant(t, server, words)
		tt.opts.Timeout = patient
		err := open(t, tt.opts).Apply(t.Context(), change())
		storetest.FailIf(t, err == nil || !strings.Contains(err.Error(), "NOPERM"), "without %s: %v", tt.right, err)
		grant(t, server, words, tt.right)
		err = open(t, tt.opts).Apply(t.Context(), change())
		storetest.FailIf(t, err != nil && !strings.Contains(err.Error(), "0 of 1"), "with %s: %v", tt.right, err)
	}
}

// TestLeastRightsElsewhere has the documented users by way of Sentinels and on a Cluster.
func TestLeastRightsElsewhere(t *testing.T) {
	t.Parallel()
	words := documented(t, "+xadd")
	t.Run("Sentinel", func(t *testing.T) {
		t.Parallel()
		s := storetest.StartSentinel(t, 1)
		for _, server := range s.Servers() {
			grant(t, server, words)
		}
		for _, sentinel := range s.Sentinels() {
			grant(t, sentinel, documented(t, "+sentinel|"))
		}
		url := withUser(s.URL()) + "?sentinel_username=gateway&sentinel_password=p%40ss"
		if err := open(t, redisstore.Options{URL: url, Timeout: patient}).Apply(t.Context(), change()); err == nil || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("without role: %v", err)
		}
		for _, server := range s.Servers() {
			grant(t, server, words, "+role")
		}
		if err := everything(t.Context(), open(t, redisstore.Options{URL: url, Timeout: patient})); err != nil {
			t.Errorf("the documented users cannot do everything: %v", err)
		}
		// The subscription, which no call shows.
		storetest.Poll(t, patient, "the store hears of a new master", func() bool {
			for _, sentinel := range s.Sentinels() {
				if refusals, err := sentinel.Client().Do(t.Context(), "acl", "log").Slice(); err != nil || len(refusals) > 0 {
					t.Fatalf("a Sentinel refused something: %v, %v", refusals, err)
				}
			}
			return s.Subscribers("gateway") > 0
		})
	})
	t.Run("Cluster", func(t *testing.T) {
		t.Parallel()
		c := storetest.StartCluster(t)
		for _, node := range c.Nodes() {
			grant(t, node, words)
		}
		url := withUser(c.URL())
		if err := open(t, redisstore.Options{URL: url, Timeout: patient}).Apply(t.Context(), change()); err == nil || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("without cluster|slots: %v", err)
		}
		for _, node := range c.Nodes() {
			grant(t, node, words, "+cluster|slots")
		}
		if err := everything(t.Context(), open(t, redisstore.Options{URL: url, Timeout: patient})); err != nil {
			t.Errorf("the documented user cannot do everything: %v", err)
		}
	})
}
