package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// errStoreEmpty says that a store which this node has used has nothing in it any more.
var errStoreEmpty = errors.New("the store is empty: it has lost what was in it, or is another one")

// Ready reports whether this node can decide on requests at this moment: it has opened the store
// with the right master secret and has signing keys; and either its knowledge is at most
// maxStaleness old, or the store answers now. The error says why not. It takes a little more
// than [keystore.ReadTimeout] at most.
//
// age is how old the node's knowledge is; known is false when it has none, also when it is ready
// because the store answers.
func (n *Node) Ready(ctx context.Context, maxStaleness time.Duration) (age time.Duration, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, keystore.ReadTimeout)
	defer cancel()
	age, known = n.View.Age()
	if !known {
		age = 0
	}
	// What the view has heard says nothing about the master secret; only what was read does.
	_, err = n.Ring(ctx, maxStaleness)
	if known && age <= maxStaleness {
		return age, known, err
	}
	initialized := false
	if err == nil {
		initialized, err = n.Initialized(ctx)
	}
	switch {
	case errors.Is(err, keystore.ErrUnavailable) && known:
		err = fmt.Errorf("this node has heard nothing of changes for %s: %w", age.Round(time.Second/10), err)
	case err == nil && !initialized:
		err = errStoreEmpty
	}
	return age, known, err
}
