package keystore_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// A read whose answer has come before the process stood still for longer than the view may be old, and that ends when
// another question waits already. The key was deleted in between, and nobody has heard of it.
func TestReadFromLongAgoIsNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newViewKit(t)
		key, _ := k.key()
		unreachable := fmt.Errorf("%w: cut off", keystore.ErrUnavailable)
		k.store.nextErr.Store(&unreachable)
		storetest.Poll(t, time.Minute, "the follower to fail", func() bool { return k.Stats().FollowErrors > 0 })
		goOn, answered := k.holdRead(k.ctx(), key.ID)
		ok(t, k.other.DeleteKey(k.ctx(), by, "dep1", key.ID))
		time.Sleep(2 * maxAge) // in the bubble
		<-answered
		asked := make(chan error, 1)
		go func() {
			_, err := k.Key(k.ctx(), key.ID, maxAge)
			asked <- err
		}()
		synctest.Wait()
		close(goOn)
		if err := <-asked; err == nil {
			t.Errorf("a key that was deleted %s ago is there", 2*maxAge)
		}
		synctest.Wait()
		k.wantKey(key.ID, keystore.ErrNotFound)
	})
}
