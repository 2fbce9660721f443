package storetest

import "testing"

// Must returns the value of a call that has to work.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// ErrOf returns the error of a call whose value does not matter.
func ErrOf[T any](_ T, err error) error { return err }

// OK ends the test if a call that has to work has failed.
func OK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// FailIf reports what is wrong, if it is.
func FailIf(t testing.TB, wrong bool, format string, args ...any) {
	t.Helper()
	if wrong {
		t.Errorf(format, args...)
	}
}

// FatalIf ends the test with what is wrong, if it is.
func FatalIf(t testing.TB, wrong bool, format string, args ...any) {
	t.Helper()
	if wrong {
		t.Fatalf(format, args...)
	}
}
