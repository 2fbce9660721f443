package admin

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// A rawStore is all that a database has of a store but its change log, read past the store: "record NAME" and
// "member INDEX MEMBER".
type rawStore func() (map[string]bool, error)

// openBolt opens an embedded store for each walk. What is in it is read from a copy of its file: between two changes that is
// whole, and the file itself is locked.
func openBolt(t *testing.T) func(*rapid.T) (keystore.Store, rawStore) {
	directory := t.TempDir()
	file, copied := filepath.Join(directory, "keys.db"), filepath.Join(directory, "copy.db")
	return func(rt *rapid.T) (keystore.Store, rawStore) {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			rt.Fatal(err)
		}
		store, err := boltstore.Open(file, boltstore.Options{Timeout: 10 * time.Second})
		if err != nil {
			rt.Fatal(err)
		}
		return store, func() (map[string]bool, error) {
			content, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(copied, content, 0o600); err != nil {
				return nil, err
			}
			return readBolt(copied)
		}
	}
}

func readBolt(file string) (map[string]bool, error) {
	db, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	found, sizes := map[string]bool{}, map[string]uint64{}
	err = db.View(func(tx *bolt.Tx) error {
		_ = tx.Bucket([]byte("records")).ForEach(func(name, _ []byte) error {
			found["record "+string(name)] = true
			return nil
		})
		_ = tx.Bucket([]byte("members")).ForEach(func(key, _ []byte) error {
			index, member, _ := bytes.Cut(key, []byte{0})
			found["member "+string(index)+" "+string(member)] = true
			sizes[string(index)]++
			return nil
		})
		// The sizes are kept apart from the members, and are to be theirs.
		return tx.Bucket([]byte("sizes")).ForEach(func(index, value []byte) error {
			var size uint64
			for _, b := range value {
				size = size<<8 | uint64(b)
			}
			if size != sizes[string(index)] {
				return fmt.Errorf("index %s has the size %d and %d members", index, size, sizes[string(index)])
			}
			return nil
		})
	})
	return found, err
}

// openRedis starts a Redis, and opens an empty store in it for each walk.
func openRedis(t *testing.T) func(*rapid.T) (keystore.Store, rawStore) {
	server := storetest.StartRedis(t)
	client := server.Client()
	return func(rt *rapid.T) (keystore.Store, rawStore) {
		if err := client.FlushAll(context.Background()).Err(); err != nil {
			rt.Fatal(err)
		}
		store, err := redisstore.Open(redisstore.Options{URL: server.SocketURL(), Timeout: 10 * time.Second})
		if err != nil {
			rt.Fatal(err)
		}
		const prefix = "{deployment_keys}"
		return store, func() (map[string]bool, error) {
			keys, err := client.Keys(context.Background(), "*").Result()
			if err != nil {
				return nil, err
			}
			found := map[string]bool{}
			for _, key := range keys {
				name := strings.TrimLeft(strings.TrimPrefix(key, prefix), ":")
				switch {
				case strings.HasPrefix(name, "r:"):
					found["record "+name[2:]] = true
				case strings.HasPrefix(name, "i:"):
					members, err := client.ZRange(context.Background(), key, 0, -1).Result()
					if err != nil {
						return nil, err
					}
					for _, member := range members {
						found["member "+name[2:]+" "+member] = true
					}
				case name != "log" && name != "head":
					found["key "+name] = true
				}
			}
			return found, nil
		}
	}
}
