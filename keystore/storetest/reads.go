package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// recordTests hold what a record may be and how records are read.
func recordTests() []test {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return []test{
		{"every byte", func(_ *testing.T, k *kit) {
			values := map[string][]byte{
				"all": all, "CRLF": []byte("\r\n\r\n"), "NUL": {0}, "NULs": make([]byte, 100),
				"protocol": []byte("$5\r\nhello\r\n"), "not UTF-8": {0xc3, 0x28, 0xff}, "percent": []byte("%s%d%"),
				"large": slices.Repeat(all, 1024),
			}
			for name, value := range values {
				name = strings.ReplaceAll(name, " ", "-")
				k.must(keystore.Change{
					Steps: []keystore.Step{{Kind: keystore.PutRecord, Name: name, Value: value}},
				})
				k.wantRecord(name, value)
				k.must(keystore.Change{
					Conditions: list(keystore.Condition{Kind: keystore.RecordEquals, Name: name, Value: value}),
				})
			}
		}},
		{"empty is not absent", func(_ *testing.T, k *kit) {
			k.wantRecord("a", nil)
			k.steps(put("a", ""), keystore.Step{Kind: keystore.PutRecord, Name: "b"})
			k.wantRecord("a", []byte{})
			k.wantRecord("b", []byte{})
		}},
		{"several at once, in the order asked for", func(t *testing.T, k *kit) {
			k.steps(put("a", "1"), put("b", ""), put("c", "3"))
			got := Must(k.Get(t.Context(), "c", "none", "b", "a", "c"))
			want := [][]byte{[]byte("3"), nil, {}, []byte("1"), []byte("3")}
			for i := range want {
				FatalIf(t, len(got) != len(want) || (got[i] == nil) != (want[i] == nil) || string(got[i]) != string(want[i]), "Get = %q, want %q", got, want)
			}
		}},
		{"none", func(t *testing.T, k *kit) {
			got, err := k.Get(t.Context())
			FatalIf(t, err != nil || len(got) != 0, "Get() = %q, %v", got, err)
		}},
		{"a reader may change what it got", func(t *testing.T, k *kit) {
			k.steps(put("a", "value"))
			got := Must(k.Get(t.Context(), "a"))
			copy(got[0], "xxxxx")
			k.wantRecord("a", []byte("value"))
		}},
		{"long names", func(_ *testing.T, k *kit) {
			long := strings.Repeat("n", 512)
			k.steps(put(long, "1"), put(long[1:], "2"), add(long, long))
			k.wantRecord(long, []byte("1"))
			k.wantRecord(long[1:], []byte("2"))
			k.wantMembers(long, "", 10, long)
		}},
	}
}

// indexTests hold order, pages and sizes.
func indexTests() []test {
	return []test{
		{"byte order", func(_ *testing.T, k *kit) {
			want := []string{"!", "-a", "0", "10", "2", "A", "Z", "_", "a", "a-", "a0", "aa", "b", "~"}
			for _, i := range rand.Perm(len(want)) {
				k.steps(add("index", want[i]))
			}
			k.wantMembers("index", "", 100, want...)
		}},
		{"pages", func(_ *testing.T, k *kit) {
			var steps []keystore.Step
			var want []string
			for i := range 250 {
				want = append(want, fmt.Sprintf("m%03d", i))
				steps = append(steps, add("index", want[i]), add("indexes", "x"+want[i]), add("inde", "y"+want[i]))
			}
			k.steps(steps...)
			for _, limit := range []int{1, 7, 50, 249, 250, 251, 10_000} {
				var got []string
				for after := ""; ; {
					page := k.members("index", after, limit)
					FatalIf(k.t, len(page) > limit, "a page of %d has %d", limit, len(page))
					if len(page) == 0 {
						break
					}
					got = append(got, page...)
					after = page[len(page)-1]
				}
				FatalIf(k.t, !equal(got, want), "pages of %d are %q", limit, got)
			}
		}},
		{"any cursor", func(_ *testing.T, k *kit) {
			k.steps(add("index", "b"), add("index", "d"), add("index", "f"), add("indey", "a"))
			k.wantMembers("index", "a", 10, "b", "d", "f")
			k.wantMembers("index", "c", 10, "d", "f") // never was there
			k.wantMembers("index", "d", 10, "f")
			k.wantMembers("index", "d\x00", 10, "f")
			k.wantMembers("index", "f", 10)
			k.wantMembers("index", "z", 10) // beyond the end
			k.wantMembers("index", "\xff\xff", 10)
			k.wantMembers("index", "\x00", 10, "b", "d", "f")
			k.wantMembers("index", "-", 10, "b", "d", "f")
			k.wantMembers("index", "[b", 10, "b", "d", "f")
			k.wantMembers("index", "+", 10, "b", "d", "f")
			k.wantMembers("index", strings.Repeat("z", 5000), 10)
		}},
		{"a cursor whose member was removed", func(_ *testing.T, k *kit) {
			k.steps(add("index", "a"), add("index", "b"), add("index", "c"), add("index", "d"))
			k.wantMembers("index", "", 2, "a", "b")
			k.steps(take("index", "b"))
			k.wantMembers("index", "b", 2, "c", "d")
		}},
		{"no limit is no page", func(_ *testing.T, k *kit) {
			k.steps(add("index", "a"))
			k.wantMembers("index", "", 0)
			k.wantMembers("index", "", -1)
		}},
		{"absent index", func(_ *testing.T, k *kit) {
			k.wantMembers("none", "", 10)
			k.wantSize("none", 0)
		}},
		{"sizes count each member once", func(t *testing.T, k *kit) {
			k.steps(add("index", "a"), add("index", "a"), add("index", "b"))
			k.wantSize("index", 2)
			k.steps(add("index", "b"))
			k.wantSize("index", 2)
			k.steps(take("index", "a"), take("index", "a"), take("index", "none"))
			k.wantSize("index", 1)
			k.steps(take("index", "b"))
			k.steps(take("index", "b"))
			k.wantSize("index", 0)
			k.steps(add("index", "a"), add("other", "b"))
			got, err := k.Sizes(t.Context(), "other", "none", "index", "index")
			FatalIf(t, err != nil || !slices.Equal(got, []int64{1, 0, 1, 1}), "Sizes = %d, %v", got, err)
			if got, err = k.Sizes(t.Context()); err != nil || len(got) != 0 {
				t.Fatalf("Sizes() = %d, %v", got, err)
			}
		}},
		{"sizes after a long random walk", func(_ *testing.T, k *kit) {
			there := map[string]bool{}
			for range 60 {
				var steps []keystore.Step
				for range 20 {
					member := fmt.Sprintf("m%02d", rand.IntN(40))
					if rand.IntN(2) == 0 {
						steps = append(steps, add("index", member))
						there[member] = true
					} else {
						steps = append(steps, take("index", member))
						delete(there, member)
					}
				}
				k.steps(steps...)
			}
			k.wantSize("index", int64(len(there)))
			if got := k.members("index", "", 100); len(got) != len(there) {
				k.t.Fatalf("%d members, want %d", len(got), len(there))
			}
		}},
		{"the same name for a record and an index", func(_ *testing.T, k *kit) {
			k.steps(put("same", "record"), add("same", "member"))
			k.wantRecord("same", []byte("record"))
			k.wantMembers("same", "", 10, "member")
			k.steps(remove("same"))
			k.wantMembers("same", "", 10, "member")
		}},
	}
}
