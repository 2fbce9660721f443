package redisstore_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// TestSlotIsMoved moves the slot of the store to another master, step by step. A call goes to
// where the keys are, or is refused as a whole.
func TestSlotIsMoved(t *testing.T) {
	t.Parallel()
	c := storetest.StartCluster(t)
	store := open(t, redisstore.Options{URL: c.URL(), Timeout: patient})
	var steps []keystore.Step
	for i := range 1500 {
		name := fmt.Sprintf("%04d", i)
		steps = append(steps, put("key/"+name, "value"), add("index", name))
	}
	steps = append(steps, add("of/0007", "m"), add("of/0008", "m"))
	apply(t, store, keystore.Change{Steps: steps, Event: []byte("one")})
	at := head(t, store)
	dropIndex := keystore.Change{
		Steps: []keystore.Step{{Kind: keystore.DropIndex, Name: "index", Prefix: "key/"}}, Event: []byte("dropped"),
	}
	removeFromEach := keystore.Change{
		Steps: []keystore.Step{{Kind: keystore.RemoveFromEach, Name: "index", Prefix: "of/", Member: "m"}}, Event: []byte("removed"),
	}

	from := c.Master(headKey)
	to := c.Nodes()[0]
	if to == from {
		to = c.Nodes()[1]
	}
	source, target := from.Client(), to.Client()
	slot := source.ClusterKeySlot(t.Context(), headKey).Val()
	do := func(client *redis.Client, args ...any) {
		t.Helper()
		if err := client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	do(target, "cluster", "setslot", slot, "importing", source.ClusterMyID(t.Context()).Val())
	do(source, "cluster", "setslot", slot, "migrating", target.ClusterMyID(t.Context()).Val())
	move := func(keys ...string) {
		t.Helper()
		args := []any{"migrate", "127.0.0.1", portOf(t, to), "", 0, 5000, "keys"}
		for _, key := range keys {
			args = append(args, key)
		}
		do(source, args...)
	}

	// Some records are on the other side: too many for a change of all of them.
	move("{deployment_keys}:r:key/0007", "{deployment_keys}:r:key/1400", "{deployment_keys}:i:of/0008")
	for _, change := range []keystore.Change{dropIndex, removeFromEach} {
		if err := store.Apply(t.Context(), change); !errors.Is(err, keystore.ErrUnavailable) {
			t.Errorf("Apply in the middle of the move: %v", err)
		}
	}
	if sizes, err := store.Sizes(t.Context(), "of/0007"); err != nil || sizes[0] != 1 {
		t.Errorf("a part of the change was made: %v, %v", sizes, err)
	}
	sizes, err := store.Sizes(t.Context(), "index")
	storetest.FailIf(t, err != nil || sizes[0] != 1500, "Sizes = %d, %v", sizes, err)
	for _, name := range []string{"key/0000", "key/0007", "key/1400", "key/1499"} { // the moved ones by ASK
		if values, err := store.Get(t.Context(), name); err != nil || string(values[0]) != "value" {
			t.Errorf("Get(%s) = %q, %v", name, values, err)
		}
	}
	wantLog(t, store, 0, "1 one")

	// All keys are on the other side, and the slot is not.
	for {
		keys := source.ClusterGetKeysInSlot(t.Context(), int(slot), 1000).Val()
		if len(keys) == 0 {
			break
		}
		move(keys...)
	}
	if values, err := store.Get(t.Context(), "key/0001"); err != nil || string(values[0]) != "value" {
		t.Errorf("Get by ASK = %q, %v", values, err)
	}
	if sizes, err := store.Sizes(t.Context(), "index", "none"); err != nil || sizes[0] != 1500 {
		t.Errorf("Sizes by ASK = %d, %v", sizes, err)
	}
	apply(t, store, keystore.Change{Steps: []keystore.Step{put("key/0001", "changed")}, Event: []byte("two")})
	entries, at, err := store.Next(t.Context(), at, time.Second)
	storetest.FailIf(t, err != nil || len(entries) != 1, "Next by ASK = %v, %v", entries, err)
	// Until the move is over, Redis refuses what is about several keys of which some are not there.
	if err := store.Apply(t.Context(), change()); !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "TRYAGAIN") {
		t.Errorf("Apply by ASK: %v", err)
	}

	// And the slot.
	for _, client := range []*redis.Client{target, source} {
		do(client, "cluster", "setslot", slot, "node", target.ClusterMyID(t.Context()).Val())
	}
	apply(t, store, dropIndex)
	if entries, _, err := store.Next(t.Context(), at, time.Second); err != nil || len(entries) != 1 {
		t.Errorf("Next by MOVED = %v, %v", entries, err)
	}
}

func portOf(t *testing.T, server *storetest.Redis) string {
	t.Helper()
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
