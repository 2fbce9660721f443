package node

import (
	"errors"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

func signer(t *testing.T, n *Node, maxStaleness time.Duration) string {
	t.Helper()
	ring, err := n.Ring(t.Context(), maxStaleness)
	if err != nil {
		t.Fatal(err)
	}
	return ring.Signer().ID()
}

// No request can make a signing key: what it asks for only reads.
func TestRingChangesNothing(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	for range 3 {
		if _, err := n.Ring(t.Context(), time.Minute); !errors.Is(err, keystore.ErrUnavailable) {
			t.Errorf("without a signing key: %v", err)
		}
	}
	if keys, err := n.Keys.SigningKeys(t.Context()); err != nil || len(keys) != 0 {
		t.Errorf("there are %d signing keys: %v", len(keys), err)
	}
	if err := n.Maintain(t.Context(), testPolicy); err != nil {
		t.Fatal(err)
	}
	signer(t, n.Node, time.Minute)
}

// A signing key that leaked and was replaced: a node that knows of it and cannot read the new ones must
// not go on with the old ones.
func TestReplacedSigningKeysAreNotTrustedInAnOutage(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	if err := n.Maintain(t.Context(), testPolicy); err != nil {
		t.Fatal(err)
	}
	before := signer(t, n.Node, time.Minute)
	if _, err := n.ReplaceSigningKeys(t.Context(), keystore.Caller{}, testPolicy); err != nil {
		t.Fatal(err)
	}
	n.signing.last.Store(&reloaded{time.Now(), keystore.ErrUnavailable}) // as if it had just failed
	if _, err := n.Ring(t.Context(), time.Minute); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("in the outage: %v", err)
	}
	n.signing.last.Store(nil)
	if after := signer(t, n.Node, time.Minute); after == before {
		t.Error("the key that was replaced still signs")
	}
}

// The same when the node does not receive changes at all: it asks, as for everything else.
func TestReplacedSigningKeysAreNotTrustedUnheard(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	if err := n.Maintain(t.Context(), testPolicy); err != nil {
		t.Fatal(err)
	}
	before := signer(t, n.Node, time.Nanosecond)
	n.View.Close() // it follows nothing any more
	if _, err := n.Keys.ReplaceSigningKeys(t.Context(), keystore.Caller{}, complete(testPolicy)); err != nil {
		t.Fatal(err)
	}
	if after := signer(t, n.Node, time.Nanosecond); after == before {
		t.Error("the key that was replaced still signs")
	}
}

func TestSigningKeysOfEachAlgorithm(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []token.Algorithm{token.ES256, token.EdDSA, token.RS256} {
		n := newTestNode(t)
		policy := testPolicy
		policy.Algorithm = string(algorithm)
		if err := n.Maintain(t.Context(), policy); err != nil {
			t.Fatal(err)
		}
		signer(t, n.Node, time.Minute)
	}
}
