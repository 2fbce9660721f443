package storetest

import (
	"fmt"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// stepTests hold each kind of step, and steps that follow on each other.
func stepTests() []test {
	return []test{
		{"put and replace", func(_ *testing.T, k *kit) {
			k.steps(put("a", "1"))
			k.wantRecord("a", []byte("1"))
			k.steps(put("a", "2"), put("b", "3"))
			k.wantRecord("a", []byte("2"))
			k.wantRecord("b", []byte("3"))
		}},
		{"delete, also what is not there", func(_ *testing.T, k *kit) {
			k.steps(put("a", "1"), put("ab", "2"))
			k.steps(remove("a"), remove("none"))
			k.wantRecord("a", nil)
			k.wantRecord("ab", []byte("2"))
		}},
		{"in their order", func(_ *testing.T, k *kit) {
			k.steps(put("a", "1"), remove("a"), put("a", "2"), remove("b"), put("b", "1"), remove("b"))
			k.wantRecord("a", []byte("2"))
			k.wantRecord("b", nil)
			k.steps(add("index", "m"), add("index", "n"), take("index", "m"), add("index", "m"), take("index", "n"))
			k.wantMembers("index", "", 10, "m")
			k.wantSize("index", 1)
		}},
		{"none", func(_ *testing.T, k *kit) {
			k.must(keystore.Change{})
			k.wantLog()
			k.must(keystore.Change{Event: []byte("only an event")})
			k.wantLog("only an event")
		}},
		{"a caller may reuse its bytes", func(_ *testing.T, k *kit) {
			value, event := []byte("value"), []byte("event")
			k.must(keystore.Change{
				Steps: []keystore.Step{{Kind: keystore.PutRecord, Name: "a", Value: value}},
				Event: event,
			})
			copy(value, "xxxxx")
			copy(event, "xxxxx")
			k.wantRecord("a", []byte("value"))
			k.wantLog("event")
		}},
		{"many in one change", func(t *testing.T, k *kit) {
			const n = 2000
			var steps []keystore.Step
			for i := range n {
				steps = append(steps, put(fmt.Sprintf("r%d", i), "value"), add("index", fmt.Sprintf("m%d", i)))
			}
			k.steps(steps...)
			k.wantSize("index", n)
			k.wantRecord("r0", []byte("value"))
			k.wantRecord(fmt.Sprintf("r%d", n-1), []byte("value"))
		}},
		{"drop an index of none", dropTest(0)},
		{"drop an index of one", dropTest(1)},
		{"drop an index of 1,000", dropTest(1000)},
		{"drop an index of 20,000", dropTest(20_000)},
		{"drop what the same change added", func(_ *testing.T, k *kit) {
			k.steps(put("p:a", "1"), add("index", "a"), drop("index", "p:"), add("index", "b"), put("p:b", "2"))
			k.wantRecord("p:a", nil)
			k.wantRecord("p:b", []byte("2"))
			k.wantMembers("index", "", 10, "b")
			k.wantSize("index", 1)
		}},
		{"drop leaves indexes and records with like names", func(_ *testing.T, k *kit) {
			k.steps(put("p:a", "1"), put("p:aa", "2"), put("a", "3"), put("q:a", "4"), put("p:", "5"),
				add("index", "a"), add("index2", "a"), add("inde", "a"), add("indeX", "a"))
			k.steps(drop("index", "p:"))
			k.wantRecord("p:a", nil)
			for name, value := range map[string]string{"p:aa": "2", "a": "3", "q:a": "4", "p:": "5"} {
				k.wantRecord(name, []byte(value))
			}
			for _, index := range []string{"index2", "inde", "indeX"} {
				k.wantMembers(index, "", 10, "a")
				k.wantSize(index, 1)
			}
		}},
		{"remove from each", func(_ *testing.T, k *kit) {
			k.steps(add("index", "a"), add("index", "b"), add("index", "c"), add("other", "d"),
				add("p:a", "m"), add("p:a", "n"), add("p:b", "m"), add("p:c", "n"), add("p:d", "m"), add("p:", "m"), add("a", "m"))
			k.must(keystore.Change{Steps: []keystore.Step{removeFromEach("index", "p:", "m")}, Event: []byte("removed")})
			k.wantMembers("p:a", "", 10, "n")
			k.wantSize("p:a", 1)
			k.wantMembers("p:b", "", 10)
			k.wantSize("p:b", 0)
			k.wantMembers("index", "", 10, "a", "b", "c")
			for name, left := range map[string]string{"p:c": "n", "p:d": "m", "p:": "m", "a": "m", "other": "d"} {
				k.wantMembers(name, "", 10, left)
				k.wantSize(name, 1)
			}
			k.wantLog("removed")
		}},
		{"remove from each of none", func(_ *testing.T, k *kit) {
			k.steps(add("p:", "m"), removeFromEach("index", "p:", "m"))
			k.wantMembers("p:", "", 10, "m")
		}},
		{"remove from each of 2,500, and of what the same change added", func(_ *testing.T, k *kit) {
			var steps []keystore.Step
			for i := range 2500 {
				member := fmt.Sprintf("m%04d", i)
				steps = append(steps, add("index", member), add("p:"+member, "x"))
			}
			k.steps(append(steps, removeFromEach("index", "p:", "x"), drop("index", "q:"))...)
			for _, member := range []string{"m0000", "m0999", "m1000", "m2499"} {
				k.wantSize("p:"+member, 0)
			}
			k.wantSize("index", 0)
		}},
		{"drop whose members have no record", func(_ *testing.T, k *kit) {
			k.steps(add("index", "a"), add("index", "b"), put("p:b", "1"))
			k.steps(drop("index", "p:"))
			k.wantSize("index", 0)
			k.wantRecord("p:b", nil)
		}},
	}
}

// dropTest drops an index with n members, each of which has a record, with an index beside it.
func dropTest(n int) func(*testing.T, *kit) {
	return func(t *testing.T, k *kit) {
		member := func(i int) string { return fmt.Sprintf("member-%06d", i) }
		const batch = 2000
		for from := 0; from < n; from += batch {
			var steps []keystore.Step
			for i := from; i < min(from+batch, n); i++ {
				steps = append(steps, put("key/"+member(i), "value"), add("index", member(i)))
			}
			k.steps(steps...)
		}
		k.steps(put("key/other", "value"), add("beside", "other"))
		k.wantSize("index", int64(n))

		k.must(keystore.Change{Steps: []keystore.Step{drop("index", "key/")}, Event: []byte("dropped")})
		k.wantSize("index", 0)
		k.wantMembers("index", "", 10)
		names := []string{"key/other"}
		for i := range n {
			names = append(names, "key/"+member(i))
		}
		values := Must(k.Get(t.Context(), names...))
		for i, value := range values {
			if (value != nil) != (i == 0) {
				t.Fatalf("record %s is %s", names[i], show(value))
			}
		}
		k.wantSize("beside", 1)
		k.wantLog("dropped")

		k.steps(add("index", "again"))
		k.wantMembers("index", "", 10, "again")
		k.wantSize("index", 1)
	}
}
