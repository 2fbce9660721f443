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
		if !quick {
			t.Errorf("%s: the error took 2 s or more", who)
		}
		for _, want := range []string{path, "used by another process", keystore.ErrUnavailable.Error()} {
			if !strings.Contains(message, want) {
				t.Errorf("%s: %q does not say %q", who, message, want)
			}
		}
	}
	start := time.Now()
	_, err := boltstore.Open(path, boltstore.Options{})
	check("this process", time.Since(start) < 2*time.Second, fmt.Sprint(err))

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), openInChild+"="+path)
	output, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	quick, message, _ := strings.Cut(string(output), "\n")
	check("another process", quick == "true", message)

	// The store that has the file is none the worse, and its Close gives the file free.
	apply(t, store, keystore.Change{Steps: []keystore.Step{put("a", "1")}})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, boltstore.Options{})
}

// fill makes a store with some hundred pages in it.
func fill(t *testing.T, path string) {
	t.Helper()
	store, err := boltstore.Open(path, boltstore.Options{Timeout: patient})
	if err != nil {
		t.Fatal(err)
	}
	for batch := range 4 {
		var steps []keystore.Step
		for i := range 500 {
			name := fmt.Sprintf("record-%d-%d", batch, i)
			steps = append(steps, put(name, strings.Repeat("v", 400)), keystore.Step{Kind: keystore.AddMember, Name: "index", Member: name})
		}
		apply(t, store, keystore.Change{Steps: steps, Event: []byte("event")})
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedFile(t *testing.T) {
	t.Parallel()
	otherProgram := func(t *testing.T, path string) {
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket([]byte("widgets"))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	newerVersion := func(t *testing.T, path string) {
		fill(t, path)
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("format")).Put([]byte("version"), []byte("2"))
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	content := func(data []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut := func(part func(int64) int64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			fill(t, path)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, part(info.Size())); err != nil {
				t.Fatal(err)
			}
		}
	}
	lastByte := func(t *testing.T, path string) {
		fill(t, path)
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		var used int64
		if err := db.View(func(tx *bolt.Tx) error {
			used = tx.Size()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, used-1); err != nil {
			t.Fatal(err)
		}
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
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
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
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, after) {
				t.Error("the refused file was changed")
			}
		})
	}
}

// TestDamagedPages overwrites pages in the middle of a file. Each call then works or is an error
// that names the file, and none of them ends the process or hangs.
func TestDamagedPages(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "store.db")
	fill(t, whole)
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
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
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			check := func(what string, err error) {
				if err != nil && (!errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), path)) {
					t.Errorf("%s: %v", what, err)
				}
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
	store, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	_, err = store.Members(t.Context(), "index", "", 10_000)
	if !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), path) {
		t.Errorf("Members: %v, want an error that names %s", err, path)
	}
	_ = store.Close()
}
