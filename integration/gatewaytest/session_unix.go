//go:build unix

package gatewaytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// OwnSession makes a command that is not started yet the first process of a session, for [KillSession].
func OwnSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// KillSession kills the processes of a session, also those in a process group of their own. The ID is that of its first
// process. Where there is no /proc, it kills the process group.
func KillSession(id int) {
	_ = syscall.Kill(-id, syscall.SIGKILL) // fails when nothing is left
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// After the name, which may have anything in it: state, parent, process group, session.
		text := string(stat)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(fields) < 4 || fields[3] != strconv.Itoa(id) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // fails when it has ended
		}
	}
}
