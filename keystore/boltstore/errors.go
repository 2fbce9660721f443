package boltstore

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/deploymentkeys/gateway/keystore"
)

// errDamaged is for the calls that come after the one that found the damage.
var errDamaged = errors.New("it is damaged, see the first error about it")

// unavailable is the error of this store: what every caller tells apart, the file, the cause.
func (s *Store) unavailable(cause error) error {
	return fmt.Errorf("%w: %s: %w", keystore.ErrUnavailable, s.path, cause)
}

// faultsPanic makes a fault on the mapped file (it was cut off, or the disk cannot be read) a
// panic of this goroutine that [Store.contain] turns into an error. Without it such a fault ends
// the process. The function that it returns sets back what was.
func faultsPanic() func() {
	before := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(before) }
}

// contain turns a panic into an error and ends the use of the file: bbolt panics where a page is
// not what it should be, and there is no telling what state that leaves it in.
func (s *Store) contain(err *error) {
	if cause := recover(); cause != nil {
		s.broken.Store(true)
		*err = s.unavailable(fmt.Errorf("it is damaged: %v", cause))
	}
}

// abandon gives the file free without bbolt, whose Close would wait for locks that nobody gives
// back. Its mapping stays until the process ends.
func (s *Store) abandon() error {
	unlock(s.file)
	return s.file.Close()
}
