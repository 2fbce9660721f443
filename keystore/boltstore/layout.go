package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// The buckets of the file.
var (
	bucketFormat  = []byte("format")  // "version": which layout this is
	bucketRecords = []byte("records") // name: bytes
	bucketMembers = []byte("members") // index NUL member: nothing
	bucketSizes   = []byte("sizes")   // index: how many members, 8 bytes big-endian; none for 0
	bucketLog     = []byte("log")     // number, 8 bytes big-endian: event; the bucket's sequence is the last number
)

var (
	keyVersion    = []byte("version")
	formatVersion = []byte("1")
)

// layOut makes the buckets of a new file, and refuses a file that is not ours before anything is
// written to it.
func layOut(tx *bolt.Tx) error {
	buckets := [][]byte{bucketFormat, bucketRecords, bucketMembers, bucketSizes, bucketLog}
	err := tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		for _, ours := range buckets {
			if bytes.Equal(name, ours) {
				return nil
			}
		}
		return fmt.Errorf("it is the database of another program: it has a bucket %q", name)
	})
	if err != nil {
		return err
	}
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	format := tx.Bucket(bucketFormat)
	switch version := format.Get(keyVersion); {
	case version == nil:
		return format.Put(keyVersion, formatVersion)
	case !bytes.Equal(version, formatVersion):
		return fmt.Errorf("its format %q is not known here: a newer version of this program wrote it", version)
	}
	return nil
}

// memberKey is the key of a member. Names have no NUL, so that no index is the beginning of
// another one's keys.
func memberKey(index, member string) []byte {
	key := make([]byte, 0, len(index)+1+len(member))
	key = append(key, index...)
	key = append(key, 0)
	return append(key, member...)
}

// hasPrefix is [bytes.HasPrefix] that is false for the nil key with which a cursor ends.
func hasPrefix(key, prefix []byte) bool {
	return key != nil && bytes.HasPrefix(key, prefix)
}

// sequenceKey is the key of a log entry. Big-endian numbers are in byte order.
func sequenceKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, seq)
}

// size reads the kept counter of an index.
func size(tx *bolt.Tx, index string) int64 {
	value := tx.Bucket(bucketSizes).Get([]byte(index))
	if len(value) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(value))
}

// setSize keeps the counter of an index.
func setSize(tx *bolt.Tx, index string, n int64) error {
	sizes := tx.Bucket(bucketSizes)
	if n <= 0 {
		return sizes.Delete([]byte(index))
	}
	return sizes.Put([]byte(index), binary.BigEndian.AppendUint64(nil, uint64(n)))
}
