package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// openInChild is the environment variable that makes this test binary open the file it names,
// print the error and end.
const openInChild = "BOLTSTORE_TEST_OPEN"

func TestMain(m *testing.M) {
	if path := os.Getenv(openInChild); path != "" {
		start := time.Now()
		_, err := boltstore.Open(path, boltstore.Options{})
		fmt.Printf("%v\n%v\n", time.Since(start) < 2*time.Second, err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestFileInUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	store := open(t, path, boltstore.Options{})

	check := func(who string, quick bool, message string) {
		t.Helper()
		storetest.FailIf(t, !quick, "%s: the error took 2 s or more", who)
		for _, want := range []string{path, "used by another process", keystore.ErrUnavailable.Error()} {
			storetest.FailIf(t, !strings.Contains(message, want), "%s: %q does not say %q", who, message, want)
		}
	}
	start := time.Now()
	_, err := boltstore.Open(path, boltstore.Options{})
	check("this process", time.Since(start) < 2*time.Second, fmt.Sprint(err))

	self := storetest.Must(os.Executable())
	child := exec.Command(self)
	child.Env = append(os.Environ(), openInChild+"="+path)
	output, err := child.CombinedOutput()
	storetest.FatalIf(t, err != nil, "%v: %s", err, output)
	quick, message, _ := strings.Cut(string(output), "\n")
	check("another process", quick == "true", message)

	// The store that has the file is none the worse, and its Close gives the file free.
	apply(t, store, keystore.Change{Steps: []keystore.Step{put("a", "1")}})
	storetest.OK(t, store.Close())
	open(t, path, boltstore.Options{})
}

// fill makes a store with some hundred pages in it.
func fill(t *testing.T, path string) {
	t.Helper()
	store := storetest.Must(boltstore.Open(path, boltstore.Options{Timeout: patient}))
	for batch := range 4 {
		var steps []keystore.Step
		for i := range 500 {
			name := fmt.Sprintf("record-%d-%d", batch, i)
			steps = append(steps, put(name, strings.Repeat("v", 400)), keystore.Step{Kind: keystore.AddMember, Name: "index", Member: name})
		}
		apply(t, store, keystore.Change{Steps: steps, Event: []byte("event")})
	}
	storetest.OK(t, store.Close())
}

func TestRefusedFile(t *testing.T) {
	t.Parallel()
	otherProgram := func(t *testing.T, path string) {
		db := storetest.Must(bolt.Open(path, 0o600, nil))
		storetest.OK(t, db.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket([]byte("widgets"))
			return err
		}))
		storetest.OK(t, db.Close())
	}
	newerVersion := func(t *testing.T, path string) {
		fill(t, path)
		db := storetest.Must(bolt.Open(path, 0o600, nil))
		storetest.OK(t, db.Update(func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("format")).Put([]byte("version"), []byte("2"))
		}))
		storetest.OK(t, db.Close())
	}
	content := func(data []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			storetest.OK(t, os.WriteFile(path, data, 0o600))
		}
	}
	cut := func(part func(int64) int64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			fill(t, path)
			info := storetest.Must(os.Stat(path))
			storetest.OK(t, os.Truncate(path, part(info.Size())))
		}
	}
	lastByte := func(t *testing.T, path string) {
		fill(t, path)
		db := storetest.Must(bolt.Open(path, 0o600, nil))
		var used int64
		storetest.OK(t, db.View(func(tx *bolt.Tx) error {
			used = tx.Size()
			return nil
		}))
		storetest.OK(t, db.Close())
		storetest.OK(t, os.Truncate(path, used-1))
	}
	for _, tt := range []struct {
		name string
		make func(*testing.T, string)
		says string
	}{
		{"short text", content([]byte("hello\n")), "not a store of this program"},
		{"long text", content(bytes.Repeat([]byte("deployment keys\n"), 4096)), "not a store of this program"},
		{"zeros", content(make([]byte, 64<<10)), "not a store of this program"},
		{"another program's database", otherProgram, "another program"},
		{"a newer version", newerVersion, "newer version"},
		{"cut by the last byte", lastByte, "cut off"},
		{"cut to half", cut(func(n int64) int64 { return n / 2 }), ""},
		{"cut to the first pages", cut(func(int64) int64 { return 16 << 10 }), ""},
		{"cut to one page", cut(func(int64) int64 { return 4 << 10 }), ""},
		{"cut inside of a page", cut(func(int64) int64 { return 10_000 }), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			tt.make(t, path)
			before := storetest.Must(os.ReadFile(path))
			for range 2 { // the first must have given the file free
				store, err := boltstore.Open(path, boltstore.Options{})
				if err == nil {
					t.Cleanup(func() { _ = store.Close() })
				}
				if !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tt.says) ||
					strings.Contains(err.Error(), "another process") {
					t.Fatalf("Open: %v, want an error that names %s and says %q", err, path, tt.says)
				}
			}
			after := storetest.Must(os.ReadFile(path))
			storetest.FailIf(t, !bytes.Equal(before, after), "the refused file was changed")
		})
	}
}

// TestDamagedPages overwrites pages in the middle of a file. Each call then works or is an error
// that names the file, and none of them ends the process or hangs.
func TestDamagedPages(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "store.db")
	fill(t, whole)
	data := storetest.Must(os.ReadFile(whole))
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			damaged := bytes.Clone(data)
			for page := 2 * 4096; page+4096 <= len(damaged); page += 4096 {
				if random.IntN(3) > 0 {
					continue
				}
				for i := range 4096 {
					damaged[page+i] = byte(random.Uint32())
				}
			}
			path := filepath.Join(t.TempDir(), "store.db")
			storetest.OK(t, os.WriteFile(path, damaged, 0o600))
			check := func(what string, err error) {
				storetest.FailIf(t, err != nil && (!errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), path)), "%s: %v", what, err)
			}
			store, err := boltstore.Open(path, boltstore.Options{Timeout: patient})
			check("Open", err)
			if err != nil {
				return
			}
			for i := range 500 {
				_, err := store.Get(t.Context(), fmt.Sprintf("record-0-%d", i))
				check("Get", err)
			}
			_, err = store.Members(t.Context(), "index", "", 10_000)
			check("Members", err)
			check("Apply", store.Apply(t.Context(), keystore.Change{
				Steps: []keystore.Step{put("a", "1"), {Kind: keystore.DropIndex, Name: "index", Prefix: ""}},
				Event: []byte("event"),
			}))
			_, err = store.Log(t.Context(), 0, 10)
			check("Log", err)
			_ = store.Close()
		})
	}
}

// TestFileCutWhileOpen takes the file away from under an open store, whose next read would end
// the process if faults were not contained.
func TestFileCutWhileOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	fill(t, path)
	store := storetest.Must(boltstore.Open(path, boltstore.Options{}))
	storetest.OK(t, os.Truncate(path, 0))
	_, err := store.Members(t.Context(), "index", "", 10_000)
	storetest.FailIf(t, !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), path), "Members: %v, want an error that names %s", err, path)
	_ = store.Close()
}
