package storetest

import (
	"fmt"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// Benchmark measures a store: the read of one record, of the three that the check of a token
// needs, a page of an index, and a change like the creation of a key. The store must be empty; it
// stays open.
func Benchmark(b *testing.B, store keystore.Store) {
	record := make([]byte, 400)
	creation := func(i int) keystore.Change {
		name := fmt.Sprintf("key-%08d", i)
		return keystore.Change{
			Conditions: list(
				keystore.Condition{Kind: keystore.RecordExists, Name: "deployment/one"},
				keystore.Condition{Kind: keystore.RecordAbsent, Name: "key/" + name},
				keystore.Condition{Kind: keystore.SizeBelow, Name: "keys/one", Limit: 1 << 40},
			),
			Steps: []keystore.Step{
				{Kind: keystore.PutRecord, Name: "key/" + name, Value: record},
				add("keys/one", name),
			},
			Event: record[:250],
		}
	}
	apply := func(b *testing.B, change keystore.Change) {
		OK(b, store.Apply(b.Context(), change))
	}
	setup := keystore.Change{Steps: []keystore.Step{
		{Kind: keystore.PutRecord, Name: "deployment/one", Value: record},
		{Kind: keystore.PutRecord, Name: "two", Value: record},
		{Kind: keystore.PutRecord, Name: "three", Value: record},
	}}
	for i := range 1000 {
		setup.Steps = append(setup.Steps, add("members", fmt.Sprintf("member-%04d", i)))
	}
	apply(b, setup)

	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			OK(b, ErrOf(store.Get(b.Context(), "deployment/one")))
		}
	})
	b.Run("Get3", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			OK(b, ErrOf(store.Get(b.Context(), "deployment/one", "two", "three")))
		}
	})
	b.Run("Members50", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			OK(b, ErrOf(store.Members(b.Context(), "members", "member-0500", 50)))
		}
	})
	created := 0
	b.Run("ApplyKeyCreation", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			apply(b, creation(created))
			created++
		}
	})
}
