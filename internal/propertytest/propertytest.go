// Package propertytest checks properties with rapid: things that are so whatever is done, in whatever order. Only tests
// import it. It knows how long that may take, and nothing of what is checked.
//
// In a normal run of the tests each property is tried some times. With DEPLOYMENT_KEYS_ATTACK=1 it is tried for
// [AttackTime]. What rapid finds it prints with a -rapid.seed that finds it again; -rapid.checks and its other flags say more.
package propertytest

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// AttackTime is for how long each property is tried in an attack. Properties of one package are tried at the same time.
const AttackTime = 3 * time.Minute

// quickChecks is how often a property is tried in a normal run, and between two looks at the clock in an attack.
const quickChecks = "20"

// These are defaults: the command line goes before them. A failure is printed whole, so no file has to keep it.
func init() {
	for name, value := range map[string]string{"rapid.checks": quickChecks, "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}

// Attack reports whether this is a long run.
func Attack() bool { return os.Getenv("DEPLOYMENT_KEYS_ATTACK") == "1" }

// Check tries a property, and fails the test with the smallest example that falsifies it. A message of the property is to
// be the same for the same example: an ID that is random in it would keep rapid from making the example smaller.
func Check(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	tried := 0
	counted := func(rt *rapid.T) {
		property(rt)
		tried++
	}
	rapid.Check(t, counted)
	for end := time.Now().Add(AttackTime); Attack() && time.Now().Before(end); {
		rapid.Check(t, counted)
	}
	t.Logf("figure: tried %d times", tried)
}

// InBubble runs a part of a property in a bubble of [synctest], in which time passes only when all goroutines wait for it.
// All that it has started must end by itself, or be ended by it. It may draw values, in its own goroutine.
func InBubble(t *testing.T, do func()) {
	t.Helper()
	var stopped any
	synctest.Test(t, func(*testing.T) {
		defer func() { stopped = recover() }()
		do()
	})
	// By a panic rapid ends an example. It has to come out in the goroutine in which rapid waits for it; and those that fail
	// in another line than those that are none, since rapid tells them apart by that when it looks for a smaller one.
	switch {
	case stopped == nil:
	case fmt.Sprintf("%T", stopped) == "rapid.invalidData":
		panic(stopped)
	default:
		panic(stopped)
	}
}
