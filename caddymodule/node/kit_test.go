package node

import (
	"context"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// A testNode is a node on an embedded store in a directory of its own, with two Deployments and a key of dep1.
type testNode struct {
	*Node
	place Place
	key   keystore.Key
}

func newTestNode(t testing.TB) *testNode {
	t.Helper()
	n := &testNode{place: Place{Directory: t.TempDir()}}
	handle := NewHandle()
	var err error
	if n.Node, err = handle.Open(t.Context(), n.place, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handle.Close(true) })
	ctx, by := context.Background(), keystore.Caller{Name: "test"}
	for _, id := range []string{"dep1", "dep2"} {
		if _, err := n.Keys.CreateDeployment(ctx, by, keystore.Deployment{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	if n.key, _, err = n.Keys.CreateKey(ctx, by, keystore.Key{DeploymentID: "dep1", Name: "k"}); err != nil {
		t.Fatal(err)
	}
	return n
}
