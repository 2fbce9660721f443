package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// patient is a timeout that a busy machine keeps.
const patient = 30 * time.Second

func open(t testing.TB, path string, opts boltstore.Options) *boltstore.Store {
	t.Helper()
	store := storetest.Must(boltstore.Open(path, opts))
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

func apply(t testing.TB, store keystore.Store, change keystore.Change) {
	t.Helper()
	storetest.OK(t, store.Apply(t.Context(), change))
}

func put(name, value string) keystore.Step {
	return keystore.Step{Kind: keystore.PutRecord, Name: name, Value: []byte(value)}
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) keystore.Store {
		return open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{Timeout: patient})
	})
}

func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	first := open(t, path, boltstore.Options{Timeout: patient})
	apply(t, first, keystore.Change{
		Steps: []keystore.Step{
			put("a", "value\x00\xff"), put("empty", ""),
			{Kind: keystore.AddMember, Name: "index", Member: "m1"},
			{Kind: keystore.AddMember, Name: "index", Member: "m2"},
		},
		Event: []byte("one"),
	})
	storetest.OK(t, first.Close())

	second := open(t, path, boltstore.Options{Timeout: patient})
	values, err := second.Get(t.Context(), "a", "empty", "none")
	storetest.FailIf(t, err != nil || string(values[0]) != "value\x00\xff" || values[1] == nil || values[2] != nil, "Get = %q, %v", values, err)
	members, err := second.Members(t.Context(), "index", "", 10)
	storetest.FailIf(t, err != nil || !slices.Equal(members, []string{"m1", "m2"}), "Members = %q, %v", members, err)
	sizes, err := second.Sizes(t.Context(), "index")
	storetest.FailIf(t, err != nil || sizes[0] != 2, "Sizes = %d, %v", sizes, err)
	apply(t, second, keystore.Change{Event: []byte("two")})
	wantLog(t, second, 0, "1 one", "2 two")
}

// wantLog checks all entries after a number, written as number and event.
func wantLog(t *testing.T, store keystore.Store, after uint64, want ...string) {
	t.Helper()
	entries := storetest.Must(store.Log(t.Context(), after, 1000))
	var got []string
	for _, entry := range entries {
		got = append(got, fmt.Sprintf("%d %s", entry.Seq, entry.Event))
	}
	storetest.FailIf(t, !slices.Equal(got, want), "log after %d is %q, want %q", after, got, want)
}

func TestLogIsTrimmed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	write := func(store keystore.Store, from, to int) {
		for i := from; i <= to; i++ {
			apply(t, store, keystore.Change{Event: fmt.Appendf(nil, "e%d", i)})
		}
	}
	first := open(t, path, boltstore.Options{Timeout: patient, MaxLogEntries: 5})
	write(first, 1, 12)
	wantLog(t, first, 0, "8 e8", "9 e9", "10 e10", "11 e11", "12 e12")
	wantLog(t, first, 3, "8 e8", "9 e9", "10 e10", "11 e11", "12 e12")
	wantLog(t, first, 11, "12 e12")
	storetest.OK(t, first.Close())

	// A lower bound than before, and no number twice.
	second := open(t, path, boltstore.Options{Timeout: patient, MaxLogEntries: 1})
	wantLog(t, second, 10, "11 e11", "12 e12")
	write(second, 13, 14)
	wantLog(t, second, 0, "14 e14")
}

func TestFileMode(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "data")
	path := filepath.Join(dir, "store.db")
	open(t, path, boltstore.Options{})
	for name, want := range map[string]os.FileMode{path: 0o600, dir: 0o700, filepath.Dir(dir): 0o700} {
		info := storetest.Must(os.Stat(name))
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s is %o, want %o", name, got, want)
		}
	}
}

func TestDirectoryCannotBeWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	storetest.OK(t, os.WriteFile(file, []byte("x"), 0o600))
	directory := t.TempDir()
	for name, path := range map[string]string{
		"a file in place of the directory": filepath.Join(file, "store.db"),
		"a file above the directory":       filepath.Join(file, "data", "store.db"),
		"a directory in place of the file": directory,
		"no directory can be made":         "/proc/deployment_keys/store.db",
		"no file can be made":              "/proc/store.db",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := boltstore.Open(path, boltstore.Options{})
			if err == nil {
				t.Cleanup(func() { _ = store.Close() })
			}
			storetest.FailIf(t, !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), path), "Open: %v, want an error that names %s", err, path)
		})
	}
}

func BenchmarkStore(b *testing.B) {
	storetest.Benchmark(b, open(b, filepath.Join(b.TempDir(), "store.db"), boltstore.Options{}))
}

// BenchmarkDropIndex is the deletion of a Deployment with very many keys.
func BenchmarkDropIndex(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			store := open(b, filepath.Join(b.TempDir(), "store.db"), boltstore.Options{Timeout: patient})
			var steps []keystore.Step
			for i := range n {
				member := fmt.Sprintf("key-%06d", i)
				steps = append(steps, put("key/"+member, strings.Repeat("x", 400)),
					keystore.Step{Kind: keystore.AddMember, Name: "index", Member: member})
			}
			for b.Loop() {
				b.StopTimer()
				apply(b, store, keystore.Change{Steps: steps})
				b.StartTimer()
				apply(b, store, keystore.Change{
					Steps: []keystore.Step{{Kind: keystore.DropIndex, Name: "index", Prefix: "key/"}},
				})
			}
		})
	}
}
