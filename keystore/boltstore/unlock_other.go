//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package boltstore

import "os"

// unlock does nothing where a file's lock ends when it is closed.
func unlock(*os.File) {}
