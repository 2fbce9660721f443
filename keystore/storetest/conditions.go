package storetest

import (
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// conditionTests are a table of single conditions on one and the same store, and what a failing
// one leaves behind.
func conditionTests() []test {
	absent := func(name string) keystore.Condition {
		return keystore.Condition{Kind: keystore.RecordAbsent, Name: name}
	}
	exists := func(name string) keystore.Condition {
		return keystore.Condition{Kind: keystore.RecordExists, Name: name}
	}
	equals := func(name, value string) keystore.Condition {
		return keystore.Condition{Kind: keystore.RecordEquals, Name: name, Value: []byte(value)}
	}
	member := func(index, name string) keystore.Condition {
		return keystore.Condition{Kind: keystore.IsMember, Name: index, Member: name}
	}
	below := func(index string, limit int64) keystore.Condition {
		return keystore.Condition{Kind: keystore.SizeBelow, Name: index, Limit: limit}
	}

	var tests []test
	for _, tt := range []struct {
		name       string
		conditions []keystore.Condition
		fails      int // the index of the first that does not hold; -1 for none
	}{
		{"absent record is absent", list(absent("none")), -1},
		{"record is not absent", list(absent("a")), 0},
		{"empty record is not absent", list(absent("empty")), 0},
		{"record exists", list(exists("a")), -1},
		{"empty record exists", list(exists("empty")), -1},
		{"absent record does not exist", list(exists("none")), 0},
		{"an index is no record", list(exists("index")), 0},
		{"record equals", list(equals("a", "value")), -1},
		{"record with another value", list(equals("a", "valuE")), 0},
		{"record that begins with the value", list(equals("a", "val")), 0},
		{"record that the value begins with", list(equals("a", "values")), 0},
		{"empty record equals nothing", list(equals("empty", "")), -1},
		{"absent record equals nothing", list(equals("none", "")), 0},
		{"record equals nothing", list(equals("a", "")), 0},
		{"binary record equals", list(equals("binary", "\x00\r\n\xff\x00")), -1},
		{"binary record cut at NUL", list(equals("binary", "")), 0},
		{"is a member", list(member("index", "m1")), -1},
		{"is no member", list(member("index", "m")), 0},
		{"is a member of another index", list(member("other", "m1")), 0},
		{"absent index has no member", list(member("none", "m1")), 0},
		{"size is below", list(below("index", 3)), -1},
		{"size is the limit", list(below("index", 2)), 0},
		{"size is above", list(below("index", 1)), 0},
		{"absent index is below 1", list(below("none", 1)), -1},
		{"nothing is below 0", list(below("none", 0)), 0},
		{"none", nil, -1},
		{"all hold", list(exists("a"), absent("none"), below("index", 100), member("index", "m2")), -1},
		{"the second fails", list(exists("a"), absent("a"), absent("none")), 1},
		{"the last fails", list(exists("a"), member("index", "m1"), equals("a", "x")), 2},
		{"the first of two that fail", list(exists("a"), exists("none"), below("index", 0)), 1},
	} {
		tests = append(tests, test{tt.name, func(_ *testing.T, k *kit) {
			k.steps(put("a", "value"), put("empty", ""), put("binary", "\x00\r\n\xff\x00"),
				add("index", "m1"), add("index", "m2"), add("other", "m2"))
			change := keystore.Change{
				Conditions: tt.conditions,
				Steps:      []keystore.Step{put("new", "1"), remove("a"), add("index", "m3"), take("index", "m1"), removeFromEach("other", "", "m"), drop("other", "")},
				Event:      []byte("event"),
			}
			if tt.fails < 0 {
				k.must(change)
				k.wantRecord("new", []byte("1"))
				k.wantLog("event")
				return
			}
			k.mustFail(tt.fails, change)
			k.wantRecord("new", nil)
			k.wantRecord("a", []byte("value"))
			k.wantMembers("index", "", 10, "m1", "m2")
			k.wantMembers("other", "", 10, "m2")
			k.wantSize("index", 2)
			k.wantSize("other", 1)
			k.wantLog()
		}})
	}
	return append(tests, test{"are asked before any step", func(_ *testing.T, k *kit) {
		k.must(keystore.Change{
			Conditions: list(absent("a"), below("index", 1)),
			Steps:      []keystore.Step{put("a", "1"), add("index", "a")},
		})
		k.wantRecord("a", []byte("1"))
	}})
}

func list(conditions ...keystore.Condition) []keystore.Condition { return conditions }
