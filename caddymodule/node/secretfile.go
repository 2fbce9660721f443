package node

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// This file keeps the master secret of an embedded store, in a file beside it.

const (
	secretFile = "secret"

	// minSecretLength is 32 characters: 128 bits even of hexadecimal digits.
	minSecretLength = 32

	// HowToMakeSecret is what an operator runs for a master secret.
	HowToMakeSecret = "make one with: openssl rand -base64 32"
)

// CheckSecret returns an error if a master secret is too short. name is what it is called in the error.
func CheckSecret(name string, secret []byte) error {
	if len(secret) < minSecretLength {
		return fmt.Errorf("%s has %d characters, at least %d are needed; %s", name, len(secret), minSecretLength, HowToMakeSecret)
	}
	return nil
}

// localSecret reads the master secret of an embedded store. It makes one only for a store that
// is new: for another one it would be the wrong one, and hide that the right one is lost.
func localSecret(path string, make bool) ([]byte, error) {
	secret, err := os.ReadFile(path)
	switch {
	case err == nil && len(secret) == 0 && make:
		// An interrupted first start left the empty file: see writeNew. No other start runs, since the store is locked.
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("master secret: %w", err)
		}
	case err == nil:
		if secret := strings.TrimSpace(string(secret)); len(secret) >= minSecretLength {
			return []byte(secret), nil
		}
		return nil, fmt.Errorf("master secret %s: the file is cut off or not a secret; restore it", path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("master secret: %w", err)
	case !make:
		return nil, fmt.Errorf("master secret %s is missing, and nothing in the store can be read without it: restore it, "+
			"or configure secret if it was moved", path)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	text := base64.StdEncoding.EncodeToString(random[:])
	if err := writeNew(path, text+"\n"); err != nil {
		return nil, fmt.Errorf("master secret: %w", err)
	}
	return []byte(text), nil
}

// writeNew writes a file that only its owner may read, whole or not at all, also when the machine stops: a store must
// never be set up with a secret that is gone after. It never replaces a file. A crash can leave an empty one, which holds
// no secret.
func writeNew(path, content string) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	_, err = temporary.WriteString(content)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	// A rename replaces other files, and not every file system has hard links. So an empty file takes the name first.
	claim, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(claim.Close(), replaceSecret(temporary.Name(), path)); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
