package node

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"
)

// The kernel refuses links as it does on vfat, on the thread of the test alone, which ends with it.
func TestNewSecretFileWithoutHardLinks(t *testing.T) {
	t.Parallel()
	const (
		setSeccomp, setNoNewPrivileges, modeFilter = 22, 38, 2
		allow, refuse                              = 0x7fff0000, 0x00050000 + uint32(syscall.EPERM)
	)
	// Number of the system call, at the offset 0 of what the filter sees: linkat is refused, all else allowed.
	filter := [...]syscall.SockFilter{
		{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS},
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: syscall.SYS_LINKAT, Jf: 1},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: refuse},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: allow},
	}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	path := filepath.Join(t.TempDir(), secretFile)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivileges, 1, 0, 0, 0, 0); errno != 0 {
			t.Error(errno)
			return
		}
		if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setSeccomp, modeFilter, uintptr(unsafe.Pointer(&program))); errno != 0 {
			t.Error(errno)
			return
		}
		if err := os.Link(os.Args[0], path); !errors.Is(err, os.ErrPermission) {
			t.Errorf("a link: %v", err)
		}
		if err := writeNew(path, secretA); err != nil {
			t.Error(err)
		}
		if err := writeNew(path, secretB); !errors.Is(err, os.ErrExist) {
			t.Errorf("over another file: %v", err)
		}
	}()
	<-done
	if read, err := os.ReadFile(path); err != nil || string(read) != secretA {
		t.Errorf("the file has %q: %v", read, err)
	}
}
