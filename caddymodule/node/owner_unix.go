//go:build unix

package node

import (
	"os"
	"syscall"
)

// sameOwner gives a file the owner that another one has. Without that other one it stays as it is.
func sameOwner(path, as string) error {
	model, err := os.Stat(as)
	if err != nil {
		return nil
	}
	owner, ok := model.Sys().(*syscall.Stat_t)
	if !ok || (int(owner.Uid) == os.Geteuid() && int(owner.Gid) == os.Getegid()) {
		return nil
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}
