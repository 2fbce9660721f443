package keystore

import (
	"errors"
	"fmt"
)

// The errors that callers tell apart. Every error of this package wraps at most one of them.
var (
	// ErrNotFound says that there is no such Deployment, key or member. A key of another
	// Deployment is not found.
	ErrNotFound = errors.New("not found")

	// ErrExists says that the ID is taken, or that there is one already where one may be.
	ErrExists = errors.New("already exists")

	// ErrInvalid says that a value is not acceptable; the message says which and why.
	ErrInvalid = errors.New("invalid")

	// ErrLimit says that a bound on how many there may be is reached.
	ErrLimit = errors.New("limit reached")

	// ErrUnavailable says that the store could not be asked, or did not answer in time. Nothing
	// is known about the thing asked for: it is never a reason to refuse a credential.
	ErrUnavailable = errors.New("store unavailable")

	// ErrAltered says that a record is not as this product wrote it: its authentication code
	// does not fit. It grants nothing.
	ErrAltered = errors.New("record altered outside of this product")

	// ErrLogGap says that the change log does not go on where a follower was.
	ErrLogGap = errors.New("gap in the change log")

	// ErrClock says that the clocks of the store and of this node differ by more than [ClockTolerance].
	ErrClock = errors.New("clocks differ")

	// ErrWrongSecret says that the store has another master secret.
	ErrWrongSecret = errors.New("wrong master secret")
)

// invalid makes an [ErrInvalid] whose message is for the person who sent the value.
func invalid(format string, args ...any) error {
	return &detailError{kind: ErrInvalid, detail: fmt.Sprintf(format, args...)}
}

// detailError is a sentinel with a sentence of its own. The sentence alone is shown, since the
// sentinel's words would only repeat it.
type detailError struct {
	kind   error
	detail string
}

func (e *detailError) Error() string { return e.detail }
func (e *detailError) Unwrap() error { return e.kind }

func notFound(what, id string) error {
	return &detailError{kind: ErrNotFound, detail: fmt.Sprintf("%s %q does not exist", what, id)}
}

func exists(what, id string) error {
	return &detailError{kind: ErrExists, detail: fmt.Sprintf("%s %q already exists", what, id)}
}
