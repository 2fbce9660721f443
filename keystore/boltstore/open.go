package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/deploymentkeys/gateway/keystore"
)

// lockTimeout is how long [Open] waits for another process, or for the Close of this one, to
// release the file.
const lockTimeout = 1500 * time.Millisecond

// Open opens the store in the file at path, and makes it (mode 0600) and the directories above it
// (mode 0700) where they are missing.
//
// Its errors name the file and wrap [keystore.ErrUnavailable]: the directory cannot be made or
// written; another process has the file open (known within 2 seconds); the file is damaged, cut
// off, or not a store of this program. A file that it refuses is left as it is.
func Open(path string, opts Options) (*Store, error) {
	if opts.Timeout <= 0 {
		opts.Timeout = keystore.DefaultTimeout
	}
	if opts.MaxLogEntries <= 0 {
		opts.MaxLogEntries = keystore.MaxLogEntries
	}
	s := &Store{
		path:     path,
		timeout:  opts.Timeout,
		keep:     uint64(opts.MaxLogEntries),
		turn:     make(chan struct{}, 1),
		closing:  make(chan struct{}),
		appended: make(chan struct{}),
		ended:    make(chan struct{}),
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, s.unavailable(fmt.Errorf("its directory cannot be made: %w", err))
	}
	if err := s.open(); err != nil {
		// After a panic nobody else gives the file free, and to close it twice is harmless.
		if s.broken.Load() && s.file != nil {
			_ = s.abandon()
		}
		return nil, err
	}
	syncDir(dir)
	return s, nil
}

// open opens and checks the file. Where bbolt stumbles over what is in it, that is an error too.
func (s *Store) open() (err error) {
	defer s.contain(&err)
	defer faultsPanic()()
	s.db, err = bolt.Open(s.path, 0o600, &bolt.Options{
		Timeout:      lockTimeout,
		FreelistType: bolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			file, err := os.OpenFile(name, flag, mode)
			s.file = file
			return file, err
		},
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return s.unavailable(errors.New("it is used by another process"))
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return s.unavailable(fmt.Errorf("it is not a store of this program, or it is damaged: %w", err))
	case err != nil:
		return s.unavailable(err)
	}
	if err := s.check(); err != nil {
		_ = s.db.Close()
		return s.unavailable(err)
	}
	return nil
}

// check refuses a file that is shorter than its own first page says, and prepares a new one.
func (s *Store) check() error {
	var want int64
	if err := s.db.View(func(tx *bolt.Tx) error {
		want = tx.Size()
		return nil
	}); err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < want {
		return fmt.Errorf("it is cut off: %d bytes of %d", info.Size(), want)
	}
	return s.db.Update(layOut)
}

// syncDir makes the name of a new file outlive a crash of the machine. Not every system can do
// this to a directory, and where it can't the file is no worse for it.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
